"""Plain readers: one that follows the outputs while faults go on, and one that reads a topic whole.

The follower says how far the processors are; the verdict is from whole readings at the end, so that nothing
the follower's own connection suffers counts against them.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from veilstream.bench.chaos.oracle import Output, Place, Raw
from veilstream.bench.chaos.records import MARK
from veilstream.errors import BrokerUnavailable, RecordInvalid
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import loads
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport import read_to_end

__all__ = ["OUTPUTS", "Follower", "read_outputs", "read_raw"]

OUTPUTS = ("interactions.protected", "interactions.quarantine")
_POLL_SECONDS = 0.1


class Follower:
    """Reads both output topics, read_committed, without a group, from the beginning."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._short = {topic_name(kafka, short): short for short in OUTPUTS}
        self._at: dict[tuple[str, int], int] = {}
        self._below: dict[tuple[str, int], int] = defaultdict(int)  # every raw offset below it was seen
        self._ahead: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._times: Counter[Place] = Counter()
        self.duplicated = 0

    async def run(self) -> None:
        """Until cancelled. A connection that fails is made anew, from where it was."""
        while True:
            with suppress(KafkaError, OSError):
                await self._session()
            await asyncio.sleep(0.5)

    async def _session(self) -> None:
        consumer = AIOKafkaConsumer(
            **kafka_options(self._kafka),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            metadata_max_age_ms=5000,
            max_partition_fetch_bytes=4 * self._kafka.max_record_bytes + 65_536,
        )
        try:
            await consumer.start()
            places = [
                TopicPartition(topic, number)
                for topic in self._short
                for number in range(self._kafka.partitions)
            ]
            consumer.assign(places)
            for tp in places:
                consumer.seek(tp, self._at.get((tp.topic, tp.partition), 0))
            while True:
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        if record.offset >= self._at.get((tp.topic, tp.partition), 0):
                            self._at[(tp.topic, tp.partition)] = record.offset + 1
                            self._take(record)
        finally:
            with suppress(Exception):  # the broker may be gone: there is nothing left to save
                await asyncio.wait_for(asyncio.shield(consumer.stop()), 5.0)

    def _take(self, record: Any) -> None:
        place = _place(record)
        if place is None:
            return
        self._times[place] += 1
        if self._times[place] > 1:
            self.duplicated += 1
        source = place[:2]
        ahead = self._ahead[source]
        if place[2] >= self._below[source]:
            ahead.add(place[2])
        while self._below[source] in ahead:
            ahead.remove(self._below[source])
            self._below[source] += 1

    def saw(self, place: Place) -> bool:
        return place in self._times

    def behind(self, incarnation: str, ends: Mapping[int, int]) -> int:
        """How many raw records below these ends have not come out yet."""
        return sum(
            max(0, end - self._below[(incarnation, number)])
            - sum(offset < end for offset in self._ahead[(incarnation, number)])
            for number, end in ends.items()
            if end > self._below[(incarnation, number)]
        )

    async def until_through(self, incarnation: str, ends: Mapping[int, int], seconds: float) -> int:
        """Wait until everything below these ends has come out; returns what has not after so long."""
        deadline = asyncio.get_running_loop().time() + seconds
        while left := self.behind(incarnation, ends):
            if asyncio.get_running_loop().time() > deadline:
                return left
            await asyncio.sleep(_POLL_SECONDS)
        return 0

    def forgive(self, incarnation: str, ends: Mapping[int, int]) -> None:
        """Wait no longer for what is missing below these ends; the verdict still counts it."""
        for number, end in ends.items():
            source = (incarnation, number)
            self._below[source] = max(self._below[source], end)
            self._ahead[source] = {offset for offset in self._ahead[source] if offset >= end}


def _place(record: Any) -> Place | None:
    with suppress(RecordInvalid):
        origin = Attributes.from_headers(record.headers).origin
        if origin is not None:
            return origin.incarnation, origin.partition, origin.offset
    return None


async def read_raw(kafka: KafkaSettings, incarnation: str) -> list[Raw]:
    """All that the raw topic holds now. Tries again until one reading was whole."""
    found: list[Raw] = []
    async for record in _whole(kafka, "interactions.raw"):
        place = (incarnation, record.partition, record.offset)
        poison = any(name == MARK for name, _ in record.headers)
        person, seq = (None, None) if poison else _numbers(record)
        found.append(Raw(place, person, seq, poison))
    return found


async def read_outputs(kafka: KafkaSettings) -> list[Output]:
    """All of both output topics, each partition in order.

    An output without a place counts as one of a place that was never there.
    """
    found: list[Output] = []
    for short in OUTPUTS:
        async for record in _whole(kafka, short):
            person, seq = _numbers(record) if short == OUTPUTS[0] else (None, None)
            policy = next((v.decode() for k, v in record.headers if k == "ce_policyversion" and v), "")
            place = _place(record) or ("", record.partition, record.offset)
            found.append(Output(short, record.partition, record.offset, place, person, seq, policy))
    return found


async def _whole(kafka: KafkaSettings, short: str) -> AsyncIterator[Any]:
    for attempt in range(10):
        held: list[Any] = []
        try:
            async with aclosing(read_to_end(kafka, topic_name(kafka, short))) as records:
                async for record in records:
                    held.append(record)
        except BrokerUnavailable:
            if attempt == 9:
                raise
            await asyncio.sleep(1.0)
            continue
        for record in held:
            yield record
        return


def _numbers(record: Any) -> tuple[int | None, int | None]:
    with suppress(RecordInvalid, KeyError, TypeError):
        attributes = loads(record.value)["attributes"]
        return int(attributes["person"]), int(attributes["seq"])
    return None, None
