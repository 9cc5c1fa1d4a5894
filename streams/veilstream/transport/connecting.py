"""A bare connection to the cluster, for requests that aiokafka's clients do not offer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport.errors import broker_errors

__all__ = ["connected", "finish", "partition_counts"]


async def finish(closing: Coroutine[Any, Any, Any], seconds: float) -> None:
    """Run a client's `stop` or `close` to its end, and never longer than that.

    In a task of its own: aiokafka lets the cancellation of its inner tasks out of `stop`, which would look
    like ours, and a flush to a dead broker does not end. Its errors are of no use any more.
    """
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if task.done():
            _ = task.cancelled() or task.exception()  # looked at, so that the loop does not complain
        else:
            task.cancel()


@asynccontextmanager
async def connected(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaClient]:
    """A client that knows the cluster's nodes; closed at the end.

    Raises:
        BrokerUnavailable: no broker within `kafka.request_timeout_seconds`.
    """
    client = AIOKafkaClient(**kafka_options(kafka))
    try:
        with broker_errors():
            await asyncio.wait_for(client.bootstrap(), kafka.request_timeout_seconds)
        yield client
    finally:
        await finish(client.close(), kafka.request_timeout_seconds)


async def partition_counts(
    client: AIOKafkaClient, topics: Iterable[str], *, led: bool = False
) -> dict[str, int]:
    """Partitions of those topics that are there; with `led`, only where every partition has a leader.

    Asks so that a broker with `auto.create.topics.enable` does not create what it is asked for.

    Raises:
        aiokafka's errors: put it inside `broker_errors`.
    """
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    answer: Any = await client.send(client.get_random_node(), request)
    found: dict[str, int] = {}
    for code, name, _internal, partitions in answer.topics:
        error = for_code(code)
        if error is NoError:
            if not led or all(leader >= 0 for _, _, leader, *_ in partitions):
                found[name] = len(partitions)
        elif error is not UnknownTopicOrPartitionError and not (led and error.retriable):
            raise error()
    return found
