"""The ledger's journal on Kafka, with its public projection and the releases.

| topic | key | `ce_id` | value |
|---|---|---|---|
| `ledger.journal` | budget | `<budget>/<seq>` | ledger entry, inside the boundary |
| `budget.events` | budget | `<budget>/<seq>` | its public projection |
| `models.releases` | `<tenant>/<model>` | release id | model card |

**Claims.** Who has claimed a tree of budgets appends to all three topics in one transaction, under a
transactional id of the tree: readers see entry, event and release together or not at all, and whoever had
claimed the tree before is fenced by the broker, however late it wakes up. Where the broker has no
transactions (`kafka.idempotence` off) a claim does nothing.

**Order**, without a claim. The journal is acknowledged before an event is sent, and the events before a
release: who sees a release can find its charge. Within a topic, batch after batch, each acknowledged before
the next is sent, so a failure leaves a prefix and never a gap. The three topics have one partition.

**Repeats.** When an answer is lost the caller appends again, and entries stand twice. `read` yields what
stands there: the ledger drops repeats by budget and sequence (and would see one with another hash). Readers
of the other topics drop repeats by `ce_id`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from veilstream.contracts import JournalRecord
from veilstream.errors import JournalBroken, RecordInvalid, RecordTooLarge
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import check, decode, dumps
from veilstream.events.topics import topic_name
from veilstream.events.types import BUDGET_EVENT, JOURNAL_ENTRY, RELEASE
from veilstream.settings import KafkaSettings
from veilstream.transport.errors import broker_errors
from veilstream.transport.producing import RECORD_OVERHEAD_BYTES, start, stop
from veilstream.transport.reading import end_offsets, read_to_end

__all__ = ["KafkaJournal"]

SOURCE = "veilstream/ledger"

_TRANSACTION_SECONDS = 30.0

_Message = tuple[bytes, bytes, list[tuple[str, bytes]]]  # key, value, headers


class KafkaJournal:
    """`contracts.Journal` on Kafka.

    As it is, each `append` connects and disconnects. `async with KafkaJournal(kafka) as journal:` keeps one
    producer for many. Claims are kept in either case, until `release`, or the end of the block.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._lock = asyncio.Lock()  # two appends at once would mix their order
        self._keep = False
        self._producer: AIOKafkaProducer | None = None
        self._claims: dict[str, AIOKafkaProducer] = {}  # by root

    async def __aenter__(self) -> Self:
        self._keep = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keep = False
        await self._disconnect()
        for tree in list(self._claims):
            await self.release(tree)

    async def claim(self, tree: str) -> None:
        """From now on only this journal appends for a tree, until it is claimed again, here or elsewhere.

        A transaction that an earlier holder left open is ended first.

        Raises:
            BrokerUnavailable: no broker, or one that gives no producer id in time.
        """
        await self.release(tree)
        if not self._kafka.idempotence:
            return
        self._claims[tree] = await start(
            self._kafka,
            max_batch_size=self._kafka.max_record_bytes,
            transactional_id=f"{topic_name(self._kafka, 'ledger.journal')}/{tree}",
            transaction_timeout_ms=round(_TRANSACTION_SECONDS * 1000),
            # Kafka answers "not yet" while the last transaction's markers are being written.
            retry_backoff_ms=2,
        )

    async def release(self, tree: str) -> None:
        """Give a claim up. Raises nothing; what was not claimed is let be."""
        claimed = self._claims.pop(tree, None)
        if claimed is not None:
            await stop(claimed, self._kafka)

    async def append(self, records: Sequence[JournalRecord]) -> int:
        """Write in order; return when the broker has acknowledged every one in all three topics.

        Everything is checked before anything is sent. Returns the place after the last entry: its offset and
        one; 0 where there was none.

        Raises:
            RecordInvalid, RecordTooLarge: a record breaks its schema or is over the limit; nothing was sent.
            Fenced: the tree was claimed elsewhere; nothing was written. This claim is over.
            BrokerUnavailable: some may be written; append them all again. A claim is over then, too.
        """
        if not records:
            return 0
        sections = [
            (topic_name(self._kafka, "ledger.journal"), [self._entry(record) for record in records]),
            (
                topic_name(self._kafka, "budget.events"),
                [
                    self._event(record.budget, record.public)
                    for record in records
                    if record.public is not None
                ],
            ),
            (
                topic_name(self._kafka, "models.releases"),
                [self._release(record.release) for record in records if record.release is not None],
            ),
        ]
        tree = records[0].budget.partition("/")[0]
        if tree in self._claims:
            return await self._together(tree, sections)
        async with self._lock:
            try:
                connection = self._producer or await start(
                    self._kafka, max_batch_size=self._kafka.max_record_bytes
                )
                self._producer = connection
                ends = [await self._write(connection, topic, messages) for topic, messages in sections]
            except BaseException:
                # An idempotent producer with a batch of unknown fate is not used again.
                await self._disconnect()
                raise
            if not self._keep:
                await self._disconnect()
            return ends[0]

    async def end(self) -> int:
        """The offset after the journal's last entry. Raises BrokerUnavailable, TopicMismatch."""
        return (await end_offsets(self._kafka, topic_name(self._kafka, "ledger.journal")))[0]

    async def read(self, budget: str | None = None, *, start: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the journal's entries from an offset on, of one budget or of all, in the journal's order.

        Entries may stand there twice.

        Raises:
            JournalBroken: an entry cannot be read; says at which offset. Or the journal ends before `start`.
            BrokerUnavailable, TopicMismatch: as `read_to_end`.
        """
        topic = topic_name(self._kafka, "ledger.journal")
        wanted = budget.encode("ascii") if budget is not None else None
        if start and await self.end() < start:
            raise JournalBroken(
                f"the journal ends before offset {start}, which it had acknowledged",
                hint="the topic lost records, or is another one: restore it from a replica or a backup",
            )
        async with aclosing(read_to_end(self._kafka, topic, starts={0: start})) as found:
            async for record in found:
                if wanted is not None and record.key != wanted:
                    continue
                try:
                    yield decode(JOURNAL_ENTRY, record.value)
                except RecordInvalid as error:
                    raise JournalBroken(
                        f"the journal's record at offset {record.offset} is no ledger entry ({error.kind})",
                        hint="the journal is written by the ledger alone: see who else has access",
                    ) from error

    async def _write(self, connection: AIOKafkaProducer, topic: str, messages: list[_Message]) -> int:
        """In as few batches as the record limit allows, one after the other; the offset after the last."""
        end, left = 0, list(messages)
        with broker_errors():
            if left:
                await connection.partitions_for(topic)
            while left:
                ((delivery, taken),) = await _queue(connection, topic, left, most=1)
                end = (await delivery).offset + taken
                del left[:taken]
        return end

    async def _together(self, tree: str, sections: list[tuple[str, list[_Message]]]) -> int:
        """All of it in one transaction of the tree's producer; the offset after the last entry."""
        claimed = self._claims[tree]
        sent: list[tuple[asyncio.Future[Any], int]] = []
        try:
            with broker_errors():
                # aiokafka sets no limit to the calls of a transaction.
                async with asyncio.timeout(min(self._kafka.request_timeout_seconds, _TRANSACTION_SECONDS)):
                    await claimed.begin_transaction()
                    for topic, messages in sections:
                        sent += await _queue(claimed, topic, messages)
                    entries = len(sections[0][1])
                    await asyncio.gather(*(delivery for delivery, _ in sent))
                    await claimed.commit_transaction()
        except BaseException:
            # A transaction of unknown fate: who goes on claims the tree again, and that ends it.
            await self.release(tree)
            raise
        end, counted = 0, 0
        for delivery, count in sent:
            if counted < entries:
                end, counted = delivery.result().offset + count, counted + count
        return end

    async def _disconnect(self) -> None:
        connection, self._producer = self._producer, None
        if connection is not None:
            await stop(connection, self._kafka)

    def _entry(self, record: JournalRecord) -> _Message:
        public = record.entry.get("public", {})
        part = record.entry.get("part")
        ce_id = _event_id(public) if part is None else f"{_event_id(public)}/{part['index']}"
        return self._message(JOURNAL_ENTRY, record.budget, ce_id, public.get("time"), record.entry)

    def _event(self, budget: str, public: dict[str, Any]) -> _Message:
        return self._message(BUDGET_EVENT, budget, _event_id(public), public.get("time"), public)

    def _release(self, card: dict[str, Any]) -> _Message:
        key = f"{card.get('tenant')}/{card.get('model')}"
        return self._message(RELEASE, key, str(card.get("release")), card.get("created"), card)

    def _message(self, ce_type: str, key: str, ce_id: str, time: str | None, value: Any) -> _Message:
        check(ce_type, value)
        attributes = Attributes(type=ce_type, source=SOURCE, id=ce_id, time=str(time))
        headers, data = attributes.to_headers(), dumps(value)
        size = len(data) + len(key.encode()) + sum(len(name) + len(text) for name, text in headers)
        if size + RECORD_OVERHEAD_BYTES > self._kafka.max_record_bytes:
            raise RecordTooLarge(size, self._kafka.max_record_bytes - RECORD_OVERHEAD_BYTES)
        return key.encode(), data, headers


async def _queue(
    producer: AIOKafkaProducer, topic: str, messages: list[_Message], *, most: int | None = None
) -> list[tuple[asyncio.Future[Any], int]]:
    """Queue messages in their order, in as few batches as the limit allows: deliveries and their counts.

    `most` is how many batches at most.
    """
    queued: list[tuple[asyncio.Future[Any], int]] = []
    left = list(messages)
    while left and len(queued) != most:
        batch = producer.create_batch()
        taken = 0
        for key, value, headers in left:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                break
            taken += 1
        delivery = await producer.send_batch(batch, topic, partition=0)
        # A failure of a later step must not leave one behind that nobody looked at.
        delivery.add_done_callback(lambda done: done.cancelled() or done.exception())
        queued.append((delivery, taken))
        del left[:taken]
    return queued


def _event_id(public: dict[str, Any]) -> str:
    """Deterministic, so that a repeat is seen as one."""
    return f"{public.get('budget')}/{public.get('seq')}"
