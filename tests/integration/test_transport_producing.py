"""A dead broker is said quickly, with what to do; a delivery is acknowledged or an error."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from veilstream.embedded.service import free_ports
from veilstream.errors import BrokerUnavailable, RecordInvalid, TopicMismatch
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import (
    KafkaJournal,
    broker_errors,
    end_offsets,
    ensure_topics,
    incarnation,
    producer,
    producing,
    read_to_end,
)


async def produce(kafka: KafkaSettings) -> None:
    async with producer(kafka) as sender:
        await sender.send_and_wait("t", b"x")


async def read(kafka: KafkaSettings) -> None:
    async for _ in read_to_end(kafka, "t"):
        pass


async def read_journal(kafka: KafkaSettings) -> None:
    async for _ in KafkaJournal(kafka).read():
        pass


CALLS: dict[str, Callable[[KafkaSettings], Awaitable[Any]]] = {
    "produce": produce,
    "read": read,
    "read_journal": read_journal,
    "ensure_topics": ensure_topics,
    "incarnation": lambda kafka: incarnation(kafka, "t"),
    "end_offsets": lambda kafka: end_offsets(kafka, "t"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_nobody_listens(call: str) -> None:
    """One sentence and what to do, at once, and no client of aiokafka left open."""
    kafka = KafkaSettings.model_validate({"bootstrap": f"127.0.0.1:{free_ports(1)[0]}"})
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(BrokerUnavailable) as caught:
            await CALLS[call](kafka)
        assert time.monotonic() - started < 5
        assert "veilstream up" in caught.value.hint
        assert "\n" not in str(caught.value)
        del caught
        gc.collect()


@pytest.mark.parametrize("call", CALLS)
async def test_something_else_listens_and_says_nothing(call: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        kafka = KafkaSettings.model_validate(
            {"bootstrap": f"127.0.0.1:{port}", "request_timeout_seconds": 0.3}
        )
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            await CALLS[call](kafka)
        assert time.monotonic() - started < 4


async def test_errors_of_the_body_stay_its_own(kafka_fresh: KafkaSettings) -> None:
    for error in (TimeoutError("mine"), ConnectionError("mine"), ValueError("mine")):
        with pytest.raises(type(error), match="mine"):
            async with producer(kafka_fresh):
                raise error


async def test_too_large_is_said_without_the_record(kafka_fresh: KafkaSettings) -> None:
    with pytest.raises(RecordInvalid, match="too_large") as caught:
        async with producer(kafka_fresh) as sender:
            await sender.send_and_wait(topic_name(kafka_fresh, "interactions.raw"), b"secret" * 500_000)
    assert "secret" not in str(caught.value)


async def test_a_missing_topic_is_named_as_such(kafka: KafkaSettings) -> None:
    quick = kafka.model_copy(update={"request_timeout_seconds": 0.3})
    with pytest.raises(TopicMismatch) as caught:
        async with producer(quick) as sender:
            await sender.send_and_wait("t-nobody-made-this", b"x")
    assert "veilstream topics create" in caught.value.hint


async def test_what_is_sent_is_flushed_at_the_end(kafka_fresh: KafkaSettings) -> None:
    raw = topic_name(kafka_fresh, "interactions.raw")
    async with producer(kafka_fresh, linger_ms=500) as sender:
        for _ in range(100):
            await sender.send(raw, b"x", partition=0)
    assert (await end_offsets(kafka_fresh, raw))[0] == 100


async def test_a_timeout_around_a_call_of_the_client_is_the_brokers() -> None:
    with pytest.raises(BrokerUnavailable, match="TimeoutError"), broker_errors():
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)


async def test_cancelled_is_not_an_error_of_the_broker() -> None:
    with pytest.raises(asyncio.CancelledError), broker_errors():
        raise asyncio.CancelledError


async def test_a_cancelled_stop_goes_on_to_its_end(kafka_fresh: KafkaSettings) -> None:
    made = await producing.start(kafka_fresh)
    stopping = asyncio.create_task(producing.stop(made, kafka_fresh))
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait({stopping})
    assert stopping.cancelled()
    async with asyncio.timeout(5):
        await asyncio.wait({made._sender.sender_task})
    await asyncio.sleep(0.1)
    assert not [connection for connection in made.client._conns.values() if connection.connected()]
