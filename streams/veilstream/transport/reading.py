"""A topic from a place to its end, then stop.

The end is what the topic had at the call, so a reader is finite while others write. Offsets have gaps:
compaction, transaction markers, aborted records and retention. A partition is therefore done when its
*position* is at its end, not when a certain record was seen. A broker that gives no records and does not let
the position reach the end is an error after `kafka.request_timeout_seconds`: a reader never passes over what
may be there.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from veilstream.errors import BrokerUnavailable, TopicMismatch
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode as decode_value
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport.connecting import finish, partition_counts
from veilstream.transport.errors import broker_errors

__all__ = ["end_offsets", "offsets_for_time", "read_to_end"]

Isolation = Literal["read_committed", "read_uncommitted"]

_POLL_MS = 200
_BATCH = 2000


@asynccontextmanager
async def _consumer(
    kafka: KafkaSettings, topic: str, isolation: Isolation
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A consumer without a group, assigned to every partition of the topic."""
    consumer = AIOKafkaConsumer(
        **kafka_options(kafka),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=isolation,
        # A partition's largest record must fit, or the reader would stand still before it.
        max_partition_fetch_bytes=max(2_097_152, 2 * kafka.max_record_bytes + 65_536),
    )
    try:
        with broker_errors():
            await consumer.start()
            # Asked before it is assigned: aiokafka's own question would make a broker create the topic.
            count = (await partition_counts(consumer._client, [topic])).get(topic)
        if count is None:
            raise TopicMismatch(
                f"topic {topic} is not on the broker", hint="create it with `veilstream topics create`"
            )
        assigned = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(assigned)
        yield consumer, assigned
    finally:
        await finish(consumer.stop(), kafka.request_timeout_seconds)


async def end_offsets(
    kafka: KafkaSettings, topic: str, *, isolation: Isolation = "read_committed"
) -> dict[int, int]:
    """The offset after the last readable record of each partition.

    Raises:
        BrokerUnavailable, TopicMismatch: as `broker_errors`.
    """
    async with _consumer(kafka, topic, isolation) as (consumer, assigned):
        ends = await _ends(kafka, consumer, assigned)
    return {tp.partition: offset for tp, offset in ends.items()}


async def _ends(
    kafka: KafkaSettings, consumer: AIOKafkaConsumer, assigned: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """End offsets, by ListOffsets; on a broker of the Tansu kind also by what a fetch says.

    Tansu 0.6 answers ListOffsets with the *first* offset of the last batch, plus one; the high watermark of
    its fetches is right. `kafka.idempotence` is off there and hardly anywhere else, where asking twice is
    harmless.
    """
    with broker_errors():
        listed: dict[TopicPartition, int] = await consumer.end_offsets(assigned)
    if kafka.idempotence:
        return listed
    for tp in assigned:
        consumer.seek(tp, max(0, listed[tp] - 1))
    since = time.monotonic()
    while any(consumer.highwater(tp) is None for tp in assigned):
        with broker_errors():
            await consumer.getmany(*assigned, timeout_ms=_POLL_MS)
        if time.monotonic() - since > kafka.request_timeout_seconds:
            raise _silent(assigned[0].topic)
    stable = {tp: consumer.last_stable_offset(tp) for tp in assigned}
    return {tp: max(listed[tp], stable[tp] or 0, 0) for tp in assigned}


async def offsets_for_time(kafka: KafkaSettings, topic: str, unix_seconds: float) -> dict[int, int]:
    """The first offset at or after a time in each partition; the end offset where there is none yet.

    On a LogAppendTime topic this is a place that no later record changes once the time has passed. A broker
    of the Tansu kind has no time index and keeps the producers' times: there the topic is read from its
    beginning.

    Raises:
        BrokerUnavailable, TopicMismatch: as `broker_errors`.
    """
    milliseconds = round(unix_seconds * 1000)
    if not kafka.idempotence:
        return await _offsets_by_reading(kafka, topic, milliseconds)
    async with _consumer(kafka, topic, "read_committed") as (consumer, assigned):
        with broker_errors():
            # The end first: a record appended between the two calls is at or after it either way.
            ends = await consumer.end_offsets(assigned)
            found = await consumer.offsets_for_times(dict.fromkeys(assigned, milliseconds))
    return {tp.partition: found[tp].offset if found.get(tp) else ends[tp] for tp in assigned}


async def _offsets_by_reading(kafka: KafkaSettings, topic: str, milliseconds: int) -> dict[int, int]:
    ends = await end_offsets(kafka, topic)
    found: dict[int, int] = {}
    async with aclosing(read_to_end(kafka, topic, ends=ends)) as records:
        async for record in records:
            if record.timestamp >= milliseconds:
                found.setdefault(record.partition, record.offset)
    return {**ends, **found}


async def read_to_end(
    kafka: KafkaSettings,
    topic: str,
    *,
    starts: dict[int, int] | None = None,
    ends: dict[int, int] | None = None,
    isolation: Isolation = "read_committed",
    decode: bool = False,
) -> AsyncGenerator[ConsumerRecord, None]:
    """Yield a topic's records up to the end that it has now, in order within each partition, and stop.

    `starts` and `ends` give, for a partition, the first offset and the one after the last; without one it is
    the beginning, and the end at the call. A start below what retention has kept begins at the oldest record.
    An end beyond the topic's is lowered to it: this never waits for records to come. With `decode` a record's
    value is the parsed JSON, checked against the schema of its `ce_type`.

    Leaving the loop early keeps the connection until the generator is closed: use `contextlib.aclosing`.

    Raises:
        BrokerUnavailable: no broker, or none for `kafka.request_timeout_seconds` on the way.
        TopicMismatch: the topic is not there.
        RecordInvalid: with `decode`, a record breaks the contract.
    """
    async with _consumer(kafka, topic, isolation) as (consumer, assigned):
        with broker_errors():
            beginnings = await consumer.beginning_offsets(assigned)
        last = await _ends(kafka, consumer, assigned)
        left: dict[TopicPartition, int] = {}  # where each unfinished partition ends
        for tp in assigned:
            first = max((starts or {}).get(tp.partition, 0), beginnings[tp])
            end = min((ends or {}).get(tp.partition, last[tp]), last[tp])
            if first < end:
                left[tp] = end
                consumer.seek(tp, first)
            else:
                consumer.pause(tp)
        since = time.monotonic()
        while left:
            with broker_errors():
                batch = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_BATCH)
            for tp, records in batch.items():
                for record in records:
                    if record.offset < left[tp]:
                        yield _decoded(record) if decode else record
            done = [tp for tp, end in left.items() if await consumer.position(tp) >= end]
            for tp in done:
                del left[tp]
                consumer.pause(tp)
            if batch or done:
                since = time.monotonic()
            elif time.monotonic() - since > kafka.request_timeout_seconds:
                raise _silent(topic)


def _silent(topic: str) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"Kafka stopped answering in the middle of {topic}", hint="see that the broker runs, then try again"
    )


def _decoded(record: ConsumerRecord) -> ConsumerRecord:
    attributes = Attributes.from_headers(record.headers)
    return replace(record, value=decode_value(attributes.type, record.value))
