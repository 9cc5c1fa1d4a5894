"""The producer against a real Kafka: what arrives, what is refused, what a dead broker looks like."""

from __future__ import annotations

import asyncio
import time

import orjson
import pytest

from veilstream.client import LogProducer, SyncLogProducer
from veilstream.errors import BrokerUnavailable, RecordInvalid, RecordTooLarge, TopicMismatch
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.topics import topic_name
from veilstream.events.types import BATCH, INTERACTION
from veilstream.settings import KafkaSettings, Settings
from veilstream.transport import end_offsets, read_to_end

HELLO = [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]


def settings_for(kafka: KafkaSettings, **more: object) -> Settings:
    return Settings.model_validate({"kafka": kafka, **more})


async def test_a_sent_record_is_on_the_raw_topic_with_its_attributes(kafka_fresh: KafkaSettings) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with LogProducer(tenant="acme", settings=settings_for(kafka_fresh)) as logs:
        receipt = await logs.send(
            messages=HELLO,
            subject="user-17",
            conversation="c-1",
            purpose="support",
            attributes={"model": "m"},
            traceparent=traceparent,
            consent=True,
        )
    records = [r async for r in read_to_end(kafka_fresh, topic_name(kafka_fresh, "interactions.raw"))]
    assert len(records) == 1
    assert (records[0].partition, records[0].offset) == (receipt.partition, receipt.offset)
    attributes = Attributes.from_headers(records[0].headers)
    assert (attributes.id, attributes.type) == (receipt.id, INTERACTION)
    assert attributes.traceparent == traceparent
    assert codec.decode(INTERACTION, records[0].value) == {
        "conversation": "c-1",
        "messages": HELLO,
        "attributes": {"model": "m"},
        "privacy": {"tenant": "acme", "subject": "user-17", "purpose": "support", "consent": True},
    }
    assert b"user-17" not in records[0].key


async def test_the_records_of_a_person_keep_their_order_in_one_partition(kafka_fresh: KafkaSettings) -> None:
    values = [
        {
            "conversation": f"c-{number}",
            "messages": HELLO,
            "privacy": {"tenant": "acme", "subject": f"user-{number % 5}"},
        }
        for number in range(100)
    ]
    async with LogProducer(tenant="acme", settings=settings_for(kafka_fresh)) as logs:
        receipts = await logs.send_many(values)
        await logs.flush()
    assert len({receipt.id for receipt in receipts}) == 100
    for person in range(5):
        mine = receipts[person::5]
        assert len({receipt.partition for receipt in mine}) == 1
        offsets = [receipt.offset for receipt in mine]
        assert offsets == sorted(offsets)
    assert len({receipt.partition for receipt in receipts}) > 1


async def test_nothing_is_sent_of_a_list_with_one_wrong_value(kafka_fresh: KafkaSettings) -> None:
    good = {"conversation": "c", "messages": HELLO, "privacy": {"tenant": "acme"}}
    wrong = {"conversation": "c", "messages": HELLO, "privacy": {"tenant": "acme", "subject": ["mia"]}}
    async with LogProducer(tenant="acme", settings=settings_for(kafka_fresh)) as logs:
        with pytest.raises(RecordInvalid) as raised:
            await logs.send_many([good, wrong])
        assert (raised.value.kind, raised.value.path) == ("schema", "$.privacy.subject")
        assert "mia" not in str(raised.value)
        assert await logs.send_many([]) == []
    assert sum((await end_offsets(kafka_fresh, topic_name(kafka_fresh, "interactions.raw"))).values()) == 0


async def test_a_batch_is_one_record_with_a_receipt_for_each(kafka_fresh: KafkaSettings) -> None:
    values = [
        {"conversation": f"c-{n}", "messages": HELLO, "privacy": {"tenant": "acme", "subject": "user-17"}}
        for n in range(8)
    ]
    async with LogProducer(tenant="acme", settings=settings_for(kafka_fresh)) as logs:
        receipts = await logs.send_batch(values)
        with pytest.raises(RecordInvalid):
            await logs.send_batch([*values, {**values[0], "privacy": {"tenant": "acme", "subject": "mia"}}])
    records = [r async for r in read_to_end(kafka_fresh, topic_name(kafka_fresh, "interactions.raw"))]
    assert [Attributes.from_headers(r.headers).type for r in records] == [BATCH]
    items = codec.decode(BATCH, records[0].value)["interactions"]
    assert [item["interaction"] for item in items] == values
    assert [item["id"] for item in items] == [receipt.id for receipt in receipts]
    places = {(receipt.partition, receipt.offset) for receipt in receipts}
    assert places == {(records[0].partition, records[0].offset)}


async def test_a_record_over_the_limit_is_an_error_and_one_at_the_limit_arrives(
    kafka_fresh: KafkaSettings,
) -> None:
    kafka = kafka_fresh.model_copy(update={"max_record_bytes": 20_000})
    async with LogProducer(tenant="acme", settings=settings_for(kafka)) as logs:

        def message(length: int) -> list[dict[str, object]]:
            return [{"role": "user", "parts": [{"type": "text", "content": "x" * length}]}]

        with pytest.raises(RecordTooLarge) as raised:
            await logs.send(message(20_000), conversation="c")
        assert raised.value.limit_bytes == 20_000
        over = raised.value.size_bytes - 20_000
        await logs.send(message(20_000 - over), conversation="c")
        with pytest.raises(RecordTooLarge):
            await logs.send(message(20_001 - over), conversation="c")
    assert sum((await end_offsets(kafka, topic_name(kafka, "interactions.raw"))).values()) == 1


async def test_a_broker_that_is_not_there_is_one_line_within_seconds(kafka_fresh: KafkaSettings) -> None:
    dead = kafka_fresh.model_copy(update={"bootstrap": "127.0.0.1:1"})
    before = time.monotonic()
    with pytest.raises(BrokerUnavailable) as raised:
        async with LogProducer(tenant="acme", settings=settings_for(dead)):
            pass
    assert time.monotonic() - before < 5
    assert "veilstream up" in raised.value.hint
    assert "\n" not in str(raised.value)


async def test_a_topic_that_is_not_there_is_an_error(kafka: KafkaSettings) -> None:
    away = kafka.model_copy(update={"topic_prefix": "nobody-made.", "request_timeout_seconds": 2.0})
    async with LogProducer(tenant="acme", settings=settings_for(away)) as logs:
        with pytest.raises(TopicMismatch):
            await logs.send(HELLO)


def test_the_synchronous_form_sends_and_raises_alike(kafka_fresh: KafkaSettings) -> None:
    with SyncLogProducer(tenant="acme", settings=settings_for(kafka_fresh)) as logs:
        receipt = logs.send(HELLO, subject="user-17")
        more = logs.send_many([{"conversation": "c", "messages": HELLO, "privacy": {"tenant": "acme"}}])
        logs.send_event({"conversation": "d", "messages": HELLO, "privacy": {"tenant": "acme"}})
        batch = logs.send_batch([{"conversation": "e", "messages": HELLO, "privacy": {"tenant": "acme"}}] * 2)
        logs.flush()
        with pytest.raises(RecordInvalid):
            logs.send_event({"conversation": "c"})
    assert receipt.offset >= 0
    assert len(more) == 1
    assert len(batch) == 2
    with pytest.raises(RuntimeError):
        logs.send(HELLO)
    logs.close()
    ends = asyncio.run(end_offsets(kafka_fresh, topic_name(kafka_fresh, "interactions.raw")))
    assert sum(ends.values()) == 4


def test_the_synchronous_form_fails_at_once_without_a_broker() -> None:
    settings = settings_for(KafkaSettings.model_validate({"bootstrap": "127.0.0.1:1"}))
    with pytest.raises(BrokerUnavailable):
        SyncLogProducer(tenant="acme", settings=settings).start()


async def test_openai_messages_arrive_as_parts(kafka_fresh: KafkaSettings) -> None:
    async with LogProducer(tenant="acme", settings=settings_for(kafka_fresh)) as logs:
        await logs.send([{"role": "user", "content": "hello"}], conversation="c-1")
    records = [r async for r in read_to_end(kafka_fresh, topic_name(kafka_fresh, "interactions.raw"))]
    assert orjson.loads(records[0].value)["messages"] == HELLO
