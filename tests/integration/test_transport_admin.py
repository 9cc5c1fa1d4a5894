"""The topic catalogue on a real Kafka: created, verified, refused where it breaks a promise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from veilstream.errors import BrokerUnavailable, TopicMismatch
from veilstream.events.topics import specs, topic_name
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport import end_offsets, ensure_topics, incarnation, producer, read_to_end


@asynccontextmanager
async def admin(kafka: KafkaSettings) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(**kafka_options(kafka))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def fresh(kafka: KafkaSettings) -> KafkaSettings:
    return kafka.model_copy(update={"topic_prefix": f"t{uuid4().hex[:12]}."})


async def make(kafka: KafkaSettings, name: str, partitions: int, configs: Mapping[str, str]) -> None:
    async with admin(kafka) as client:
        await client.create_topics([NewTopic(name, partitions, 1, topic_configs=dict(configs))])


async def until_gone(client: Any, name: str) -> None:
    """A deletion is acknowledged before the broker's own metadata shows it."""
    for _ in range(200):
        if name not in await client.list_topics():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} is still there")


async def test_the_catalogue_is_created_once_and_verified_again(kafka: KafkaSettings) -> None:
    mine = fresh(kafka)
    names = [spec.name for spec in specs(mine)]
    first = await ensure_topics(mine)
    assert sorted(first.created) == sorted(names)
    assert first.warnings == ()
    second = await ensure_topics(mine, create=False)
    assert second.created == ()
    assert sorted(second.verified) == sorted(names)
    assert second.warnings == ()


async def test_two_at_once_create_it_together(kafka: KafkaSettings) -> None:
    mine = fresh(kafka)
    one, other = await asyncio.gather(ensure_topics(mine), ensure_topics(mine))
    assert sorted([*one.created, *other.created]) == sorted(spec.name for spec in specs(mine))


async def test_a_missing_topic_is_named_and_not_made(kafka: KafkaSettings) -> None:
    mine = fresh(kafka)
    with pytest.raises(TopicMismatch, match=r"topics are missing: .*ledger\.journal") as caught:
        await ensure_topics(mine, create=False)
    assert "veilstream topics create" in caught.value.hint
    async with admin(mine) as client:
        assert not [name for name in await client.list_topics() if name.startswith(mine.topic_prefix)]


async def test_the_broker_stamps_protected_records(kafka_fresh: KafkaSettings) -> None:
    """LogAppendTime: a producer that claims the year 2001 is not believed; on raw it is."""
    claimed = 1_000_000_000_000
    before = time.time()
    async with producer(kafka_fresh) as sender:
        for short in ("interactions.protected", "interactions.raw"):
            await sender.send_and_wait(topic_name(kafka_fresh, short), b"{}", timestamp_ms=claimed)
    (protected,) = [
        r async for r in read_to_end(kafka_fresh, topic_name(kafka_fresh, "interactions.protected"))
    ]
    (raw,) = [r async for r in read_to_end(kafka_fresh, topic_name(kafka_fresh, "interactions.raw"))]
    assert before - 1 <= protected.timestamp / 1000 <= time.time() + 1
    assert raw.timestamp == claimed


@pytest.mark.parametrize(
    ("short", "partitions", "changed", "said"),
    [
        ("ledger.journal", 3, {}, "3 partitions, 1 are needed"),
        ("ledger.journal", 1, {"retention.ms": "1000"}, "retention.ms is 1000, -1 is needed"),
        ("ledger.journal", 1, {"cleanup.policy": "compact"}, "cleanup.policy is compact"),
        (
            "interactions.protected",
            4,
            {"message.timestamp.type": "CreateTime"},
            "timestamp.type is CreateTime",
        ),
        ("interactions.raw", 4, {"max.message.bytes": "1000"}, "max.message.bytes is 1000"),
        ("subjects.keys", 4, {"max.compaction.lag.ms": "864000000"}, "max.compaction.lag.ms is 864000000"),
    ],
)
async def test_a_topic_that_breaks_the_guarantee_is_refused(
    kafka: KafkaSettings, short: str, partitions: int, changed: dict[str, str], said: str
) -> None:
    mine = fresh(kafka)
    (spec,) = [spec for spec in specs(mine) if spec.name == topic_name(mine, short)]
    await make(mine, spec.name, partitions, {**spec.configs, **changed})
    with pytest.raises(TopicMismatch, match=said):
        await ensure_topics(mine)


async def test_what_no_guarantee_rests_on_is_a_warning(kafka: KafkaSettings) -> None:
    mine = fresh(kafka)
    (spec,) = [spec for spec in specs(mine) if spec.name == topic_name(mine, "interactions.raw")]
    more_room = {"max.message.bytes": "50000000"}
    await make(mine, spec.name, spec.partitions, {**spec.configs, "retention.ms": "1000", **more_room})
    report = await ensure_topics(mine)
    assert report.warnings == (f"{spec.name}: retention.ms is 1000, 86400000 is needed",)


async def test_a_recreated_topic_is_another_incarnation(kafka_fresh: KafkaSettings) -> None:
    name = topic_name(kafka_fresh, "interactions.raw")
    first = await incarnation(kafka_fresh, name)
    assert len(first) == 32
    assert int(first, 16) > 0
    assert await incarnation(kafka_fresh, name) == first
    assert await incarnation(kafka_fresh, topic_name(kafka_fresh, "interactions.protected")) != first
    async with admin(kafka_fresh) as client:
        await client.delete_topics([name])
        await until_gone(client, name)
    await ensure_topics(kafka_fresh)
    second = await incarnation(kafka_fresh, name)
    assert len(second) == 32
    assert second != first


async def test_a_topic_that_is_not_there_is_said_and_not_made(kafka: KafkaSettings) -> None:
    for ask in (incarnation, end_offsets):
        with pytest.raises(TopicMismatch, match="is not on the broker"):
            await ask(kafka, "t-nobody-made-this")
    async with admin(kafka) as client:
        assert "t-nobody-made-this" not in await client.list_topics()


async def test_more_replicas_than_brokers_is_refused_with_a_hint(kafka: KafkaSettings) -> None:
    with pytest.raises(BrokerUnavailable, match="InvalidReplicationFactor") as caught:
        await ensure_topics(fresh(kafka).model_copy(update={"replication_factor": 3}))
    assert "kafka.replication_factor" in caught.value.hint
