"""Kafka's topic id: a topic that was deleted and made again is another topic.

A consumer that drops what it has applied goes by (incarnation, partition, offset): with the name alone, a
recreated topic's first records would look applied. The id is in the Metadata response since version 10
(KIP-516); aiokafka stops at 5, so the request is written here with its types. Sources: Kafka's
MetadataRequest.json and MetadataResponse.json.
"""

from __future__ import annotations

import asyncio
import time
from io import BytesIO
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)
from aiokafka.structs import TopicPartition

from veilstream.errors import TopicMismatch
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport.connecting import connected, finish
from veilstream.transport.errors import broker_errors

__all__ = ["NONE", "TopicIdentity", "incarnation"]

NONE = "0"
"""The incarnation on a broker that has no topic ids."""

_METADATA = 3
_TRANSIENT = (3, 5)  # unknown topic, leader not available: a topic made this moment
_PATIENCE_SECONDS = 1.0


class _Uuid(AbstractType):  # type: ignore[misc]  # aiokafka's types are not seen by mypy
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_PARTITION = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    ("tags", TaggedFields),
)
_TOPIC = (
    ("error_code", Int16),
    ("topic", CompactString("utf-8")),
    ("topic_id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("authorized_operations", Int32),
    ("tags", TaggedFields),
)
_BROKER = (
    ("node_id", Int32),
    ("host", CompactString("utf-8")),
    ("port", Int32),
    ("rack", CompactString("utf-8")),
    ("tags", TaggedFields),
)
_BODY = (
    ("throttle_time_ms", Int32),
    ("brokers", CompactArray(*_BROKER)),
    ("cluster_id", CompactString("utf-8")),
    ("controller_id", Int32),
    ("topics", CompactArray(*_TOPIC)),
)
_ASKED = (
    "topics",
    CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
)


class _Response10(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 10
    SCHEMA = Schema(*_BODY, ("cluster_authorized_operations", Int32), ("tags", TaggedFields))


class _Request10(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response10
    SCHEMA = Schema(
        _ASKED,
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Response12(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 12
    SCHEMA = Schema(*_BODY, ("tags", TaggedFields))


class _Request12(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response12
    SCHEMA = Schema(
        _ASKED,
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _NoTopicIds(Exception):
    """The broker's Metadata is older than topic ids."""


class _AskForTopicId:
    """What aiokafka's connection calls a request: picks the version that the broker speaks."""

    API_KEY = _METADATA

    def __init__(self, topic: str) -> None:
        self._topics: list[tuple[bytes, str, dict[int, bytes]]] = [(bytes(16), topic, {})]

    def prepare(self, versions: dict[int, tuple[int, int]]) -> RequestStruct:
        lowest, highest = versions.get(_METADATA, (0, 0))
        if lowest <= 12 <= highest:
            return _Request12(self._topics, False, False, {})
        if lowest <= 10 <= highest:
            return _Request10(self._topics, False, False, False, {})
        raise _NoTopicIds


async def incarnation(kafka: KafkaSettings, topic: str) -> str:
    """The topic's id as 32 hex digits, or `"0"` where the broker has none. Ask once and keep it.

    Raises:
        TopicMismatch: the topic is not there.
        BrokerUnavailable: as `broker_errors`.
    """
    async with connected(kafka) as client:
        deadline = time.monotonic() + min(_PATIENCE_SECONDS, kafka.request_timeout_seconds)
        while True:
            with broker_errors():
                try:
                    code, topic_id = await _ask(client, topic)
                except _NoTopicIds:
                    return NONE
                if code not in (0, *_TRANSIENT):
                    raise for_code(code)()
            if any(topic_id):
                return topic_id.hex()
            if code == 0:
                return NONE
            if time.monotonic() > deadline:
                raise TopicMismatch(
                    f"topic {topic} is not on the broker", hint="create it with `veilstream topics create`"
                )
            await asyncio.sleep(0.1)


class TopicIdentity:
    """The id of one topic, asked for again and again over one connection.

    A record that was fetched before a question was asked, and whose leader answers it with the id that the
    reader knows, is of that topic: ids only ever change forward, and the leader serves fetches and answers
    this question from the same image of the cluster.
    """

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka, self._topic = kafka, topic
        self._client: AIOKafkaClient | None = None
        self._connecting = asyncio.Lock()
        self._asking: dict[int, tuple[float, asyncio.Task[str]]] = {}  # by node: since when

    async def current(self, partition: int, since: float) -> str:
        """The id by the leader of `partition`, by a question asked at or after `since` (monotonic seconds).

        Questions of several partitions at once are one question.

        Raises:
            TopicMismatch, BrokerUnavailable
        """
        while True:
            client = await self._connected()
            node = client.cluster.leader_for_partition(TopicPartition(self._topic, partition))
            node = client.get_random_node() if node in (None, -1) else node
            asked = self._asking.get(node)
            if asked is None or asked[1].done():
                asked = time.monotonic(), asyncio.create_task(self._ask(client, node))
                asked[1].add_done_callback(lambda done: done.cancelled() or done.exception())
                self._asking[node] = asked
            began, answer = asked
            if began >= since:
                return await asyncio.shield(answer)
            await asyncio.wait({answer})  # it was asked too early; ask once more

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await finish(client.close(), self._kafka.request_timeout_seconds)

    async def _connected(self) -> AIOKafkaClient:
        async with self._connecting:
            if self._client is None:
                client = AIOKafkaClient(**kafka_options(self._kafka))
                try:
                    with broker_errors():
                        await asyncio.wait_for(client.bootstrap(), self._kafka.request_timeout_seconds)
                        # So that it knows the leaders; where there is no topic, the question says so.
                        await asyncio.wait_for(
                            client.add_topic(self._topic), self._kafka.request_timeout_seconds
                        )
                except BaseException:
                    await finish(client.close(), self._kafka.request_timeout_seconds)
                    raise
                self._client = client
        return self._client

    async def _ask(self, client: AIOKafkaClient, node: int) -> str:
        with broker_errors():
            try:
                code, topic_id = await asyncio.wait_for(
                    _ask(client, self._topic, node), self._kafka.request_timeout_seconds
                )
            except _NoTopicIds:
                return NONE
            except Exception:
                client.force_metadata_update()  # the leader may be another by now
                raise
            if code:
                raise for_code(code)()
        return topic_id.hex() if any(topic_id) else NONE


async def _ask(client: AIOKafkaClient, topic: str, node: int | None = None) -> tuple[int, bytes]:
    node = client.get_random_node() if node is None else node
    answer: Any = await client.send(node, _AskForTopicId(topic))
    (found,) = answer.topics
    return int(found[0]), bytes(found[2])
