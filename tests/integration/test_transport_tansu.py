"""The same plumbing on Tansu: no idempotent producer, a wrong ListOffsets, settings that do nothing."""

from __future__ import annotations

import pytest

from veilstream.embedded.tansu import LocalTansu
from veilstream.errors import BrokerUnavailable
from veilstream.events.topics import specs, topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import (
    KafkaJournal,
    end_offsets,
    ensure_topics,
    incarnation,
    offsets_for_time,
    producer,
    read_to_end,
)


@pytest.fixture
def tansu(own_tansu: LocalTansu) -> KafkaSettings:
    return KafkaSettings.model_validate(
        {"bootstrap": own_tansu.bootstrap, "idempotence": False, "request_timeout_seconds": 5.0}
    )


async def test_round_trip(tansu: KafkaSettings) -> None:
    """Batches of many records: what ListOffsets calls the end is inside the last batch."""
    report = await ensure_topics(tansu)
    assert len(report.created) == len(specs(tansu))
    assert "not verified" in " ".join(report.warnings)
    assert (await ensure_topics(tansu, create=False)).created == ()
    raw = topic_name(tansu, "interactions.raw")
    assert [r async for r in read_to_end(tansu, raw)] == []
    async with producer(tansu) as sender:
        for number in range(500):
            await sender.send(raw, str(number).encode(), partition=number % 3)
    seen = [r async for r in read_to_end(tansu, raw)]
    assert sorted(int(r.value) for r in seen) == list(range(500))
    assert await end_offsets(tansu, raw) == {0: 167, 1: 167, 2: 166, 3: 0}
    part = [r.offset async for r in read_to_end(tansu, raw, starts={0: 100, 1: 167, 2: 165}, ends={0: 105})]
    assert part == [100, 101, 102, 103, 104, 165] or part == [165, 100, 101, 102, 103, 104]
    assert len(await incarnation(tansu, raw)) == 32
    assert [entry async for entry in KafkaJournal(tansu).read()] == []


async def test_offsets_by_time(tansu: KafkaSettings) -> None:
    await ensure_topics(tansu)
    name = topic_name(tansu, "interactions.protected")
    async with producer(tansu) as sender:
        for stamp in (1_000, 2_000, 3_000):
            await sender.send_and_wait(name, b"x", partition=0, timestamp_ms=stamp)
    assert await offsets_for_time(tansu, name, 2.0) == {0: 1, 1: 0, 2: 0, 3: 0}
    assert await offsets_for_time(tansu, name, 3.5) == {0: 3, 1: 0, 2: 0, 3: 0}


async def test_an_idempotent_producer_is_refused_and_not_waited_for(tansu: KafkaSettings) -> None:
    with pytest.raises(BrokerUnavailable):
        async with producer(tansu.model_copy(update={"idempotence": True})):
            pass
