"""`veilstream bench pipeline`: from produce to protected, on a real Kafka, beside its peers in the same run.

* `options` — what is measured, and what children are told.
* `workload` — seeded records from public dialogues, with personal data planted in them.
* `stack` — a broker and a store of the benchmark's own, in a temporary folder; its topics.
* `filling` — the raw topic, filled before a run; what each record weighs.
* `pacing` — the process that produces at a rate and remembers when it sent what.
* `works` — the engines: the real one, one that changes nothing, one that sleeps, stock Presidio.
* `worker`, `loop` — the processes that are measured: our worker, and plain aiokafka with the same engine.
* `children` — starting them, speaking to them, ending them.
* `proc` — CPU time and memory of a process, from `/proc`.
* `sampling` — which code a worker's CPU time goes to.
* `scan` — reads what a run wrote: how fast, and that each record has one output.
* `latency` — from send call to visible, record by record.
* `matrix`, `growth`, `soak` — the three forms of the benchmark; `figures` — their arithmetic.

A rate is taken from the broker's own append times of the protected records, from the end of the warm-up to
the last; MB are 10⁶ bytes of raw values. Runs of ours and of the peers alternate over the same records.

It does not measure a network: everything is on one machine, and the broker shares its cores. Producing is
done before a rate is measured, and beside the worker where latency is.
"""
