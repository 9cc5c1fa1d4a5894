"""The broker dies in the middle of everything, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from veilstream.contracts import JournalRecord
from veilstream.embedded.kafka import LocalKafka
from veilstream.errors import BrokerUnavailable
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import KafkaJournal, ensure_topics, incarnation, producer, read_to_end

TIMEOUT_SECONDS = 2.0


async def unavailable(call: Awaitable[object]) -> float:
    """Wait for the error; how long it took, in seconds."""
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable) as caught:
        await call
    assert caught.value.hint
    return time.monotonic() - started


async def test_an_outage(own_kafka: LocalKafka, journal_record: Callable[..., JournalRecord]) -> None:
    """Reader, producers and journal notice within some timeouts; nothing acknowledged is lost.

    aiokafka's idempotent producer, left alone, sends for ever to a broker that is dead. What comes back is
    the same cluster on other ports, and all that it writes is in its folder.
    """
    kafka = KafkaSettings.model_validate(
        {"bootstrap": own_kafka.bootstrap, "request_timeout_seconds": TIMEOUT_SECONDS}
    )
    plain = kafka.model_copy(update={"idempotence": False})
    await ensure_topics(kafka)
    raw = topic_name(kafka, "interactions.raw")
    topic_id = await incarnation(kafka, raw)
    journal = KafkaJournal(kafka)

    async def read() -> None:
        async for record in read_to_end(kafka, raw):
            if record.offset == 0:
                own_kafka.kill()

    async def send(settings: KafkaSettings, stopped: asyncio.Event) -> None:
        async with producer(settings) as sender:
            await sender.send_and_wait(raw, b"before", partition=1)
            await stopped.wait()
            await sender.send_and_wait(raw, b"after", partition=1)

    async def append(stopped: asyncio.Event) -> None:
        async with journal:
            await journal.append([journal_record("default", 1), journal_record("default", 2)])
            await stopped.wait()
            await journal.append([journal_record("default", 3)])

    async with producer(kafka) as sender:
        for _ in range(60):  # more than one fetch brings
            await sender.send_and_wait(raw, b"x" * 900_000, partition=0)
    stopped = asyncio.Event()
    waiting = [
        asyncio.ensure_future(unavailable(call))
        for call in (send(kafka, stopped), send(plain, stopped), append(stopped))
    ]
    await asyncio.sleep(1.0)
    took = [await unavailable(read())]
    stopped.set()
    took += await asyncio.gather(*waiting)
    assert max(took) < 6 * TIMEOUT_SECONDS
    port = own_kafka.port
    own_kafka.start()
    own_kafka.start()  # runs already: nothing happens
    assert own_kafka.port != port
    back = kafka.model_copy(update={"bootstrap": own_kafka.bootstrap, "request_timeout_seconds": 20.0})
    assert await incarnation(back, raw) == topic_id
    async with KafkaJournal(back) as again:
        await again.append([journal_record("default", 3)])
        seen = [entry["public"]["seq"] async for entry in again.read("default")]
    assert seen == [1, 2, 3]
    values = [r.value async for r in read_to_end(back, raw) if r.partition == 1]
    assert values == [b"before", b"before"]
    own_kafka.stop()
    names = {path.name for path in own_kafka.data_dir.iterdir()}
    assert names == {"records", "server.properties", "log4j2.xml", "kafka.log", "kafka.out"}
