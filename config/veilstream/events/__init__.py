"""The event contract: what travels on the topics, and how it is read and written.

* `schemas/` — JSON Schemas, the single source of truth: they validate at run time and are what is published.
* `types` — the CloudEvents types and their schemas.
* `cloudevents` — CloudEvents 1.0, binary mode, as Kafka headers.
* `codec` — bytes to a checked value and back.
* `units` — whose an interaction is: the subject, or the conversation; a batch is of one unit.
* `topics` — the topic catalogue.
* `walker` — visits every leaf of a value, keys and strings that hold JSON included.
* `adapters` — what people have, turned into an interaction.

**A schema is append-only law.** A field is never removed and never changes its meaning. A new optional field
is a compatible change; anything else is a new type with a new version. What a reader does not know is
unsupported, and goes to quarantine. `tests/fixtures/events` keeps every record ever written by a release;
today's code must read them all.
"""
