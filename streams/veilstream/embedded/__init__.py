"""The broker and the store that start by themselves on one machine, and the children of the demo.

* `kafka` — Apache Kafka, one node, fetched once with Maven; needs Java 17.
* `tansu` — the Tansu broker from a wheel: in memory, no idempotent producer, no transactions.
* `valkey` — Valkey from a wheel, every write on disk before it is answered.
* `stack` — broker and store together, in the foreground or left running (`veilstream up`, `down`).
* `supervisor` — child processes that are started again when they die, and never outlive their parent.

It guarantees: loopback addresses and free ports only; everything written is below the data folder (and
Kafka's jars below the cache folder); a child that was not asked to stay ends with its parent, on Linux also
when the parent is killed; `down` ends the very processes that `up` started and no other.

It does not guarantee: access control (anyone on the machine can connect: for a machine of your own),
replicas, or, for Kafka, survival of a power cut (its log is left to the operating system's cache, which a
killed process does not lose). For more, run your own cluster and store, or `docker-compose.yml`.
"""

from veilstream.embedded.kafka import LocalKafka, java_available
from veilstream.embedded.stack import Stack, StackStatus, down, status, up
from veilstream.embedded.supervisor import Supervisor
from veilstream.embedded.tansu import LocalTansu
from veilstream.embedded.valkey import LocalValkey

__all__ = [
    "LocalKafka",
    "LocalTansu",
    "LocalValkey",
    "Stack",
    "StackStatus",
    "Supervisor",
    "down",
    "java_available",
    "status",
    "up",
]
