"""The role: budget events and operator signals in, alerts out, until it is told to stop.

Order of things for each batch: check and evaluate every event, write the alerts to their topics as they come,
wait once for the broker's acknowledgement of all of them, and only then may the offset be committed (once a
second). Whenever the partition is assigned (at a start, after a rebalance, after an error) the state is made
anew from what the topics hold, so no state of an earlier life can be wrong.

Once a second, while it is not behind, the rules get a tick: what begins or ends by the passing of time alone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord

from veilstream.alerting.delivery import Delivery
from veilstream.alerting.intake import forget, happened, read_event, read_signal
from veilstream.alerting.loading import load_state
from veilstream.alerting.ruleparse import load_rules
from veilstream.alerting.rules import evaluate
from veilstream.alerting.ruleset import RuleSet
from veilstream.alerting.signals import evaluate_signal
from veilstream.alerting.sinks.registry import build_sinks
from veilstream.alerting.state import State
from veilstream.alerting.writing import AlertWriter
from veilstream.contracts import AlertSink
from veilstream.errors import BrokerUnavailable, VeilstreamError
from veilstream.events.topics import topic_name
from veilstream.settings import Settings, kafka_options
from veilstream.telemetry import logs, metrics
from veilstream.telemetry.health import Health
from veilstream.transport import broker_errors, end_offsets, ensure_topics, producer

__all__ = ["Alerting", "group_name", "rules_of", "run_alerting"]

_POLL_MS = 250
_BATCH = 1000
_BATCH_BYTES = 262_144
_TICK_SECONDS = 1.0
_BEHIND_SECONDS = 10.0
_COMMIT_SECONDS = 1.0
_SETTLE_EXTRA_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 10.0


def group_name(settings: Settings) -> str:
    """The consumer group of budget.events."""
    return f"{settings.kafka.topic_prefix}alerting"


def rules_of(settings: Settings) -> RuleSet:
    """The rules that the settings ask for.

    Raises:
        SettingInvalid: a rule cannot be used; it names file, rule and key.
    """
    return load_rules(
        settings.alerting.rules,
        thresholds=settings.alerting.thresholds,
        runbook_base=settings.alerting.runbook_base,
    )


async def run_alerting(
    settings: Settings,
    *,
    sinks: Sequence[AlertSink] | None = None,
    stop: asyncio.Event | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Run the role until SIGTERM or SIGINT, or until `stop` is set; then finish cleanly.

    Args:
        sinks: where alerts go beside the topic; those of the settings by default.
        stop: a caller's own switch; with it no signal handler is installed.
        clock: now, Unix seconds: of the ticks. Events carry their own time.

    Raises:
        SettingInvalid: a setting of the sinks, or a rule; nothing was changed.
        BrokerUnavailable, TopicMismatch: at the start only. Later the role waits for the broker to come back.
    """
    rules = rules_of(settings)
    chosen = build_sinks(settings) if sinks is None else list(sinks)
    stop = _stop_on_signals() if stop is None else stop
    health = Health("alerting")
    delivery = Delivery(settings, chosen, health=health)
    port = health.serve(settings.telemetry.host, settings.telemetry.port)
    role = Alerting(settings, rules, health, stop, clock)
    written = asyncio.Event()  # no further alert will be
    reason = "error"
    delivering: asyncio.Task[None] | None = None
    try:
        await ensure_topics(settings.kafka, create=False)
        delivering = asyncio.create_task(delivery.run(written), name="delivery")
        delivering.add_done_callback(partial(_stop_after_fault, stop))
        await role.run(lambda: logs.emit("role_started", role="alerting", port=port))
        written.set()
        await delivering
        reason = "asked to stop"
    except VeilstreamError as error:
        reason = error.code
        raise
    finally:
        health.not_ready("stopping")
        if delivering is not None:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)
        health.close()
        logs.emit("role_stopped", role="alerting", reason=reason)


def _stop_after_fault(stop: asyncio.Event, delivering: asyncio.Task[None]) -> None:
    """A fault in the delivery ends the role: whoever starts it again gets what was not told."""
    if not delivering.cancelled() and delivering.exception() is not None:
        stop.set()


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Counts assignments: whoever consumes notices that the partition may have changed hands."""

    def __init__(self) -> None:
        self.generation = 0

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.generation += 1

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.generation += 1
        logs.emit("partitions_assigned", partitions=sorted(tp.partition for tp in assigned))


class Alerting:
    """The loop. One instance for a run."""

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        health: Health,
        stop: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._kafka = settings.kafka
        self._rules = rules
        self._patience_seconds = settings.kafka.request_timeout_seconds
        self._health = health
        self._stop = stop
        self._clock = clock
        self._events = topic_name(self._kafka, "budget.events")
        self._signals = topic_name(self._kafka, "operator.signals")
        self._state = State()
        self._handled: dict[TopicPartition, int] = {}  # offsets that are settled and not yet committed
        self._committed = self._ticked = time.monotonic()
        self._newest = 0.0  # when the last record that was taken was written, Unix seconds
        self._clock_is_behind = False
        self._started: Callable[[], None] | None = None

    async def run(self, started: Callable[[], None] | None = None) -> None:
        """Consume until told to stop. When the broker goes away, start over until it is back.

        `started` is called once, when the role has its first state and is ready.
        """
        self._started = started
        attempt = 0
        while not self._stop.is_set():
            try:
                await self._session()
            except (BrokerUnavailable, KafkaError) as error:
                attempt = 1 if self._health.reason is None else attempt + 1
                self._health.not_ready("Kafka cannot be reached")
                logs.emit(
                    "broker_unreachable",
                    level=logging.WARNING,
                    error_type=type(error.__cause__ or error).__name__,
                    attempt=attempt,
                )
                await self._pause(min(0.5 * 2 ** min(attempt - 1, 10), _LONGEST_PAUSE_SECONDS))

    async def _session(self) -> None:
        """One connection: from the state of the topics until stopped or cut off."""
        async with AsyncExitStack() as stack:
            # One batch is under way at a time; aiokafka's own 16 KB would be some 15 alerts a round trip.
            sender = await stack.enter_async_context(producer(self._kafka, max_batch_size=_BATCH_BYTES))
            writer = AlertWriter(
                sender,
                public=topic_name(self._kafka, "budget.alerts"),
                operator=self._signals,
                told=self._tell,
            )
            assignment = _Assignment()
            consumer = AIOKafkaConsumer(
                **kafka_options(self._kafka),
                group_id=group_name(self._settings),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                # Both topics to one member: what an operator is told of a budget needs its events.
                partition_assignment_strategy=(RangePartitionAssignor, RoundRobinPartitionAssignor),
            )
            stack.push_async_callback(_stop_consumer, consumer, self._kafka.request_timeout_seconds)
            with broker_errors():
                await asyncio.wait_for(consumer.start(), self._kafka.request_timeout_seconds)
                consumer.subscribe([self._events, self._signals], listener=assignment)
            self._handled.clear()
            loaded, answered = -1, time.time()
            while not self._stop.is_set():
                with broker_errors():
                    batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH)
                self._health.beat()
                answered = await self._still_answers(consumer, answered)
                if assignment.generation != loaded:
                    # What was fetched meanwhile comes again: the state must be from after the assignment.
                    loaded = assignment.generation
                    await self._load(consumer)
                    self._health.ready()
                    if self._started is not None and consumer.assignment():
                        self._started()
                        self._started = None
                    continue
                for partition, records in batches.items():
                    await self._take(writer, partition, records)
                await self._tick(consumer, writer)
                with broker_errors():
                    await asyncio.wait_for(writer.settle(), self._patience_seconds + _SETTLE_EXTRA_SECONDS)
                for partition, records in batches.items():
                    self._handled[partition] = records[-1].offset + 1
                await self._commit(consumer)
            await self._commit(consumer, at_once=True)

    async def _still_answers(self, consumer: Any, answered: float) -> float:
        """When the broker last answered, Unix seconds; `answered` is what was known before.

        aiokafka hides a broker that is gone behind empty answers. Where partitions are ours, the time of the
        last real one shows it; where none is (another member has them, or the group cannot be joined), the
        broker is asked.

        Raises:
            BrokerUnavailable: nothing for longer than a request may take.
        """
        assigned = consumer.assignment()
        for tp in assigned:
            answered = max(answered, (consumer.last_poll_timestamp(tp) or 0) / 1000)
        if time.time() - answered <= self._patience_seconds:
            return answered
        if assigned:
            raise BrokerUnavailable("Kafka does not answer")
        await end_offsets(self._kafka, self._events)
        return time.time()

    async def _load(self, consumer: Any) -> None:
        """The state of the partitions that are ours; none, and no gauges, while another member has them."""
        handled: dict[TopicPartition, int] = {}
        forget()
        self._state, self._newest = State(), 0.0
        self._handled.clear()
        for tp in consumer.assignment():
            with broker_errors():
                # aiokafka asks for ever: unbounded, a broker that hangs would not show.
                offset = await asyncio.wait_for(consumer.committed(tp), self._patience_seconds)
            handled[tp] = offset or 0
        if not handled:
            return
        ends = {tp.partition: offset for tp, offset in handled.items() if tp.topic == self._events}
        self._state = await load_state(self._kafka, ends, self._rules, beat=self._health.beat)
        for tp in consumer.assignment():
            if tp in handled:
                consumer.seek(tp, handled[tp])

    async def _take(
        self, writer: AlertWriter, partition: TopicPartition, records: Sequence[ConsumerRecord]
    ) -> None:
        """Evaluate the records of a batch; what they call for is on its way when this returns."""
        for record in records:
            alerts: list[dict[str, Any]] = []
            if partition.topic == self._signals:
                signal_ = read_signal(record)
                if signal_ is not None:
                    alerts, self._state = evaluate_signal(
                        self._state,
                        signal_,
                        self._rules,
                        place=record.offset,
                        time=happened(signal_, record),
                    )
            else:
                event = read_event(record, self._state)
                if event is not None:
                    alerts, self._state = evaluate(self._state, event, self._rules, happened(event, record))
            for alert in alerts:
                with broker_errors():
                    await writer.send(alert)
        self._newest = records[-1].timestamp / 1000
        self._health.beat()

    async def _tick(self, consumer: Any, writer: AlertWriter) -> None:
        """Once a second, what time alone brings about; not while events that say otherwise are unread."""
        if time.monotonic() - self._ticked < _TICK_SECONDS:
            return
        self._ticked = time.monotonic()
        places = [tp for tp in consumer.assignment() if tp.topic == self._events]
        at = self._clock()
        for tp in places:
            end = consumer.highwater(tp)
            behind = end is None or await consumer.position(tp) < end
            if behind and at - self._newest > _BEHIND_SECONDS:
                return
        if not places:
            return
        late = self._state.ticked / 1000 - at
        if (late > 0) and not self._clock_is_behind:
            logs.emit("clock_went_back", level=logging.WARNING, seconds=round(late, 3))
        self._clock_is_behind = late > 0
        alerts, self._state = evaluate(self._state, None, self._rules, at)
        for alert in alerts:
            with broker_errors():
                await writer.send(alert)

    async def _commit(self, consumer: Any, *, at_once: bool = False) -> None:
        if not self._handled or (time.monotonic() - self._committed < _COMMIT_SECONDS and not at_once):
            return
        self._committed = time.monotonic()
        # After a rebalance the partition is another's: it has the alerts from the topic, and we load anew.
        with broker_errors(), suppress(CommitFailedError, IllegalStateError):
            await asyncio.wait_for(consumer.commit(dict(self._handled)), self._patience_seconds)
        self._handled.clear()

    def _tell(self, alert: dict[str, Any]) -> None:
        """After the topic has it: metrics and the log. The sinks read the topic."""
        counted = "operator_alerts" if alert["audience"] == "operator" else "alerts"
        metrics.counter(counted, rule=alert["rule"], state=alert["state"]).inc()
        logs.emit(
            "alert_fired",
            fingerprint=alert["fingerprint"],
            rule=alert["rule"],
            severity=alert["severity"],
            state=alert["state"],
        )

    async def _pause(self, seconds: float) -> None:
        self._health.beat()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


async def _stop_consumer(consumer: Any, timeout_seconds: float) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(consumer.stop(), timeout_seconds)
