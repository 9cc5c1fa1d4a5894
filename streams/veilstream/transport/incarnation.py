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

from veilstream.errors import TopicMismatch
from veilstream.settings import KafkaSettings
from veilstream.transport.connecting import connected
from veilstream.transport.errors import broker_errors

__all__ = ["NONE", "incarnation"]

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


async def _ask(client: AIOKafkaClient, topic: str) -> tuple[int, bytes]:
    answer: Any = await client.send(client.get_random_node(), _AskForTopicId(topic))
    (found,) = answer.topics
    return int(found[0]), bytes(found[2])
