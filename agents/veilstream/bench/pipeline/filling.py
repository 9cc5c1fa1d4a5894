"""Fills the raw topic before a run, and remembers what each record weighs.

Offsets of a new topic that one idempotent producer fills start at 0 and have no gaps: the place of a record
in `sizes` is its offset. Whatever else is acknowledged is an error here, not a wrong figure later.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka.partitioner import DefaultPartitioner

from veilstream.bench.pipeline.options import Place
from veilstream.bench.pipeline.workload import Made
from veilstream.errors import BrokerUnavailable
from veilstream.events.topics import topic_name
from veilstream.transport import producer

__all__ = ["Backlog", "fill", "partition_of"]

_BATCH_BYTES = 900_000
_UNDER_WAY = 8


@dataclass(slots=True)
class Backlog:
    """What lies in the raw topic: bytes of each value, and how many are new, by partition and offset."""

    sizes: list[array[int]]
    new: list[array[int]]

    @classmethod
    def empty(cls, partitions: int) -> Backlog:
        return cls([array("I") for _ in range(partitions)], [array("I") for _ in range(partitions)])

    @property
    def records(self) -> int:
        return sum(map(len, self.sizes))

    @property
    def megabytes(self) -> float:
        return sum(map(sum, self.sizes)) / 1e6


_hash = DefaultPartitioner()


def partition_of(key: bytes, partitions: int) -> int:
    """Where a producer puts a key: murmur2, as every Kafka client."""
    every = list(range(partitions))
    return int(_hash(key, every, every))


async def fill(place: Place, made: Iterator[Made], backlog: Backlog, megabytes: float) -> None:
    """Add records to the raw topic until the backlog has so many megabytes.

    Raises:
        BrokerUnavailable: no broker, or it holds records that are not ours.
    """
    kafka = place.settings().kafka
    topic, goal = topic_name(kafka, "interactions.raw"), megabytes * 1e6
    total = backlog.megabytes * 1e6
    more = {} if place.compression == "none" else {"compression_type": place.compression}
    async with producer(kafka, max_batch_size=_BATCH_BYTES, **more) as out:
        batches = [out.create_batch() for _ in range(place.partitions)]
        starts = [len(sizes) for sizes in backlog.sizes]
        waiting = []

        async def send(partition: int) -> None:
            builder, batches[partition] = batches[partition], out.create_batch()
            builder.close()
            first = starts[partition]
            starts[partition] = len(backlog.sizes[partition])
            waiting.append((first, await out.send_batch(builder, topic, partition=partition)))
            if len(waiting) > _UNDER_WAY:
                await settle(waiting.pop(0))

        async def settle(sent: tuple[int, object]) -> None:
            first, delivery = sent
            if (await delivery).offset != first:  # type: ignore[misc]  # a future of aiokafka's
                raise BrokerUnavailable(
                    "the raw topic holds records of others", hint="run on a broker of its own"
                )

        while total < goal:
            (record, new) = next(made)
            partition = partition_of(record.key, place.partitions)
            where = {"timestamp": None, "key": record.key, "value": record.value, "headers": record.headers}
            if batches[partition].append(**where) is None:
                await send(partition)
                batches[partition].append(**where)
            backlog.sizes[partition].append(len(record.value))
            backlog.new[partition].append(new)
            total += len(record.value)
        for partition, builder in enumerate(batches):
            if builder.record_count():
                await send(partition)
        for sent in waiting:
            await settle(sent)
