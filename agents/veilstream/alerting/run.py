"""The role: budget events in, alerts out, until it is told to stop.

Order of things for each event: check, evaluate, write its alerts to `budget.alerts` and wait for the broker's
acknowledgement, hand them to the other sinks, and only then commit the offset. Whenever the partition is
assigned (at a start, after a rebalance, after an error) the state is made anew from what the topics hold, so
no state of an earlier life can be wrong.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord

from veilstream.alerting.intake import forget, read_event
from veilstream.alerting.loading import load_state
from veilstream.alerting.rules import evaluate
from veilstream.alerting.sinks.background import Background
from veilstream.alerting.sinks.console import ConsoleSink
from veilstream.alerting.sinks.topic import TopicSink
from veilstream.alerting.sinks.webhook import WebhookSink
from veilstream.alerting.state import State
from veilstream.contracts import AlertSink
from veilstream.errors import BrokerUnavailable, VeilstreamError
from veilstream.events.cloudevents import now
from veilstream.events.topics import topic_name
from veilstream.settings import Settings, kafka_options
from veilstream.telemetry import logs, metrics
from veilstream.telemetry.health import Health
from veilstream.transport import broker_errors, end_offsets, ensure_topics, producer

__all__ = ["Alerting", "default_sinks", "group_name", "run_alerting"]

_POLL_MS = 500
_STOP_GRACE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 10.0


def group_name(settings: Settings) -> str:
    """The consumer group of budget.events."""
    return f"{settings.kafka.topic_prefix}alerting"


def default_sinks(settings: Settings) -> list[AlertSink]:
    """The sinks beside the topic that the settings ask for.

    Raises:
        SettingInvalid: the webhook's address cannot be used.
    """
    sinks: list[AlertSink] = [ConsoleSink()]
    if settings.alerting.webhook_url is not None:
        sinks.append(
            WebhookSink(
                settings.alerting.webhook_url.get_secret_value(),
                timeout_seconds=settings.alerting.webhook_timeout_seconds,
            )
        )
    return sinks


async def run_alerting(
    settings: Settings,
    *,
    sinks: Sequence[AlertSink] | None = None,
    stop: asyncio.Event | None = None,
    clock: Callable[[], str] = now,
) -> None:
    """Run the role until SIGTERM or SIGINT, or until `stop` is set; then finish cleanly.

    Args:
        sinks: where alerts go beside the topic; `default_sinks` by default.
        stop: a caller's own switch; with it no signal handler is installed.
        clock: RFC 3339 now.

    Raises:
        SettingInvalid: a setting of the sinks.
        BrokerUnavailable, TopicMismatch: at the start only. Later the role waits for the broker to come back.
    """
    chosen = list(default_sinks(settings) if sinks is None else sinks)
    stop = _stop_on_signals() if stop is None else stop
    health = Health("alerting")
    port = health.serve(settings.telemetry.host, settings.telemetry.port)
    backgrounds = [Background(sink) for sink in chosen]
    reason = "error"
    try:
        await ensure_topics(settings.kafka, create=False)
        for background in backgrounds:
            background.start()
        role = Alerting(settings, backgrounds, health, stop, clock)
        await role.run(lambda: logs.emit("role_started", role="alerting", port=port))
        reason = "asked to stop"
    except VeilstreamError as error:
        reason = error.code
        raise
    finally:
        health.not_ready("stopping")
        await asyncio.gather(*(b.stop(grace_seconds=_STOP_GRACE_SECONDS) for b in backgrounds))
        health.close()
        logs.emit("role_stopped", role="alerting", reason=reason)


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
        backgrounds: Sequence[Background],
        health: Health,
        stop: asyncio.Event,
        clock: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._kafka = settings.kafka
        self._patience_seconds = settings.kafka.request_timeout_seconds
        self._backgrounds = backgrounds
        self._health = health
        self._stop = stop
        self._clock = clock
        self._events = topic_name(self._kafka, "budget.events")
        self._state = State()
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
            sender = await stack.enter_async_context(producer(self._kafka))
            topic = TopicSink(sender, topic_name(self._kafka, "budget.alerts"))
            assignment = _Assignment()
            consumer = AIOKafkaConsumer(
                **kafka_options(self._kafka),
                group_id=group_name(self._settings),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            stack.push_async_callback(_stop_consumer, consumer, self._kafka.request_timeout_seconds)
            with broker_errors():
                await asyncio.wait_for(consumer.start(), self._kafka.request_timeout_seconds)
                consumer.subscribe([self._events], listener=assignment)
            loaded, answered = -1, time.time()
            while not self._stop.is_set():
                with broker_errors():
                    batches = await consumer.getmany(timeout_ms=_POLL_MS)
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
                    await self._take(consumer, topic, partition, records)

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
        handled: dict[int, int] = {}
        forget()
        self._state = State()
        for tp in consumer.assignment():
            with broker_errors():
                # aiokafka asks for ever: unbounded, a broker that hangs would not show.
                offset = await asyncio.wait_for(consumer.committed(tp), self._patience_seconds)
            handled[tp.partition] = offset or 0
        if not handled:
            return
        self._state = await load_state(self._kafka, handled)
        for tp in consumer.assignment():
            if tp.partition in handled:
                consumer.seek(tp, handled[tp.partition])

    async def _take(
        self, consumer: Any, topic: TopicSink, partition: TopicPartition, records: list[ConsumerRecord]
    ) -> None:
        for record in records:
            event = read_event(record, self._state)
            if event is not None:
                alerts, after = evaluate(
                    self._state,
                    event,
                    thresholds=self._settings.alerting.thresholds,
                    runbook_base=self._settings.alerting.runbook_base,
                    time=self._clock(),
                )
                for alert in alerts:
                    with broker_errors():
                        await topic.deliver(alert)
                    self._tell(alert)
                self._state = after
            self._health.beat()
        # After a rebalance the partition is another's: it has the alerts from the topic, and we load anew.
        with broker_errors(), suppress(CommitFailedError, IllegalStateError):
            done = consumer.commit({partition: records[-1].offset + 1})
            await asyncio.wait_for(done, self._patience_seconds)

    def _tell(self, alert: dict[str, Any]) -> None:
        """After the topic has it: metrics, the log, and the sinks that nobody waits for."""
        metrics.counter("alerts", rule=alert["rule"], state=alert["state"]).inc()
        logs.emit(
            "alert_fired",
            fingerprint=alert["fingerprint"],
            rule=alert["rule"],
            severity=alert["severity"],
            state=alert["state"],
        )
        for background in self._backgrounds:
            background.offer(alert)

    async def _pause(self, seconds: float) -> None:
        self._health.beat()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


async def _stop_consumer(consumer: Any, timeout_seconds: float) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(consumer.stop(), timeout_seconds)
