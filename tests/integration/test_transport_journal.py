"""The ledger's journal on a real Kafka: order, repeats, limits, and what is read back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.protocol.admin import DeleteTopicsRequest

from veilstream.contracts import Journal, JournalRecord
from veilstream.errors import Fenced, JournalBroken, RecordInvalid, RecordTooLarge, VeilstreamError
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode
from veilstream.events.topics import topic_name
from veilstream.events.types import BUDGET_EVENT, JOURNAL_ENTRY, RELEASE
from veilstream.settings import KafkaSettings
from veilstream.transport import KafkaJournal, end_offsets, producer, read_to_end
from veilstream.transport.connecting import connected, partition_counts

HASH = "0" * 64
Make = Callable[..., JournalRecord]


def release(number: int) -> dict[str, Any]:
    return {
        "release": f"r{number}",
        "tenant": "acme",
        "model": "tool-choice",
        "created": "2026-01-02T03:04:05.000Z",
        "parent": None,
        "artifact": {"sha256": HASH, "bytes": 10, "format": "safetensors", "location": "r"},
        "card": {
            "unit": "person",
            "epsilon_spent": 0.1,
            "delta": 1e-6,
            "budget": "default",
            "seq": number,
            "mechanism": "poisson_subsampled_gaussian",
            "numerics": "guarantee in real arithmetic",
            "encoder": {},
            "labels": [],
        },
    }


@pytest.fixture
def record(journal_record: Make) -> Make:
    return journal_record


async def test_what_was_appended_is_read_in_order(kafka_fresh: KafkaSettings, record: Make) -> None:
    written = [record("default", seq, card=release(seq) if seq == 3 else None) for seq in range(1, 6)]
    other = [record("other", seq) for seq in range(1, 3)]
    async with KafkaJournal(kafka_fresh) as journal:
        await journal.append([written[0], other[0], *written[1:3]])
        await journal.append([*written[3:], other[1]])
        await journal.append([])
        mine = [entry async for entry in journal.read("default")]
        everything = [entry async for entry in journal.read()]
    assert mine == [r.entry for r in written]
    assert [(e["public"]["budget"], e["public"]["seq"]) for e in everything] == [
        ("default", 1),
        ("other", 1),
        ("default", 2),
        ("default", 3),
        ("default", 4),
        ("default", 5),
        ("other", 2),
    ]
    assert [entry async for entry in KafkaJournal(kafka_fresh).read("nobody")] == []


async def test_keys_headers_and_values_on_the_three_topics(kafka_fresh: KafkaSettings, record: Make) -> None:
    journal: Journal = KafkaJournal(kafka_fresh)  # without `async with`: connects for each append
    await journal.append([record("default", 1), record("default", 2, card=release(2))])
    found: dict[str, list[tuple[bytes, str, str, Any]]] = {}
    for short, ce_type in (
        ("ledger.journal", JOURNAL_ENTRY),
        ("budget.events", BUDGET_EVENT),
        ("models.releases", RELEASE),
    ):
        async for seen in read_to_end(kafka_fresh, topic_name(kafka_fresh, short)):
            context = Attributes.from_headers(seen.headers)
            value = decode(context.type, seen.value)
            assert context.type == ce_type
            assert context.source == "veilstream/ledger"
            found.setdefault(short, []).append((seen.key, context.id, context.time, value))
    time = "2026-01-02T03:04:05.000Z"
    assert [row[:3] for row in found["ledger.journal"]] == [
        (b"default", "default/1", time),
        (b"default", "default/2", time),
    ]
    assert [row[:3] for row in found["budget.events"]] == [row[:3] for row in found["ledger.journal"]]
    assert found["models.releases"] == [(b"acme/tool-choice", "r2", time, release(2))]


async def test_many_large_entries_go_in_several_batches_and_stay_in_order(
    kafka_fresh: KafkaSettings, record: Make
) -> None:
    """Together five times the record limit; each entry alone is below it."""
    count = 25
    await KafkaJournal(kafka_fresh).append(
        [record("default", seq, sealed=200_000) for seq in range(1, count + 1)]
    )
    seen = [entry["public"]["seq"] async for entry in KafkaJournal(kafka_fresh).read("default")]
    assert seen == list(range(1, count + 1))


async def test_a_claimed_tree_is_written_together_or_not_at_all(
    kafka_fresh: KafkaSettings, record: Make
) -> None:
    async with KafkaJournal(kafka_fresh) as journal:
        await journal.claim("acme")
        records = [record("acme", seq, sealed=200_000) for seq in range(1, 9)]  # more than one batch
        records.append(record("acme/m", 1, card=release(1)))
        end = await journal.append(records)
        assert await journal.append([record("acme", 9)]) > end
        assert [e async for e in journal.read(start=end)] == [record("acme", 9).entry]
        assert await journal.end() >= end
    counts = {
        short: len([r async for r in read_to_end(kafka_fresh, topic_name(kafka_fresh, short))])
        for short in ("ledger.journal", "budget.events", "models.releases")
    }
    assert counts == {"ledger.journal": 10, "budget.events": 10, "models.releases": 1}


async def test_who_claims_a_tree_fences_whoever_had_it(kafka_fresh: KafkaSettings, record: Make) -> None:
    async with KafkaJournal(kafka_fresh) as old, KafkaJournal(kafka_fresh) as new:
        await old.claim("acme")
        await old.claim("other")
        await old.append([record("acme", 1)])
        await new.claim("acme")
        with pytest.raises(Fenced):
            await old.append([record("acme", 2)])
        await new.append([record("acme", 2)])
        await old.append([record("other", 1)])  # another tree is another claim
        for short in ("ledger.journal", "budget.events"):
            topic = topic_name(kafka_fresh, short)
            ids = [Attributes.from_headers(r.headers).id async for r in read_to_end(kafka_fresh, topic)]
            assert ids == ["acme/1", "acme/2", "other/1"]
        await old.claim("acme")  # and so back
        await old.append([record("acme", 3)])
        with pytest.raises(Fenced):
            await new.append([record("acme", 3)])


async def test_a_repeat_stands_twice_and_says_so_by_its_id(kafka_fresh: KafkaSettings, record: Make) -> None:
    journal = KafkaJournal(kafka_fresh)
    await journal.append([record("default", 1)])
    await journal.append([record("default", 1), record("default", 2)])
    assert [e["public"]["seq"] async for e in journal.read("default")] == [1, 1, 2]
    ids = [
        Attributes.from_headers(r.headers).id
        async for r in read_to_end(kafka_fresh, topic_name(kafka_fresh, "budget.events"))
    ]
    assert ids == ["default/1", "default/1", "default/2"]
    topic = topic_name(kafka_fresh, "budget.events")
    assert [r.value["seq"] async for r in read_to_end(kafka_fresh, topic, decode=True)] == [1, 1, 2]


@pytest.mark.parametrize("what", ["malformed", "too large"])
async def test_nothing_is_written_when_one_record_is_wrong(
    kafka_fresh: KafkaSettings, record: Make, what: str
) -> None:
    good, bad = record("default", 1), record("default", 2, sealed=1_000_000)
    if what == "malformed":
        bad = record("default", 2)
        bad = replace(bad, public={**(bad.public or {}), "somebody@example.com": 1})
    with pytest.raises(RecordInvalid if what == "malformed" else RecordTooLarge) as caught:
        await KafkaJournal(kafka_fresh).append([good, bad])
    assert "somebody" not in str(caught.value)
    for short in ("ledger.journal", "budget.events"):
        assert await end_offsets(kafka_fresh, topic_name(kafka_fresh, short)) == {0: 0}


async def test_the_largest_entry_that_is_accepted_is_taken_by_the_broker(
    kafka_fresh: KafkaSettings, record: Make
) -> None:
    low, high = 900_000, 1_000_000
    while high - low > 1:  # the limit itself, whatever the framing
        middle = (low + high) // 2
        try:
            KafkaJournal(kafka_fresh)._entry(record("default", 1, sealed=middle))
            low = middle
        except RecordTooLarge:
            high = middle
    assert low > 990_000
    await KafkaJournal(kafka_fresh).append([record("default", 1, sealed=low)])
    assert await end_offsets(kafka_fresh, topic_name(kafka_fresh, "ledger.journal")) == {0: 1}


@pytest.mark.parametrize(
    ("refused", "written"),
    [
        ("ledger.journal", {"budget.events": 0, "models.releases": 0}),
        ("budget.events", {"ledger.journal": 1, "models.releases": 0}),
        ("models.releases", {"ledger.journal": 1, "budget.events": 1}),
    ],
)
async def test_journal_first_then_events_then_releases(
    kafka_fresh: KafkaSettings, record: Make, refused: str, written: dict[str, int]
) -> None:
    """Where one topic does not take its record, those after it get none."""
    impatient = kafka_fresh.model_copy(update={"request_timeout_seconds": 1.0})
    name = topic_name(kafka_fresh, refused)
    async with connected(kafka_fresh) as client:
        await client.send(client.cluster.controller.nodeId, DeleteTopicsRequest([name], 10_000))
        for _ in range(200):  # a deletion is acknowledged before the broker's own metadata shows it
            if name not in await partition_counts(client, [name]):
                break
            await asyncio.sleep(0.05)
    with pytest.raises(VeilstreamError):
        await KafkaJournal(impatient).append([record("default", 1, card=release(1))])
    for short, count in written.items():
        assert await end_offsets(kafka_fresh, topic_name(kafka_fresh, short)) == {0: count}


async def test_a_foreign_record_in_the_journal_is_an_error_with_its_place(
    kafka_fresh: KafkaSettings, record: Make
) -> None:
    journal = KafkaJournal(kafka_fresh)
    await journal.append([record("default", 1)])
    async with producer(kafka_fresh) as sender:
        await sender.send_and_wait(topic_name(kafka_fresh, "ledger.journal"), b'{"a":"b"}', key=b"default")
    with pytest.raises(JournalBroken, match="offset 1 is no ledger entry"):
        _ = [entry async for entry in journal.read()]
