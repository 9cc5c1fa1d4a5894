"""Reading a topic to its end, whatever holes it has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from veilstream.errors import RecordInvalid
from veilstream.events.cloudevents import Attributes
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport import end_offsets, offsets_for_time, producer, read_to_end


@asynccontextmanager
async def admin(kafka: KafkaSettings) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(**kafka_options(kafka))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def topic(kafka: KafkaSettings, partitions: int = 1, **configs: str) -> str:
    name = f"t{uuid4().hex[:12]}"
    dotted = {key.replace("_", "."): value for key, value in configs.items()}
    async with admin(kafka) as client:
        await client.create_topics([NewTopic(name, partitions, 1, topic_configs=dotted)])
    return name


async def offsets(kafka: KafkaSettings, name: str, **how: Any) -> list[tuple[int, int]]:
    return sorted([(r.partition, r.offset) async for r in read_to_end(kafka, name, **how)])


async def test_an_empty_topic_ends_at_once(kafka: KafkaSettings) -> None:
    name = await topic(kafka, partitions=3)
    assert await offsets(kafka, name) == []
    assert await end_offsets(kafka, name) == {0: 0, 1: 0, 2: 0}


async def test_every_record_of_every_partition_in_order(kafka: KafkaSettings) -> None:
    name = await topic(kafka, partitions=3)
    counts = {0: 2500, 1: 0, 2: 7}
    async with producer(kafka) as sender:
        for partition, count in counts.items():
            for number in range(count):
                await sender.send(name, str(number).encode(), partition=partition)
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    async for record in read_to_end(kafka, name):
        seen[record.partition].append(int(record.value))
    assert seen == {partition: list(range(count)) for partition, count in counts.items()}


async def test_only_the_part_that_is_asked_for(kafka: KafkaSettings) -> None:
    name = await topic(kafka, partitions=2)
    async with producer(kafka) as sender:
        for _ in range(10):
            await sender.send(name, b"x", partition=0)
            await sender.send(name, b"x", partition=1)
    found = await offsets(kafka, name, starts={0: 7, 1: 10}, ends={0: 9})
    assert found == [(0, 7), (0, 8)]
    assert await offsets(kafka, name, starts={0: 99, 1: 8}, ends={1: 10_000}) == [(1, 8), (1, 9)]


async def test_the_end_is_that_of_the_call(kafka: KafkaSettings) -> None:
    """A reader that is fed while it reads still ends."""
    name = await topic(kafka)
    async with producer(kafka) as sender:
        await sender.send_and_wait(name, b"0")
        read = 0
        async for _ in read_to_end(kafka, name):
            read += 1
            await sender.send_and_wait(name, b"later")
        assert read == 1


async def test_a_compacted_topic(kafka: KafkaSettings) -> None:
    """Old versions are cleaned away, and positions without a record remain."""
    name = await topic(kafka, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.001")
    async with producer(kafka) as sender:
        for number in range(50):
            await sender.send_and_wait(name, str(number).encode(), key=b"kept")
        await sender.send_and_wait(name, b"soon gone", key=b"erased")
        await sender.send_and_wait(name, None, key=b"erased")
        await asyncio.sleep(0.2)
        await sender.send_and_wait(
            name, b"rolls the segment", key=b"last"
        )  # what is before it may be cleaned
    assert (await end_offsets(kafka, name)) == {0: 53}
    found: list[Any] = []
    for _ in range(100):
        found = [(r.key, r.value) async for r in read_to_end(kafka, name)]
        if len(found) < 53 and found[0] != (b"kept", b"0"):
            break
        await asyncio.sleep(0.1)
    assert len(found) < 53
    assert (b"kept", b"0") not in found
    assert (b"kept", b"49") in found  # a key's last value stays
    assert found[-1] == (b"last", b"rolls the segment")
    assert [r.offset async for r in read_to_end(kafka, name, starts={0: 0}, ends={0: 1})] == []


async def test_records_that_were_deleted_are_passed_over(kafka: KafkaSettings) -> None:
    name = await topic(kafka)
    async with producer(kafka) as sender:
        for _ in range(10):
            await sender.send_and_wait(name, b"x")
    async with admin(kafka) as client:
        await client.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=6)})
    assert await offsets(kafka, name) == [(0, n) for n in range(6, 10)]
    assert await offsets(kafka, name, starts={0: 2}) == [(0, n) for n in range(6, 10)]
    async with admin(kafka) as client:
        await client.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=10)})
    assert await offsets(kafka, name) == []


async def test_transactions(kafka: KafkaSettings) -> None:
    """Committed records only, past the markers, and no wait for a transaction that is open."""
    name = await topic(kafka)
    async with producer(kafka, transactional_id=f"tx-{name}") as sender:
        async with sender.transaction():
            await sender.send(name, b"committed")
        await sender.begin_transaction()
        await sender.send_and_wait(name, b"aborted")
        await sender.abort_transaction()
        assert [r.value async for r in read_to_end(kafka, name)] == [b"committed"]
        await sender.begin_transaction()
        await sender.send_and_wait(name, b"open")
        started = time.monotonic()
        assert [r.value async for r in read_to_end(kafka, name)] == [b"committed"]
        assert time.monotonic() - started < 5
        everything = [r.value async for r in read_to_end(kafka, name, isolation="read_uncommitted")]
        assert everything == [b"committed", b"aborted", b"open"]
        await sender.commit_transaction()


async def test_offsets_by_append_time(kafka_fresh: KafkaSettings) -> None:
    name = topic_name(kafka_fresh, "interactions.protected")
    async with producer(kafka_fresh) as sender:
        await sender.send_and_wait(name, b"early", partition=0)
        await asyncio.sleep(0.05)
        middle = time.time()
        await asyncio.sleep(0.05)
        await sender.send_and_wait(name, b"late", partition=0)
    assert await offsets_for_time(kafka_fresh, name, middle) == {0: 1, 1: 0, 2: 0, 3: 0}
    assert await offsets_for_time(kafka_fresh, name, 0) == {0: 0, 1: 0, 2: 0, 3: 0}
    assert await offsets_for_time(kafka_fresh, name, time.time() + 60) == {0: 2, 1: 0, 2: 0, 3: 0}


async def test_a_type_that_is_not_known_is_refused_when_decoded(kafka_fresh: KafkaSettings) -> None:
    name = topic_name(kafka_fresh, "interactions.raw")
    unknown = Attributes(type="ai.veilstream.interaction.v999", source="test", id="1")
    async with producer(kafka_fresh) as sender:
        await sender.send_and_wait(name, b"{}", headers=unknown.to_headers(), partition=0)
    with pytest.raises(RecordInvalid, match="unknown_type"):
        _ = [r async for r in read_to_end(kafka_fresh, name, decode=True)]
    assert [r.value async for r in read_to_end(kafka_fresh, name)] == [b"{}"]
