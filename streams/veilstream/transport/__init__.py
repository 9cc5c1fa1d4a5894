"""Kafka plumbing that the client, the processors, the worker, alerting and the command line share.

* `errors` — whatever aiokafka or the network raises becomes one sentence with what to do.
* `producing` — a producer that waits for every replica, idempotent where the broker can.
* `reading` — a topic from a place to its end, then stop; offsets by append time.
* `admin` — creates the topic catalogue and checks it against what the guarantee rests on.
* `incarnation` — Kafka's topic id, so that a recreated topic is another topic.
* `signals` — what only operators may know.
* `journal` — the ledger's journal, its public projection and the releases.

It guarantees: what a call has returned for is acknowledged by every in-sync replica (`acks=all`); a reader
stops at the end that the topic had at the call, also past compaction, transaction markers and what retention
took; a broker that does not answer becomes `BrokerUnavailable` within about `kafka.request_timeout_seconds`;
nothing that a record holds gets into an error.

It does not guarantee exactly once: a delivery whose answer was lost is repeated by the caller, and readers
drop what they have applied. It knows nothing of what the records mean.
"""

from veilstream.transport.admin import TopicReport, ensure_topics
from veilstream.transport.errors import broker_errors
from veilstream.transport.incarnation import TopicIdentity, incarnation
from veilstream.transport.journal import KafkaJournal
from veilstream.transport.producing import producer
from veilstream.transport.reading import end_offsets, offsets_for_time, read_to_end
from veilstream.transport.signals import send_signals

__all__ = [
    "KafkaJournal",
    "TopicIdentity",
    "TopicReport",
    "broker_errors",
    "end_offsets",
    "ensure_topics",
    "incarnation",
    "offsets_for_time",
    "producer",
    "read_to_end",
    "send_signals",
]
