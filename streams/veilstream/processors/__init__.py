"""The stream processors: a module for each role. Nothing else in the house imports Faust.

* `pipeline` — one raw record becomes one protected or one quarantined record. No Faust, no Kafka.
* `decoding`, `sealing` — its two ends: reading a raw record, and writing a quarantined one.
* `protect` — the Faust app around it: batches, deliveries, acknowledgement.
* `driver` — Faust's Kafka driver with an idempotent producer and a bound on what may be committed.
* `run` — the role as a process: health, signals, exit codes.
* `quarantine` — list, show and replay what could not be processed.

It guarantees: every record of `interactions.raw` becomes exactly one effect, on `interactions.protected` or
on `interactions.quarantine`, with its place in the source in the headers; an offset is committed only after
the broker has acknowledged what was made of it; the same record gives the same protected bytes again, so that
a reader who drops what is not above the last applied offset of a source partition sees each once. Whatever is
wrong with a record is quarantine, encrypted; whatever is wrong with the broker or the store is not, and
waits.

It does not guarantee that a plain reader sees no duplicate: after a crash the records since the last commit
are written again (at least once).
"""
