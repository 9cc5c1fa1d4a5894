"""Reads along while the roles work: what has come out on each topic."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import loads
from veilstream.events.topics import topic_name
from veilstream.events.types import ALERT
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport import broker_errors, end_offsets

__all__ = ["Watch"]

Place = tuple[str, int, int]  # incarnation, partition, offset in the raw topic

_TOPICS = (
    "interactions.protected",
    "interactions.quarantine",
    "budget.events",
    "budget.alerts",
    "models.releases",
)


class Watch:
    """Counts by the source's place, so that a record delivered twice counts once."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._short = {topic_name(kafka, short): short for short in _TOPICS}
        self.protected: set[Place] = set()
        self.quarantined: set[Place] = set()
        self.budget_events: dict[tuple[str, int], dict[str, Any]] = {}
        self.alerts: dict[tuple[str, str], dict[str, Any]] = {}
        self.releases: dict[str, dict[str, Any]] = {}
        self.example_place: tuple[int, int] | None = None  # whose protected form to keep
        self.example: dict[str, Any] | None = None

    async def run(self) -> None:
        """Read until cancelled."""
        consumer = AIOKafkaConsumer(
            **kafka_options(self._kafka),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        try:
            with broker_errors():
                await consumer.start()
                places = [
                    TopicPartition(topic, partition)
                    for topic in self._short
                    for partition in await end_offsets(self._kafka, topic)
                ]
                consumer.assign(places)
                await consumer.seek_to_beginning(*places)
            while True:
                for place, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        self._take(self._short[place.topic], record)
        finally:
            with suppress(Exception):  # the broker may be gone already: there is nothing left to save
                await asyncio.shield(consumer.stop())

    def _take(self, short: str, record: Any) -> None:
        if short == "interactions.protected":
            origin = Attributes.from_headers(record.headers).origin
            if origin is None:
                return
            if (origin.partition, origin.offset) == self.example_place and self.example is None:
                self.example = loads(record.value)
            self.protected.add((origin.incarnation, origin.partition, origin.offset))
        elif record.value is not None:
            value = loads(record.value)
            if short == "interactions.quarantine":
                origin = value["origin"]
                self.quarantined.add((origin["incarnation"], origin["partition"], origin["offset"]))
            elif short == "budget.events":
                self.budget_events[(value["budget"], value["seq"])] = value
            elif short == "budget.alerts":
                if Attributes.from_headers(record.headers).type != ALERT:
                    return  # a silence
                self.alerts[(value["fingerprint"], value["state"])] = value
            else:
                self.releases[value["release"]] = value
