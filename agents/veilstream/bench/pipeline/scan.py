"""Reads what a run wrote: when each record came out, and from which place in the raw topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from veilstream.bench.pipeline.children import BenchFailed
from veilstream.bench.pipeline.options import Place
from veilstream.events.topics import topic_name
from veilstream.settings import kafka_options

__all__ = ["Output", "Reader", "origin", "reader", "reset"]

_SHORTS = ("interactions.protected", "interactions.quarantine")
_STALLED_SECONDS = 60.0
_OPEN_SECONDS = 90.0  # a transaction of a killed process is aborted after 60


class Output(NamedTuple):
    """One record that came out: the broker's append time (Unix, seconds), and its source."""

    at: float
    partition: int
    offset: int
    protected: bool


def origin(headers: Any) -> tuple[int, int]:
    """Source partition and offset of a protected or quarantined record."""
    found = dict(headers)
    return int(found["ce_sourcepartition"]), int(found["ce_sourceoffset"])


class Reader:
    """A `read_committed` consumer of the two topics that a processor writes."""

    def __init__(self, consumer: Any, unstable: Any, place: Place) -> None:
        self._consumer, self._unstable = consumer, unstable
        kafka = place.settings().kafka
        self.protected = topic_name(kafka, _SHORTS[0])
        self.partitions = [
            TopicPartition(topic_name(kafka, short), number)
            for short in _SHORTS
            for number in range(place.partitions)
        ]
        consumer.assign(self.partitions)

    async def ends(self) -> dict[TopicPartition, int]:
        found: dict[TopicPartition, int] = await self._consumer.end_offsets(self.partitions)
        return found

    async def settled(self) -> dict[TopicPartition, int]:
        """The ends, once no transaction is open: what one holds back would count for the next run.

        Raises:
            BenchFailed: one stays open for longer than a transaction may.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _OPEN_SECONDS
        while True:
            written: dict[TopicPartition, int] = await self._unstable.end_offsets(self.partitions)
            found = await self.ends()
            if all(found[tp] >= end for tp, end in written.items()):
                return found
            if loop.time() > deadline:
                raise BenchFailed("a transaction of an earlier run stays open")
            await asyncio.sleep(0.05)

    def seek(self, places: Mapping[TopicPartition, int]) -> None:
        for tp, offset in places.items():
            self._consumer.seek(tp, offset)

    async def more(self, seconds: float) -> list[Any]:
        """Whatever there is, as the client gives it; waits at most so long for the first."""
        batches = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=5000)
        return [record for batch in batches.values() for record in batch]

    async def positions(self) -> dict[TopicPartition, int]:
        return {tp: await self._consumer.position(tp) for tp in self.partitions}

    async def outputs(
        self, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> list[Output]:
        """Every record from `starts` to `ends`.

        Raises:
            BenchFailed: the broker stopped giving them.
        """
        self.seek(starts)
        found: list[Output] = []
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            records = await self.more(0.2)
            for record in records:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    found.append(
                        Output(
                            record.timestamp / 1000, *origin(record.headers), record.topic == self.protected
                        )
                    )
            if records:
                since = loop.time()
            else:
                now = await self.positions()
                if all(now[tp] >= end for tp, end in ends.items()):
                    return found
                if loop.time() - since > _STALLED_SECONDS:
                    raise BenchFailed("the broker stopped in the middle of the protected topic")


@asynccontextmanager
async def reader(place: Place) -> AsyncIterator[Reader]:
    consumer = AIOKafkaConsumer(
        **kafka_options(place.settings().kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4_194_304,
        fetch_max_wait_ms=100,
    )
    unstable = AIOKafkaConsumer(**kafka_options(place.settings().kafka), group_id=None)
    try:
        await consumer.start()
        await unstable.start()
        yield Reader(consumer, unstable, place)
    finally:
        await consumer.stop()
        await unstable.stop()


async def reset(place: Place, group: str) -> None:
    """Put a group without members back to the beginning of the raw topic."""
    kafka = place.settings().kafka
    raw = topic_name(kafka, "interactions.raw")
    consumer = AIOKafkaConsumer(
        **kafka_options(kafka), group_id=f"{kafka.topic_prefix}{group}", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(raw, number) for number in range(place.partitions)]
        consumer.assign(partitions)
        for _ in range(60):
            try:
                await consumer.commit(dict.fromkeys(partitions, 0))
                return
            except KafkaError:  # members that have not left yet
                await asyncio.sleep(0.5)
        raise BenchFailed("the group of the last run still has members")
    finally:
        await consumer.stop()
