"""The stream processors: a module for each role. Nothing else in the house imports Faust.

* `pipeline` — one raw record becomes one protected or one quarantined record. No Faust, no Kafka.
* `work` — what the loop asks of the pipeline.
* `decoding`, `sealing` — its two ends: reading a raw record, and writing a quarantined one.
* `lane` — one source partition, from fetch to delivery; `flow` — the lanes of a process.
* `delivery` — outputs and offset in one transaction, or one after the other.
* `protect`, `driver` — the Faust app around them, and what of Faust's own path is replaced.
* `protocol_model`, `protocol_steps` — the lanes' protocol, explored with everything that can go wrong.
* `run` — the role as a process: health, signals, exit codes.
* `quarantine` — list, show and replay what could not be processed.

It guarantees: every record of `interactions.raw` becomes exactly one effect, on `interactions.protected` or
on `interactions.quarantine`, with its place in the source in the headers; an offset is committed only after
the broker has acknowledged what was made of it; the same record gives the same protected bytes again, so that
a reader who drops what is not above the last applied offset of a source partition sees each once. Whatever is
wrong with a record is quarantine, encrypted; whatever is wrong with the broker or the store is not, and
waits.

With `processor.delivery = exactly_once` a plain `read_committed` reader, who drops nothing, sees each record
once and in order. With `at_least_once` it does not: after a crash the records since the last commit are
written again.
"""
