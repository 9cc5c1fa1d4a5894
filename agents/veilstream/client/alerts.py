"""Subscribing to `budget.alerts`.

Delivery: without a group, every alert that arrives after the start (or that the topic still holds, with
`from_beginning`), once. With a group, the position is kept on the broker: the next subscriber of the group
goes on where the last one stopped. An alert counts as taken when the caller asks for the next one, leaves the
loop or closes; a process that dies in between gets it again. The topic is compacted by fingerprint, so a
subscriber that comes late sees the last state of each alert, not each change.

Retries: the first connection fails at once with `BrokerUnavailable`; a broker that goes away later is waited
for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError

from veilstream.client.background import SyncForm
from veilstream.errors import RecordInvalid, SettingInvalid, TopicMismatch
from veilstream.events import codec
from veilstream.events.topics import topic_name
from veilstream.events.types import ALERT
from veilstream.settings import Settings, kafka_options, load_settings
from veilstream.transport import broker_errors

__all__ = ["Alert", "AlertSubscriber", "SyncAlertSubscriber"]

_STOP_SECONDS = 2.0
SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert about a budget: `ai.veilstream.alert.v1`. ε and δ are pure numbers, `time` is RFC 3339."""

    fingerprint: str
    rule: str
    severity: str
    state: str
    tenant: str
    budget: str
    seq: int
    time: str
    summary: str
    description: str
    runbook: str
    epsilon: float
    epsilon_spent: float
    fraction: float
    delta: float | None = None
    threshold: float | None = None


_FIELDS = frozenset(field.name for field in fields(Alert))


class _Joined(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka's types are not seen by mypy
    """Says when the group has let this consumer in."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def on_partitions_revoked(self, revoked: Any) -> None: ...

    async def on_partitions_assigned(self, assigned: Any) -> None:
        self.event.set()


class AlertSubscriber:
    """Alerts as they come: `async for alert in AlertSubscriber(tenant="acme"): …`

    Args:
        tenant: only this tenant's; all by default.
        severity: only `info`, `warning` or `critical`; all by default.
        from_beginning: begin with what the topic still holds; a group goes on where it stopped in any case.
        group: name under which the broker keeps the position.
        settings: `load_settings()` by default.

    `async with` connects before the loop, so that no alert from then on is missed.

    Raises:
        SettingInvalid: an unknown severity.
        BrokerUnavailable, TopicMismatch: at the start.
    """

    def __init__(
        self,
        *,
        tenant: str | None = None,
        severity: str | None = None,
        from_beginning: bool = False,
        group: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        if severity is not None and severity not in SEVERITIES:
            raise SettingInvalid(f"severity: got {severity!r:.40}; takes {', '.join(SEVERITIES)}")
        self._kafka = (settings or load_settings()).kafka
        self._topic = topic_name(self._kafka, "budget.alerts")
        self._tenant = tenant
        self._severity = severity
        self._from_beginning = from_beginning
        self._group = group
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> Self:
        """Connect and fix the place to read from. Called by `async with` and by the loop."""
        if self._consumer is not None:
            return self
        consumer = AIOKafkaConsumer(
            **kafka_options(self._kafka),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest" if self._from_beginning else "latest",
            isolation_level="read_committed",
        )
        try:
            with broker_errors():
                await consumer.start()
                await self._position(consumer)
        except BaseException:
            await _stop(consumer)
            raise
        self._consumer = consumer
        return self

    async def _position(self, consumer: AIOKafkaConsumer) -> None:
        # Asked for without being subscribed to, so that a missing topic is not created by asking.
        numbers = (await consumer._client.fetch_all_metadata()).partitions_for_topic(self._topic)
        if not numbers:
            raise TopicMismatch(
                f"topic {self._topic} is not on the broker", hint="create it with `veilstream topics create`"
            )
        if self._group is not None:
            joined = _Joined()
            consumer.subscribe([self._topic], listener=joined)
            await asyncio.wait_for(joined.event.wait(), self._kafka.request_timeout_seconds)
            # Kept from the start, so that a group that has taken nothing yet has a place to go on from too.
            # A second member of the group may have no partition: it stands by.
            places = {place: await consumer.position(place) for place in consumer.assignment()}
            if places:
                await consumer.commit(places)
            return
        assigned = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(assigned)
        offsets = await (consumer.beginning_offsets if self._from_beginning else consumer.end_offsets)(
            assigned
        )
        for place, offset in offsets.items():
            consumer.seek(place, offset)

    async def aclose(self) -> None:
        """Disconnect; a loop that still runs ends."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stop(consumer)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncGenerator[Alert, None]:
        return self._alerts()

    async def _alerts(self) -> AsyncGenerator[Alert, None]:
        await self.start()
        consumer = self._consumer
        if consumer is None:  # closed while it connected
            return
        try:
            while True:
                try:
                    with broker_errors():
                        record = await consumer.getone()
                except ConsumerStoppedError:
                    return
                alert = self._wanted(record.value)
                try:
                    if alert is not None:
                        yield alert
                finally:
                    await self._taken(consumer, record)
        finally:
            await self.aclose()

    async def _taken(self, consumer: AIOKafkaConsumer, record: Any) -> None:
        if self._group is None:
            return
        # A position that cannot be kept is no reason to fail: the alert comes again.
        with suppress(KafkaError, OSError):
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})

    def _wanted(self, data: bytes | None) -> Alert | None:
        """The alert, or None: a tombstone, a type of a later version, or not what was asked for."""
        try:
            value = codec.decode(ALERT, data)
        except RecordInvalid:
            return None
        if self._tenant is not None and value["tenant"] != self._tenant:
            return None
        if self._severity is not None and value["severity"] != self._severity:
            return None
        return Alert(**{name: item for name, item in value.items() if name in _FIELDS})


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and disconnect, without waiting for a broker, or a loop, that has gone.

    A program that leaves the loop and ends has this run while its event loop is being closed: the tasks of
    the connection are cancelled by then, and no answer would ever come.
    """
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(consumer.stop(), _STOP_SECONDS)
        return
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(consumer._client.close(), _STOP_SECONDS)


class SyncAlertSubscriber(SyncForm[AlertSubscriber]):
    """`AlertSubscriber` without async: `for alert in SyncAlertSubscriber(tenant="acme"): …`

    Takes the same arguments. Leaving the loop, or `close`, disconnects.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(AlertSubscriber(**arguments), "veilstream-alerts")

    def __iter__(self) -> Iterator[Alert]:
        self.start()
        loop = self._loop
        if loop is None:
            return
        alerts = self._inner.__aiter__()
        try:
            while True:
                alert = loop.run(_next(alerts))
                if alert is None:
                    return
                yield alert
        finally:
            if self._loop is not None:
                loop.run(alerts.aclose())
            self.close()


async def _next(alerts: AsyncGenerator[Alert, None]) -> Alert | None:
    return await anext(alerts, None)
