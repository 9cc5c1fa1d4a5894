"""A window's records in the protected topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from aiokafka.structs import ConsumerRecord

from veilstream.errors import RecordInvalid
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode
from veilstream.events.topics import topic_name
from veilstream.events.types import PROTECTED, PROTECTED_BATCH
from veilstream.settings import KafkaSettings
from veilstream.transport import end_offsets, offsets_for_time, read_to_end
from veilstream.worker.windows import Window

__all__ = ["TOPIC", "decode_protected", "read_window"]

TOPIC = "interactions.protected"

Interaction = tuple[str, dict[str, Any]]  # its id (an entity token), and its protected value
_PERSON = ("tenant", "unit", "subject_token", "ledger_token")

_OPEN_TRANSACTIONS_SECONDS = 65.0  # a broker aborts a transaction after 60 s by default
_POLL_SECONDS = 0.25


async def read_window(
    kafka: KafkaSettings,
    starts: Mapping[int, int],
    window: Window,
    take: Callable[[ConsumerRecord], None],
) -> dict[int, int]:
    """Give every record of a sealed window to `take`, in order within each partition.

    Args:
        starts: for each partition, where the window before ended; the beginning for one that is missing.
        take: must not raise for what a record holds.

    Returns:
        For each partition where this window ends: the offset of the first record at or after its end, or the
        place after the last record that there was.

    Raises:
        BrokerUnavailable, TopicMismatch: see `transport.read_to_end`. Nothing was applied: read it again.
    """
    topic = topic_name(kafka, TOPIC)
    bounds: dict[int, int] | None = None
    if kafka.idempotence:
        await _settled(kafka, topic)
        # Only so as not to read on into later windows; what decides is each record's timestamp. A broker
        # without transactions (Tansu) has no time index to trust either.
        bounds = await offsets_for_time(kafka, topic, window.end_ms / 1000)
    ends = dict(starts)
    past: set[int] = set()
    async with aclosing(read_to_end(kafka, topic, starts=dict(starts), ends=bounds)) as records:
        async for record in records:
            if record.partition in past:
                continue
            if record.timestamp >= window.end_ms:
                past.add(record.partition)
                continue
            ends[record.partition] = record.offset + 1
            take(record)
    return ends


async def _settled(kafka: KafkaSettings, topic: str) -> None:
    """Wait until every transaction that was open at the call has ended.

    An open transaction hides the records behind it from a `read_committed` reader; reading past it would let
    one writer's pause decide which window another person's records fall in. After the longest time that a
    broker leaves one open, this goes on: what is still hidden is late, and late is next window's.
    """
    written = await end_offsets(kafka, topic, isolation="read_uncommitted")
    deadline = time.monotonic() + _OPEN_TRANSACTIONS_SECONDS
    while time.monotonic() < deadline:
        readable = await end_offsets(kafka, topic)
        if all(readable.get(partition, 0) >= offset for partition, offset in written.items()):
            return
        await asyncio.sleep(_POLL_SECONDS)


def decode_protected(record: ConsumerRecord) -> tuple[Attributes, Sequence[Interaction]]:
    """A record's attributes, and its interactions in their order, each with its own id.

    All of them are of one person: what is one record for delivery is one person's for the guarantee.

    Raises:
        RecordInvalid: it is not protected interactions, breaks the contract, or is a batch of more than one
            person or tenant (`mixed_units`): no processor writes such a one.
    """
    attributes = Attributes.from_headers(record.headers)
    if attributes.type == PROTECTED:
        return attributes, [(attributes.id, decode(PROTECTED, record.value))]
    if attributes.type != PROTECTED_BATCH:
        raise RecordInvalid("unknown_type", "$headers.ce_type")
    items = decode(PROTECTED_BATCH, record.value)["interactions"]
    found = [(item["id"], item["interaction"]) for item in items]
    first = found[0][1]["privacy"]
    for index, (_, interaction) in enumerate(found):
        privacy = interaction["privacy"]
        if any(privacy[name] != first[name] for name in _PERSON):
            raise RecordInvalid("mixed_units", f"$.interactions[{index}]")
    return attributes, found
