"""The topic catalogue: names, keys, retention, cleanup, readers. Nothing else names a topic.

`spec(settings)` says what the broker should have; `veilstream.transport.admin` creates it and checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from veilstream.settings import KafkaSettings

__all__ = ["CATALOGUE", "Topic", "TopicSpec", "max_message_bytes", "specs", "topic_name"]

Retention = Literal["raw", "protected", "quarantine", "days", "forever"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the catalogue. `short` is the name without the prefix."""

    short: str
    key: str
    readers: str
    cleanup: Literal["delete", "compact"]
    retention: Retention
    partitioned: bool  # False: one partition, so that the order is total
    log_append_time: bool = False


CATALOGUE: dict[str, Topic] = {
    topic.short: topic
    for topic in (
        Topic("interactions.raw", "HMAC of tenant and subject", "processors only", "delete", "raw", True),
        Topic(
            "interactions.protected",
            "subject token",
            "workers, analysts",
            "delete",
            "protected",
            True,
            log_append_time=True,
        ),
        Topic(
            "interactions.quarantine",
            "HMAC of the raw key",
            "the tenant's officer; value encrypted",
            "delete",
            "quarantine",
            True,
        ),
        Topic("subjects.keys", "subject token", "key service", "compact", "forever", True),
        Topic("subjects.erasures", "subject token", "shredder", "delete", "forever", True),
        Topic("ledger.journal", "budget", "the ledger; people encrypted", "delete", "forever", False),
        Topic("budget.events", "budget", "anyone: public parameters only", "delete", "forever", False),
        Topic("budget.alerts", "alert fingerprint", "anyone", "compact", "forever", False),
        Topic("alerts.deliveries", "sink and alert fingerprint", "alerting", "compact", "forever", False),
        Topic(
            "operator.signals", "source", "operators: exact counts, losses, denials", "delete", "days", False
        ),
        Topic(
            "models.releases", "tenant and model", "anyone who may use the model", "compact", "forever", False
        ),
    )
}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What the broker should have for a topic."""

    name: str
    partitions: int
    replication_factor: int
    configs: dict[str, str]


def topic_name(kafka: KafkaSettings, short: str) -> str:
    """Full name of a catalogued topic."""
    return kafka.topic_prefix + CATALOGUE[short].short


def max_message_bytes(kafka: KafkaSettings, short: str) -> int:
    """Largest record batch that a topic takes.

    Raw takes twice the limit, so that a record over the limit reaches quarantine instead of being lost at a
    foreign producer. Quarantine holds such a record whole, encrypted and in base64 twice (16/9), and so twice
    that again.
    """
    if short == "interactions.quarantine":
        return 4 * kafka.max_record_bytes
    return 2 * kafka.max_record_bytes if short.startswith("interactions.") else kafka.max_record_bytes


def specs(kafka: KafkaSettings) -> list[TopicSpec]:
    """The whole catalogue under these settings."""
    hours = {
        "raw": kafka.raw_retention_hours,
        "protected": kafka.protected_retention_hours,
        "quarantine": kafka.quarantine_retention_hours,
        "days": 7 * 24.0,
    }
    found = []
    for topic in CATALOGUE.values():
        retention_ms = -1 if topic.retention == "forever" else int(hours[topic.retention] * 3_600_000)
        configs = {
            "cleanup.policy": topic.cleanup,
            "retention.ms": str(retention_ms),
            "retention.bytes": "-1",
            "min.insync.replicas": str(kafka.min_insync_replicas),
            "max.message.bytes": str(max_message_bytes(kafka, topic.short)),
            "message.timestamp.type": "LogAppendTime" if topic.log_append_time else "CreateTime",
        }
        if topic.short == "subjects.keys":
            configs["max.compaction.lag.ms"] = str(24 * 3_600_000)
        partitions = kafka.partitions if topic.partitioned else 1
        found.append(TopicSpec(topic_name(kafka, topic.short), partitions, kafka.replication_factor, configs))
    return found
