"""Subscribing to `budget.alerts`.

Delivery: without a group, every alert that arrives after the start (or that the topic still holds, with
`from_beginning`), once. With a group, the position is kept on the broker: the next subscriber of the group
goes on where the last one stopped. An alert counts as taken when the caller asks for the next one, leaves the
loop or closes; a process that dies in between gets it again. The topic is compacted by fingerprint, so a
subscriber that comes late sees the last state of each alert, not each change. What else stands on the topic
(silences, types of a later version, what breaks the contract) is passed over: silences decide what sinks are
told, and a subscriber sees every alert.

Retries: the first connection fails at once with `BrokerUnavailable`; a broker that goes away later is waited
for.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
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
from veilstream.transport import broker_errors, end_offsets

__all__ = ["SEVERITIES", "Alert", "AlertSubscriber", "SyncAlertSubscriber"]

_STOP_SECONDS = 2.0
SEVERITIES = ("info", "warning", "critical")
"""From the least to the worst."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert about a budget: `ai.veilstream.alert.v1`. ε and δ are pure numbers, `time` is RFC 3339.

    What a later version adds to the type is left out. The fields from `threshold` on are there where the rule
    has them.
    """

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
    value: float | None = None  # what the rule measured: a burn rate, a share, seconds, an ε
    value_high: float | None = None  # upper end of it, where `value` is the lower one
    limit: float | None = None  # what `value` is compared with
    window: str | None = None  # the longer window of a burn rate
    model: str | None = None  # model, or budget below, that it is about
    reason: str | None = None  # why a charge was refused, where not for want of room
    at: str | None = None  # budget above this one that refused a charge
    audience: str | None = None  # "public" where absent
    labels: Mapping[str, str] | None = field(default=None, hash=False)  # of the rule


_FIELDS = frozenset(one.name for one in fields(Alert))


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
        tenant: only this tenant's, or these tenants'; all by default.
        severity: only `info`, `warning` or `critical`, or several of them; all by default.
        min_severity: these and worse: `warning` is warning and critical. Not beside `severity`.
        budget: only budgets that match this pattern, or one of these: `*` is any text (a `/` too: `acme/*` is
            everything below acme), `?` one character, `[ab]` one of them.
        from_beginning: begin with what the topic still holds; a group goes on where it stopped in any case.
        group: name under which the broker keeps the position.
        settings: `load_settings()` by default.

    `async with` connects before the loop, so that no alert from then on is missed.

    Raises:
        SettingInvalid: an unknown severity, severity and min_severity both, or an empty choice.
        BrokerUnavailable, TopicMismatch: at the start.
    """

    def __init__(
        self,
        *,
        tenant: str | Collection[str] | None = None,
        severity: str | Collection[str] | None = None,
        min_severity: str | None = None,
        budget: str | Collection[str] | None = None,
        from_beginning: bool = False,
        group: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        tenants = _chosen("tenant", tenant)
        severities = _severities(severity, min_severity)
        patterns = _chosen("budget", budget)
        self._kafka = (settings or load_settings()).kafka
        self._topic = topic_name(self._kafka, "budget.alerts")
        self._tenants = tenants
        self._severities = severities
        self._budgets = (
            re.compile("|".join(map(fnmatch.translate, sorted(patterns)))) if patterns is not None else None
        )
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
            places = {place: await self._place_of_group(consumer, place) for place in consumer.assignment()}
            if places:
                await consumer.commit(places)
            return
        assigned = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(assigned)
        if self._from_beginning:
            offsets = await consumer.beginning_offsets(assigned)
        else:
            ends = await end_offsets(self._kafka, self._topic)
            offsets = {place: ends[place.partition] for place in assigned}
        for place, offset in offsets.items():
            consumer.seek(place, offset)

    async def _place_of_group(self, consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
        """Where the group stopped; where a new one begins.

        Its beginning is asked for, not left to the consumer: a broker of the Tansu kind tells a wrong end,
        and would have a new group hear alerts of before.
        """
        kept = await asyncio.wait_for(consumer.committed(place), self._kafka.request_timeout_seconds)
        if kept is None and not self._from_beginning:
            kept = (await end_offsets(self._kafka, self._topic))[place.partition]
        if kept is None:
            return int(await consumer.position(place))
        consumer.seek(place, kept)
        return int(kept)

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

    def wants(self, alert: Mapping[str, Any]) -> bool:
        """Whether an alert is one that was asked for; of a checked value of its type."""
        return (
            (self._tenants is None or alert["tenant"] in self._tenants)
            and alert["severity"] in self._severities
            and (self._budgets is None or self._budgets.match(alert["budget"]) is not None)
        )

    def _wanted(self, data: bytes | None) -> Alert | None:
        """The alert, or None: a tombstone, a type of a later version, or not what was asked for."""
        try:
            value = codec.decode(ALERT, data)
        except RecordInvalid:
            return None
        if not self.wants(value):
            return None
        return Alert(**{name: item for name, item in value.items() if name in _FIELDS})


def _chosen(name: str, choice: str | Collection[str] | None) -> frozenset[str] | None:
    """What is wanted; None where everything is. An empty choice is a mistake: it would wait for nothing."""
    if choice is None:
        return None
    found = frozenset([choice] if isinstance(choice, str) else choice)
    if not found or not all(found):
        raise SettingInvalid(f"{name}: got an empty choice; leave it out for all")
    return found


def _severities(severity: str | Collection[str] | None, least: str | None) -> frozenset[str]:
    wanted = _chosen("severity", severity)
    if wanted is not None and least is not None:
        raise SettingInvalid("severity: got min_severity too; takes one of the two")
    for one in sorted({*(wanted or ()), *([least] if least is not None else [])}):
        if one not in SEVERITIES:
            raise SettingInvalid(f"severity: got {one!r:.40}; takes {', '.join(SEVERITIES)}")
    if least is not None:
        return frozenset(SEVERITIES[SEVERITIES.index(least) :])
    return wanted if wanted is not None else frozenset(SEVERITIES)


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
