"""`veilstream bench ledger`: from the charge to the journal's acknowledgement, beside its peer.

* `options` — what is measured; the mechanism that is charged, at one order and at eight.
* `population` — people as random tokens, and windows of them.
* `ground` — a store and a broker of the benchmark's own, in a temporary folder.
* `children` — processes that are asked things, a line each.
* `charger` — a process of several models that charge, or that send pipelined `HINCRBY`.
* `relaying` — the process with the relay.
* `store` — what the store says of itself: memory, longest script, people's keys.
* `runs` — a timed run, ours or the peer's, and its arithmetic.
* `measure`, `growth`, `rebuilding` — the three forms of the benchmark.

Everything is real: Valkey with `appendonly yes`, `appendfsync always`; Kafka as the journal; models that each
hold a lease, charge a window of random people, and wait until the journal has acknowledged it before their
next. A rate counts people whose charge was called and acknowledged within the run. The peer has the same
store, the same people, as many fields, and no ledger: no cap, no sequence, no outbox, no journal.

It does not measure a network, nor a disk that is slow to sync: everything is on one machine, and store,
broker, relay and models share its cores. The budget's ε is large enough never to be used up, and so is no
example; what a charge costs, and so how large the store's numbers are, is.
"""
