"""Sending logs to `interactions.raw`.

Retries: aiokafka repeats a delivery that failed for a passing reason (no leader, a lost connection) until
`kafka.request_timeout_seconds` are over, without duplicates where the broker has idempotent producers. Then
the call raises `BrokerUnavailable`; the producer stays usable, and what to do with the record is the caller's
to say: nothing is buffered on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypedDict

from aiokafka import AIOKafkaProducer

from veilstream.client.background import BackgroundLoop, SyncForm
from veilstream.client.records import Record, batch, interaction, record
from veilstream.client.tracing import current_traceparent
from veilstream.events.topics import topic_name
from veilstream.settings import Settings, load_settings
from veilstream.transport import broker_errors, producing

__all__ = ["LogProducer", "Receipt", "SyncLogProducer"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an acknowledged interaction is, and its id: the record's `ce_id`, or its own within a batch."""

    id: str
    partition: int
    offset: int


class _Routing(TypedDict):
    """What every record of a producer is made with."""

    source: str
    secret: str | None
    limit_bytes: int
    traceparent: str | None


class LogProducer:
    """Sends interactions of one tenant.

    Args:
        tenant: whose logs these are; its key must be there where the processors run.
        settings: `load_settings()` by default.
        source: CloudEvents source of the records.
    """

    def __init__(
        self, *, tenant: str, settings: Settings | None = None, source: str = "veilstream/client"
    ) -> None:
        self._settings = settings or load_settings()
        self._tenant = tenant
        self._source = source
        self._topic = topic_name(self._settings.kafka, "interactions.raw")
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> Self:
        """Connect. Called by `async with`.

        Raises:
            BrokerUnavailable: no broker.
        """
        if self._producer is None:
            # linger: `send` waits for its acknowledgement, so there is little to gather
            self._producer = await producing.start(self._settings.kafka, linger_ms=2)
        return self

    async def aclose(self) -> None:
        """Send what is under way, and disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producing.stop(producer, self._settings.kafka)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def send(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        subject: str | None = None,
        conversation: str | None = None,
        purpose: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        traceparent: str | None = None,
        **privacy: Any,
    ) -> Receipt:
        """Send one interaction and wait until every in-sync replica has it.

        Args:
            messages: OpenTelemetry's (`role`, `parts`) or OpenAI's chat messages (`role`, `content`).
            subject: the person whom the record is about: the unit of the guarantee. Without one it is the
                conversation.
            conversation: its id; a random one by default.
            purpose: why it is processed.
            attributes: anything else: model, agent, usage.
            traceparent: W3C trace context; OpenTelemetry's current span by default, where it is loaded.
            privacy: `lawful_basis`, `jurisdiction`, `retention`, `consent`.

        Raises:
            RecordInvalid: it breaks the contract; nothing was sent.
            RecordTooLarge: over `kafka.max_record_bytes`; nothing was sent.
            BrokerUnavailable: not acknowledged in time; it may have been written.
        """
        value = interaction(
            messages,
            tenant=self._tenant,
            subject=subject,
            conversation=conversation,
            purpose=purpose,
            attributes=attributes,
            **privacy,
        )
        return await self.send_event(value, traceparent=traceparent)

    async def send_event(self, value: Mapping[str, Any], *, traceparent: str | None = None) -> Receipt:
        """Send a ready value of `ai.veilstream.interaction.v1`; its privacy block says whose it is.

        Raises as `send`.
        """
        receipts = await self._deliver([record(value, **self._routing(traceparent))])
        return receipts[0]

    async def send_many(self, values: Iterable[Mapping[str, Any]]) -> list[Receipt]:
        """Send ready contract values, in order, and wait for all. Every one is checked before any is sent.

        Raises as `send`. After `BrokerUnavailable` some may have been written.
        """
        routing = self._routing(None)
        return await self._deliver([record(value, **routing) for value in values])

    async def send_batch(
        self,
        values: Iterable[Mapping[str, Any]],
        *,
        times: Sequence[str] | None = None,
        traceparent: str | None = None,
    ) -> list[Receipt]:
        """Send ready contract values of one person in one record: cheaper for everyone who handles it.

        All of them arrive, or none. They are of one unit: the same tenant and subject, or the same
        conversation where there is no subject; and they count as that many interactions of the person.

        Args:
            values: 1 to 1,000 of `ai.veilstream.interaction.v1`, in the order in which they happened.
            times: when each happened (RFC 3339); now by default.
            traceparent: as for `send`, for all of them.

        Returns:
            A receipt for each, with its own id, all at the record's place.

        Raises:
            RecordInvalid: one breaks the contract, or `mixed_units`: the path says which; nothing was sent.
            RecordTooLarge: all together are over `kafka.max_record_bytes`; nothing was sent, and nothing is
                split: send two smaller batches.
            BrokerUnavailable: not acknowledged in time; it may have been written.
        """
        made = batch(values, times=times, **self._routing(traceparent))
        return await self._deliver([made])

    async def flush(self) -> None:
        """Wait for what is under way in other tasks.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        with broker_errors():
            await asyncio.wait_for(self._started().flush(), self._settings.kafka.request_timeout_seconds)

    def _routing(self, traceparent: str | None) -> _Routing:
        secret = self._settings.client.routing_key
        return {
            "source": self._source,
            "secret": secret.get_secret_value() if secret else None,
            "limit_bytes": self._settings.kafka.max_record_bytes,
            "traceparent": traceparent or current_traceparent(),
        }

    async def _deliver(self, records: Sequence[Record]) -> list[Receipt]:
        producer = self._started()
        if not records:
            return []
        with broker_errors():
            acknowledgements = [
                await producer.send(self._topic, item.value, key=item.key, headers=item.headers)
                for item in records
            ]
            # Every one is awaited and looked at, also after a failure: none ends as an unread exception.
            await asyncio.wait(acknowledgements)
            for failure in [acknowledgement.exception() for acknowledgement in acknowledgements]:
                if failure is not None:
                    raise failure
            answers = [acknowledgement.result() for acknowledgement in acknowledgements]
        return [
            Receipt(identity, answer.partition, answer.offset)
            for item, answer in zip(records, answers, strict=True)
            for identity in item.ids
        ]

    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the producer is not started: use it in `async with`, or await start()")
        return self._producer


class SyncLogProducer(SyncForm[LogProducer]):
    """`LogProducer` without async: its loop runs in a thread. Safe to share between threads.

    with SyncLogProducer(tenant="acme") as logs:
        logs.send([{"role": "user", "content": "hi"}], subject="user-17")
    """

    def __init__(
        self, *, tenant: str, settings: Settings | None = None, source: str = "veilstream/client"
    ) -> None:
        super().__init__(LogProducer(tenant=tenant, settings=settings, source=source), "veilstream-producer")

    def send(self, messages: Sequence[Mapping[str, Any]], **fields: Any) -> Receipt:
        """As `LogProducer.send`; the caller's trace is taken in the caller's thread."""
        fields["traceparent"] = fields.get("traceparent") or current_traceparent()
        return self._running().run(self._inner.send(messages, **fields))

    def send_event(self, value: Mapping[str, Any], *, traceparent: str | None = None) -> Receipt:
        """As `LogProducer.send_event`."""
        return self._running().run(
            self._inner.send_event(value, traceparent=traceparent or current_traceparent())
        )

    def send_many(self, values: Iterable[Mapping[str, Any]]) -> list[Receipt]:
        """As `LogProducer.send_many`."""
        return self._running().run(self._inner.send_many(list(values)))

    def send_batch(
        self,
        values: Iterable[Mapping[str, Any]],
        *,
        times: Sequence[str] | None = None,
        traceparent: str | None = None,
    ) -> list[Receipt]:
        """As `LogProducer.send_batch`."""
        trace = traceparent or current_traceparent()
        return self._running().run(self._inner.send_batch(list(values), times=times, traceparent=trace))

    def flush(self) -> None:
        """As `LogProducer.flush`."""
        self._running().run(self._inner.flush())

    def _running(self) -> BackgroundLoop:
        if self._loop is None:
            raise RuntimeError("the producer is not started: use it in `with`, or call start()")
        return self._loop
