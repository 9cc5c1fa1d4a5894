"""Delivery: each sink is told of the alerts on the topics, at its own pace and from its own place.

Every sink is a consumer group of `budget.alerts` (`<prefix>alerting.sink.<name>`); one for operators reads
the alerts of `operator.signals` too. For each alert: note on `alerts.deliveries` that the sink is about to be
told, tell it, note that it was told, commit the offset below which all is settled. Where that is cut off:

| killed | then |
|---|---|
| before the sink answered | told at the next start, or, where a silence began meanwhile, of its end |
| after its answer, before the note is acknowledged (one broker round trip) | told a second time |
| after the note, before the commit | read again, and passed over |

It guarantees: a dead sink delays no other and loses nothing, however long it is dead and however often this
process is killed: its alerts wait on the topic (which is compacted: after long enough only the last state of
an alert). The order of one fingerprint is kept. A sink is told of an end only where it was told of a
beginning. A new sink is not told history, but is told what fires when it begins.

It does not guarantee exactly once: a sink may be told again what it was just told. A second process of this
role takes over a sink's group when the first is gone, and does not tell meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from veilstream.alerting.delivery_board import Place
from veilstream.alerting.delivery_log import (
    OPERATOR_TOPIC,
    PUBLIC_TOPIC,
    load_board,
    load_told,
    marker,
    read_record,
)
from veilstream.alerting.delivery_queue import SinkQueue
from veilstream.alerting.delivery_told import Action, Told
from veilstream.alerting.silences import Inhibition, load_inhibitions
from veilstream.contracts import AlertSink
from veilstream.errors import (
    BrokerUnavailable,
    RecordInvalid,
    SettingInvalid,
    SilenceInvalid,
    SinkFailed,
    SinkRefused,
    VeilstreamError,
)
from veilstream.events.topics import topic_name
from veilstream.settings import Settings, kafka_options
from veilstream.telemetry import logs, metrics
from veilstream.telemetry.health import Health
from veilstream.transport import broker_errors, end_offsets, producer

__all__ = ["Delivery", "sink_group"]

_IDLE_SECONDS = 0.5
_STOP_GRACE_SECONDS = 5.0
_STOP_POLL_SECONDS = 0.3
_LONGEST_PAUSE_SECONDS = 10.0
_MOST_WAITING = 50_000
_SESSION_MS = 6_000  # after a kill -9 the next process waits so long; Kafka's least
_BURST_SECONDS = 0.2


def sink_group(settings: Settings, sink: str) -> str:
    """The consumer group of a sink."""
    return f"{settings.kafka.topic_prefix}alerting.sink.{sink}"


class Delivery:
    """All sinks of a process."""

    def __init__(
        self,
        settings: Settings,
        sinks: Sequence[AlertSink],
        *,
        health: Health | None = None,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            health: becomes not ready if a sink's delivery ends by a fault of ours; a dead sink does not show
                there, but in `alert_delivery_failures` and `alert_delivery_waiting`.
            clock: Unix seconds.
            jitter: in [0, 1], for the pauses between attempts.

        Raises:
            SettingInvalid: two sinks have one name, or the inhibition rules cannot be used.
        """
        names = [sink.name for sink in sinks]
        if len(set(names)) != len(names):
            raise SettingInvalid(f"alerting.sinks: a name stands twice among {', '.join(names)}")
        inhibitions = load_inhibitions(settings.alerting.inhibitions)
        self._health = health
        self._sinks = [SinkDelivery(settings, sink, inhibitions, clock, jitter) for sink in sinks]

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then what is on the topics is told, for a few seconds at most.

        A broker that is away is waited for. Raises nothing but what is a fault of ours.
        """
        tasks = [asyncio.create_task(one.run(stop), name=f"sink-{one.name}") for one in self._sinks]
        try:
            await asyncio.gather(*tasks)
        except Exception:
            if self._health is not None:
                self._health.not_ready("delivery to a sink has ended by a fault")
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Counts assignments: what was read before one may be another member's now.

    Who is telling the sink holds `at_work`, and a partition is let go only after that: the next member finds
    noted what was told.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.at_work = asyncio.Lock()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.generation += 1
        async with self.at_work:
            return

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.generation += 1


class SinkDelivery:
    """One sink's. Everything of it, its connections too, is its own: nothing that it waits for is shared."""

    def __init__(
        self,
        settings: Settings,
        sink: AlertSink,
        inhibitions: Sequence[Inhibition],
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.name = sink.name
        self._sink = sink
        self._audience: str = getattr(sink, "audience", "public")
        self._resend: float | None = getattr(sink, "resend_seconds", None)
        self._settings = settings
        self._kafka = settings.kafka
        self._patience = settings.kafka.request_timeout_seconds
        self._inhibitions = inhibitions
        self._clock = clock
        self._jitter = jitter
        topics = (PUBLIC_TOPIC, OPERATOR_TOPIC) if self._audience == "operator" else (PUBLIC_TOPIC,)
        self._topics = {topic_name(self._kafka, topic): topic for topic in topics}
        self._queue: SinkQueue | None = None  # None while another member has the partitions
        self._committed: dict[str, int] = {}
        self._answered = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; starts over from the topics when the broker was away."""
        attempt = 0
        while not stop.is_set():
            began = time.monotonic()
            try:
                await self._session(stop)
                return
            except (VeilstreamError, KafkaError) as error:
                attempt = 1 if time.monotonic() - began > 60.0 else attempt + 1
                logs.emit(
                    "broker_unreachable",
                    level=logging.WARNING,
                    error_type=type(error.__cause__ or error).__name__,
                    attempt=attempt,
                )
            with suppress(TimeoutError):
                pause = min(0.5 * 2 ** min(attempt - 1, 10), _LONGEST_PAUSE_SECONDS)
                await asyncio.wait_for(stop.wait(), pause)

    async def _session(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            sender = await stack.enter_async_context(producer(self._kafka))
            assignment = _Assignment()
            consumer = AIOKafkaConsumer(
                **kafka_options(self._kafka),
                group_id=sink_group(self._settings, self.name),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_ms=_SESSION_MS,
                heartbeat_interval_ms=_SESSION_MS // 4,
                isolation_level="read_committed",
            )
            stack.push_async_callback(_stop_consumer, consumer, self._patience)
            with broker_errors():
                await asyncio.wait_for(consumer.start(), self._patience)
                consumer.subscribe(list(self._topics), listener=assignment)
            loaded, asked = -1, 0.0
            self._answered = time.time()
            while True:
                stopping = stop.is_set()
                if stopping:
                    asked = asked or time.monotonic()
                    if self._queue is None or time.monotonic() - asked > _STOP_GRACE_SECONDS:
                        return
                with broker_errors():
                    batches = await consumer.getmany(timeout_ms=self._poll_milliseconds(stopping))
                await self._still_answers(consumer)
                if assignment.generation != loaded:
                    # What was fetched meanwhile comes again: the state must be from after the assignment.
                    loaded = assignment.generation
                    await self._load(consumer)
                    continue
                if self._queue is None:
                    continue
                self._read(consumer, self._queue, batches)
                told = await self._tell(sender, self._queue, assignment)
                await self._keep_place(consumer, sender, self._queue)
                if stopping and not batches and not told:
                    return

    def _poll_milliseconds(self, stopping: bool) -> int:
        if stopping:
            return int(_STOP_POLL_SECONDS * 1000)
        wait = None
        if self._queue is not None:
            if self._queue.next(self._clock()) is not None:
                return 0
            wait = self._queue.wait_seconds(self._clock())
        return int(1000 * min(_IDLE_SECONDS, max(0.02, _IDLE_SECONDS if wait is None else wait)))

    async def _still_answers(self, consumer: Any) -> None:
        """Ask a broker that has not answered for longer than a request may take.

        aiokafka hides one that is gone behind empty answers.

        Raises:
            BrokerUnavailable: it is gone.
        """
        for tp in consumer.assignment():
            self._answered = max(self._answered, (consumer.last_poll_timestamp(tp) or 0) / 1000)
        if time.time() - self._answered > self._patience:
            await end_offsets(self._kafka, next(iter(self._topics)))
            self._answered = time.time()

    async def _load(self, consumer: Any) -> None:
        """State and place, from the topics; none while another member has the partitions."""
        self._queue = None
        assigned = {self._topics[tp.topic]: tp for tp in consumer.assignment()}
        if not assigned:
            return
        # The end before the board: what fires below the place must be on the board.
        ends = {
            topic: (await end_offsets(self._kafka, tp.topic))[tp.partition] for topic, tp in assigned.items()
        }
        told = await load_told(self._kafka, self.name)
        # A place beyond the end is of a topic that was made again.
        told = {m: t for m, t in told.items() if t.place.offset < ends.get(t.place.topic, 0)}
        starts: dict[str, int] = {}
        for topic, tp in assigned.items():
            with broker_errors():
                # aiokafka asks for ever: unbounded, a broker that hangs would not show.
                committed = await asyncio.wait_for(consumer.committed(tp), self._patience)
            starts[topic] = _start(committed, topic, ends[topic], told)
        topics = list(self._topics.values())
        board = await load_board(self._kafka, topics, self._inhibitions, self._audience)
        for topic, tp in assigned.items():
            consumer.seek(tp, starts[topic])
        self._queue = SinkQueue(told, starts, board, resend_seconds=self._resend)
        self._committed = {}
        logs.emit("sink_started", sink=self.name, open=len(board.firing), held=self._queue.held)

    def _read(self, consumer: Any, queue: SinkQueue, batches: Mapping[TopicPartition, list[Any]]) -> None:
        for tp, records in batches.items():
            for record in records:
                place = Place(self._topics[tp.topic], record.offset)
                alert = None
                try:
                    alert = read_record(queue.board, record, place, self._audience)
                except (RecordInvalid, SilenceInvalid):  # of a later version
                    metrics.counter("alert_deliveries", sink=self.name, outcome="unreadable").inc()
                if record.value is None and record.key is not None:
                    queue.forget(record.key.decode("utf-8", "replace"))
                if alert is None:
                    queue.skip(place)
                else:
                    queue.offer(alert, place)
        full, paused = queue.waiting >= _MOST_WAITING, consumer.paused()
        if full and not paused:
            consumer.pause(*consumer.assignment())  # the rest waits on the topic
        elif not full and paused:
            consumer.resume(*paused)

    async def _tell(self, sender: Any, queue: SinkQueue, assignment: _Assignment) -> int:
        """Tell what may be told now, for a moment; returns how many attempts there were."""
        began, attempts, generation = time.monotonic(), 0, assignment.generation
        while (action := queue.next(self._clock())) is not None:
            async with assignment.at_work:
                if assignment.generation != generation:
                    break  # another member's, perhaps
                attempts += 1
                intended = queue.intend(action)
                if intended is not None:
                    await self._note(sender, action.mark, intended)
                sure = await self._attempt(queue, action)
                if sure and action.kind != "again":
                    await self._note(sender, action.mark, queue.told.get(action.mark))
            if time.monotonic() - began > _BURST_SECONDS:
                break
        for outcome in queue.outcomes:
            metrics.counter("alert_deliveries", sink=self.name, outcome=outcome).inc()
        queue.outcomes.clear()
        return attempts

    async def _attempt(self, queue: SinkQueue, action: Action) -> bool:
        """Tell the sink once; whether it is sure that it took it, or did not."""
        try:
            await self._sink.deliver(dict(action.alert))
        except SinkRefused:
            metrics.counter("alert_delivery_failures", sink=self.name).inc()
            metrics.counter("alert_deliveries", sink=self.name, outcome="refused").inc()
            logs.emit("sink_refused", level=logging.WARNING, sink=self.name, fingerprint=action.mark)
            queue.refused(action, self._clock())
            return True
        except Exception as error:  # a sink may fail in any way; none may end the task
            metrics.counter("alert_delivery_failures", sink=self.name).inc()
            sure = isinstance(error, SinkFailed)
            after = getattr(error, "retry_after_seconds", None)
            now = self._clock()
            attempt = queue.failed(action, now, jitter=self._jitter(), after=after, unsure=not sure)
            logs.emit(
                "sink_failed",
                level=logging.WARNING,
                sink=self.name,
                error_type=type(error).__name__,
                attempt=attempt,
            )
            return sure and action.intended
        outcome = "resent" if action.kind == "again" else "delivered"
        metrics.counter("alert_deliveries", sink=self.name, outcome=outcome).inc()
        queue.succeeded(action, self._clock())
        return True

    async def _note(self, sender: Any, mark: str, told: Told | None) -> None:
        topic, key, value, headers = marker(self._kafka, self.name, mark, told, self._clock())
        with broker_errors():
            await sender.send_and_wait(topic, value, key, headers=headers)

    async def _keep_place(self, consumer: Any, sender: Any, queue: SinkQueue) -> None:
        """Commit what is settled, then forget what was told of alerts that ended below it."""
        metrics.gauge("alert_delivery_waiting", sink=self.name).set(queue.waiting)
        metrics.gauge("alert_delivery_held", sink=self.name).set(queue.held)
        metrics.gauge("alert_delivery_refused", sink=self.name).set(queue.given_up)
        settled = queue.committed()
        if settled != self._committed:
            names = {topic: name for name, topic in self._topics.items()}
            places = {TopicPartition(names[topic], 0): offset for topic, offset in settled.items()}
            # After a rebalance the partition is another's: it goes on from our last commit, and we load anew.
            with broker_errors(), suppress(CommitFailedError, IllegalStateError):
                await asyncio.wait_for(consumer.commit(places), self._patience)
                self._committed = settled
        if settled == self._committed:
            for mark in queue.ended():
                await self._note(sender, mark, None)


def _start(committed: int | None, topic: str, end: int, told: Mapping[str, Told]) -> int:
    """Where a sink's reading begins: where it stopped. A new one begins at the end.

    A broker forgets the place of a group that was away for long (a week, by Kafka's defaults); then what the
    sink was told shows how far it had come.
    """
    if committed is not None:
        return min(committed, end)
    return max((t.place.offset + 1 for t in told.values() if t.place.topic == topic), default=end)


async def _stop_consumer(consumer: Any, timeout_seconds: float) -> None:
    with suppress(KafkaError, OSError, TimeoutError, BrokerUnavailable):
        await asyncio.wait_for(consumer.stop(), timeout_seconds)
