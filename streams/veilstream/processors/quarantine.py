"""What could not be processed: list it, look into it, send it again.

A place is `PARTITION:OFFSET` of the quarantine topic. `list_quarantine` shows what is not encrypted: the
tenant, the error's code, kind and path, the place of the original. `show_quarantined` decrypts one record: it
holds personal data, and is for the tenant's officer. `replay_quarantined` sends originals to the raw topic as
they were, key, value and headers; they keep their event id, so that who looks for copies finds them. The
quarantine record
stays until retention takes it: replaying twice sends twice.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiokafka.structs import ConsumerRecord

from veilstream.contracts import KeyProvider
from veilstream.errors import RecordInvalid, SettingInvalid
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.topics import topic_name
from veilstream.events.types import QUARANTINE
from veilstream.processors.decoding import RawRecord, as_headers
from veilstream.processors.sealing import open_quarantined
from veilstream.settings import Settings
from veilstream.transport import producer, read_to_end

__all__ = ["list_quarantine", "replay_quarantined", "show_quarantined"]

_TOPIC = "interactions.quarantine"


async def list_quarantine(settings: Settings) -> list[dict[str, Any]]:
    """A row for each record: `place`, `tenant` (None: the operator's), `code`, `kind`, `path`, `detail`,
    `time` (of the raw record), `origin`.

    Raises:
        BrokerUnavailable, TopicMismatch: the topic cannot be read.
    """
    return [
        {
            "place": f"{record.partition}:{record.offset}",
            "tenant": value["tenant"],
            "code": value["error"]["code"],
            "kind": value["error"]["kind"],
            "path": value["error"]["path"],
            "detail": value["error"].get("detail", ""),
            "time": Attributes.from_headers(record.headers).time,
            "origin": value["origin"],
        }
        async for record, value in _records(settings, None)
    ]


async def show_quarantined(settings: Settings, provider: KeyProvider, place: str) -> dict[str, Any]:
    """The error and the original record: text where it is UTF-8, else base64.

    Raises:
        SettingInvalid: no such place.
        KeyMissing, EnvelopeInvalid: these keys do not open it.
    """
    async with aclosing(_records(settings, place)) as records:
        async for _, value in records:
            original = open_quarantined(value, provider)
            return {
                "place": place,
                "tenant": value["tenant"],
                "error": value["error"],
                "origin": value["origin"],
                "record": {
                    "key": _readable(original.key),
                    "headers": [[name, _readable(data)] for name, data in original.headers],
                    "value": _readable(original.value),
                    "timestamp_ms": original.timestamp_ms,
                },
            }
    raise SettingInvalid(f"no quarantined record at {place!r:.40}", hint="`veilstream quarantine list` shows")


async def replay_quarantined(
    settings: Settings, provider: KeyProvider, *, place: str | None = None, kind: str | None = None
) -> int:
    """Send originals to `interactions.raw` again; how many were acknowledged.

    Args:
        place: one record; all by default.
        kind: only errors of this kind.

    Raises:
        SettingInvalid: no such place or kind; the record at the place was too large to keep.
        KeyMissing, EnvelopeInvalid: these keys do not open a record; none was sent.
    """
    if kind is not None and kind not in RecordInvalid.KINDS:
        raise SettingInvalid(f"kind: got {kind!r:.40}; takes {', '.join(RecordInvalid.KINDS)}")
    originals: list[RawRecord] = []
    found = False
    async for _, value in _records(settings, place):
        found = True
        if kind is None or value["error"]["kind"] == kind:
            originals.append(open_quarantined(value, provider))
    if place is not None and not found:
        raise SettingInvalid(
            f"no quarantined record at {place!r:.40}", hint="`veilstream quarantine list` shows"
        )
    sendable = [item for item in originals if item.kept]
    if place is not None and originals and not sendable:
        raise SettingInvalid("that record was too large to keep", hint="read it at its origin")
    topic = topic_name(settings.kafka, "interactions.raw")
    async with producer(settings.kafka) as sender:
        for item in sendable:
            headers = [(name, data) for name, data in item.headers]
            await sender.send_and_wait(topic, item.value, key=item.key, headers=headers)
    return len(sendable)


async def _records(
    settings: Settings, place: str | None
) -> AsyncGenerator[tuple[ConsumerRecord, dict[str, Any]], None]:
    starts: dict[int, int] | None = None
    ends: dict[int, int] | None = None
    if place is not None:
        partition, offset = _place(place)
        starts = {partition: offset}
        ends = dict.fromkeys(range(settings.kafka.partitions), 0) | {partition: offset + 1}
    topic = topic_name(settings.kafka, _TOPIC)
    async with aclosing(read_to_end(settings.kafka, topic, starts=starts, ends=ends)) as records:
        async for record in records:
            try:
                attributes = Attributes.from_headers(as_headers(record.headers))
                if attributes.type != QUARANTINE:
                    continue
                value = codec.decode(QUARANTINE, record.value)
            except RecordInvalid:
                continue  # not one of ours
            if place is None or place == f"{record.partition}:{record.offset}":
                yield record, value


def _place(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise SettingInvalid(f"place: got {text!r:.40}; takes PARTITION:OFFSET, such as 0:17")
    return int(partition), int(offset)


def _readable(data: bytes | None) -> str | dict[str, str] | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}
