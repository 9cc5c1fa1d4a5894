"""Delivering what a batch of one source partition became, with the offset after it.

Two forms of one interface, each with a producer of its own for each source partition:

* `Transactional`: outputs and offset in one transaction, under a transactional id that belongs to the
  source partition. Opening it fences every earlier holder and ends what that one left open, so an offset that
  is read after `open` is final. A plain `read_committed` reader sees each record once and in order.
* `Acknowledged`: outputs first, then the offset. After a crash, records since the last commit come again.

Why not Faust's `exactly_once`, and why an id for each partition: docs/decisions/0006-lanes.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from veilstream.events.topics import max_message_bytes, topic_name
from veilstream.processors.pipeline import Outcome
from veilstream.settings import KafkaSettings
from veilstream.transport import producing
from veilstream.transport.errors import broker_errors

__all__ = ["Acknowledged", "Delivery", "Transactional"]

_BIGGEST_BATCH_BYTES = 1_000_000
_TRANSACTION_SECONDS = 60.0
_REMEMBERED_KEYS = 100_000
_TOPICS = ("interactions.protected", "interactions.quarantine")


class Delivery(Protocol):
    """What a lane delivers through. Any error means: close it, and open another."""

    async def open(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailable, Fenced
        """

    async def deliver(self, outcomes: Sequence[Outcome], upto: int, incarnation: str) -> None:
        """Return once outcomes are acknowledged, and `upto`, the next offset to read, is safe.

        Raises:
            BrokerUnavailable, TopicMismatch, RecordInvalid: nothing may be assumed of what arrived.
            Fenced: another process has the partition.
        """

    async def close(self) -> None:
        """Let go. Bounded in time; raises nothing."""


class _Outputs:
    """A producer, and how outcomes become batches of its topics' partitions."""

    def __init__(self, kafka: KafkaSettings, *, transactional_id: str | None) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._names = {short: topic_name(kafka, short) for short in _TOPICS}
        self._producer: AIOKafkaProducer | None = None
        self._counts: dict[str, int] = {}
        self._partitions: dict[bytes, int] = {}  # murmur2 in Python costs as much as parsing a record

    async def open(self) -> None:
        extra = {}
        if self._transactional_id is not None:
            extra = {
                "transactional_id": self._transactional_id,
                "transaction_timeout_ms": round(_TRANSACTION_SECONDS * 1000),
            }
        self._producer = await producing.start(
            self._kafka,
            max_request_size=max_message_bytes(self._kafka, "interactions.quarantine") + 1024,
            max_batch_size=min(self._kafka.max_record_bytes, _BIGGEST_BATCH_BYTES),
            compression_type=None if self._kafka.compression == "none" else self._kafka.compression,
            # Kafka answers "not yet" while the last transaction's markers are being written.
            retry_backoff_ms=2,
            **extra,
        )

    async def send(self, outcomes: Sequence[Outcome]) -> list[asyncio.Future[object]]:
        """Queue outcomes in their order within each output partition; a future a batch."""
        producer = self.producer
        builders: dict[tuple[str, int], Any] = {}
        sent: list[asyncio.Future[object]] = []
        for it in outcomes:
            place = it.topic, await self._partition(it.topic, it.key)
            builder = builders.get(place)
            if builder is None:
                builder = builders[place] = producer.create_batch()
            if builder.append(timestamp=None, key=it.key, value=it.value, headers=it.headers) is None:
                sent.append(await self._queue(builder, place))
                builder = builders[place] = producer.create_batch()
                builder.append(timestamp=None, key=it.key, value=it.value, headers=it.headers)
        for place, builder in builders.items():
            sent.append(await self._queue(builder, place))
        return sent

    async def _queue(self, builder: object, place: tuple[str, int]) -> asyncio.Future[object]:
        topic, partition = place
        queued: asyncio.Future[object] = await self.producer.send_batch(
            builder, self._names[topic], partition=partition
        )
        # A failure of a later step must not leave one behind that nobody looked at.
        queued.add_done_callback(lambda done: done.cancelled() or done.exception())
        return queued

    async def _partition(self, topic: str, key: bytes) -> int:
        """As Kafka's default partitioner: murmur2 of the key, sign bit off, modulo."""
        count = self._counts.get(topic)
        if count is None:
            count = self._counts[topic] = len(await self.producer.partitions_for(self._names[topic]))
        hashed = self._partitions.get(key)
        if hashed is None:
            if len(self._partitions) >= _REMEMBERED_KEYS:
                self._partitions.clear()
            hashed = self._partitions[key] = murmur2(key) & 0x7FFFFFFF
        return hashed % count

    @property
    def producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("not open")
        return self._producer

    async def close(self) -> None:
        made, self._producer = self._producer, None
        if made is not None:
            await producing.stop(made, self._kafka)


class Transactional:
    """Outputs and offset in one transaction.

    Args:
        group: the consumer group whose offset goes into the transaction.
        source: the raw topic's partition; with the group it names the transactional id.
    """

    def __init__(self, kafka: KafkaSettings, group: str, source: TopicPartition) -> None:
        self._group, self._source = group, source
        self._patience = min(kafka.request_timeout_seconds, _TRANSACTION_SECONDS) + 1.0
        self._outputs = _Outputs(kafka, transactional_id=f"{group}/{source.topic}/{source.partition}")

    async def open(self) -> None:
        await self._outputs.open()

    async def deliver(self, outcomes: Sequence[Outcome], upto: int, incarnation: str) -> None:
        producer = self._outputs.producer
        offsets = {self._source: OffsetAndMetadata(upto, incarnation)}
        sent: list[asyncio.Future[object]] = []
        # aiokafka sets no limit to the calls of a transaction.
        with broker_errors():
            try:
                async with asyncio.timeout(self._patience):
                    await producer.begin_transaction()
                    sent = await self._outputs.send(outcomes)
                    await producer.send_offsets_to_transaction(offsets, self._group)
                    await asyncio.gather(*sent)
                    await producer.commit_transaction()
            except Exception:
                # The error of the batch that broke the transaction says more than that it is broken.
                for each in sent:
                    if each.done() and not each.cancelled() and each.exception() is not None:
                        await each
                raise

    async def close(self) -> None:
        await self._outputs.close()


class Acknowledged:
    """Outputs, then, by whoever commits for the process, the offset."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._outputs = _Outputs(kafka, transactional_id=None)

    async def open(self) -> None:
        await self._outputs.open()

    async def deliver(self, outcomes: Sequence[Outcome], upto: int, incarnation: str) -> None:
        with broker_errors():
            await asyncio.gather(*await self._outputs.send(outcomes))

    async def close(self) -> None:
        await self._outputs.close()
