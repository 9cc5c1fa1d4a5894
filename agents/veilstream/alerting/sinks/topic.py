"""The topic `budget.alerts`: the record of truth.

The key is the fingerprint, so that compaction keeps the last state of each alert.
"""

from __future__ import annotations

from typing import Any, Protocol

from veilstream.alerting.sinks.cloudevent import attributes
from veilstream.events import types
from veilstream.events.codec import check, dumps

__all__ = ["TopicSink"]


class Producer(Protocol):
    """What is used of an aiokafka producer."""

    async def send_and_wait(
        self, topic: str, value: bytes, key: bytes, *, headers: list[tuple[str, bytes]]
    ) -> Any: ...


class TopicSink:
    """Writes an alert and returns when the broker has acknowledged it."""

    name = "topic"

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Raises the producer's error where the broker did not acknowledge."""
        check(types.ALERT, alert)
        await self._producer.send_and_wait(
            self._topic,
            dumps(alert),
            alert["fingerprint"].encode(),
            headers=attributes(alert).to_headers(),
        )
