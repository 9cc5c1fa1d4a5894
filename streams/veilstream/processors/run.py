"""The protecting role as a process: it starts, says so, works, and stops cleanly or loudly.

* SIGTERM or SIGINT: nothing new is taken, what is under way is delivered, acknowledged and committed (20 s at
  most), and the call returns.
* A batch that cannot be delivered: its partition is opened again from the committed offset, for as long as it
  takes, and the role is not ready meanwhile.
* A crash of the driver: the process ends at once with exit code 1, without committing anything more. A
  supervisor starts it again, and the records are read again.
* A broker, topic, key or store that is not there at the start is an error with one line of what to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from veilstream.errors import StoreUnavailable
from veilstream.events.topics import max_message_bytes, topic_name
from veilstream.keys import FileKeyProvider, PersonKeys, RedisPersonKeyStore
from veilstream.processors.pipeline import Outcome, Pipeline
from veilstream.processors.work import Work
from veilstream.settings import Settings
from veilstream.telemetry import logs, metrics
from veilstream.telemetry.health import Health
from veilstream.telemetry.logs import emit
from veilstream.transport import ensure_topics, incarnation

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from veilstream.processors.driver import App
    from veilstream.processors.flow import Flow

__all__ = ["ROLE", "run_protect"]

ROLE = "protect"
_DRAIN_SECONDS = 20.0
_TICK_SECONDS = 0.5
_LAG_SECONDS = 2.0


def run_protect(settings: Settings, work: Work | None = None) -> None:
    """Run until SIGTERM or SIGINT, then return.

    `work` takes the place of protecting: for benchmarks and tests of the loop.

    Raises:
        BrokerUnavailable, TopicMismatch, StoreUnavailable, KeyMissing, PolicyInvalid: at the start.
    """
    logs.configure(settings.telemetry.log_level)
    # Kafka answers "not yet" (as NOT_ENOUGH_REPLICAS) to the first write of nearly every transaction.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.ERROR)
    # Heartbeats, producers and the work share the interpreter: waiting 5 ms for it, ten times in a
    # transaction, would be most of its latency.
    sys.setswitchinterval(0.001)
    asyncio.run(_Role(settings, work).run())


class _Role:
    def __init__(self, settings: Settings, work: Work | None) -> None:
        self._settings, self._work = settings, work
        self._raw = topic_name(settings.kafka, "interactions.raw")
        self._health = Health(ROLE)
        self._stop = asyncio.Event()
        self._port = 0
        self._assigned = False
        self._to_open: set[int] = set()
        self._flow: Flow
        self._next_lag = 0.0

    async def run(self) -> None:
        telemetry = self._settings.telemetry
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        store = _store(self._settings)
        self._port = self._health.serve(telemetry.host, telemetry.port)
        try:
            await _answers(store)
            await ensure_topics(self._settings.kafka)
            app = await self._start(store)
            await self._watch(app)
            self._health.not_ready("stopping")
            stopping = asyncio.ensure_future(app.stop())
            # Not `wait_for`: Faust's services swallow the cancellation that it would then wait for.
            await asyncio.wait({stopping}, timeout=_DRAIN_SECONDS)
            if not stopping.done():
                self._fail("drain_timeout", TimeoutError())
            stopping.result()
            if app.crashed:
                self._fail("driver", app.crash_reason)
            emit("role_stopped", role=ROLE, reason="asked to stop")
        finally:
            self._health.close()
            await store.aclose()

    async def _start(self, store: Redis) -> App:
        from veilstream.processors.protect import make_app

        work = self._work or await self._pipeline(store)
        app, self._flow = make_app(self._settings, work, self)
        app.finalize()
        await app.start()
        return app

    async def _pipeline(self, store: Redis) -> Pipeline:
        from veilstream.detection import PatternEngine
        from veilstream.protection import Protector, load_policy

        settings = self._settings
        provider = FileKeyProvider(settings.keys_folder)
        provider.operator(), provider.ledger()  # what is missing is said before the engine is loaded
        policy = load_policy(settings.processor.policy)
        return Pipeline(
            protector=Protector(PatternEngine(), policy, count=_count_finding),
            provider=provider,
            people=PersonKeys(provider, RedisPersonKeyStore(store)),
            topic=self._raw,
            incarnation=await incarnation(settings.kafka, self._raw),
            limit_bytes=settings.kafka.max_record_bytes,
            quarantine_limit_bytes=max_message_bytes(settings.kafka, "interactions.quarantine"),
        )

    async def _watch(self, app: App) -> None:
        """Until asked to stop; ends the process if the driver crashed."""
        while not self._stop.is_set():
            if app.crashed or app.should_stop:
                self._fail("driver", app.crash_reason)
            # While work is under way, only its own progress counts as life.
            if not self._flow.working:
                self._health.beat()
            await self._measure_lag(app)
            try:
                await asyncio.wait_for(self._stop.wait(), _TICK_SECONDS)
            except TimeoutError:
                continue

    async def _measure_lag(self, app: App) -> None:
        """Asks the broker: a partition that is not open fetches nothing, and its lag is what matters."""
        if time.monotonic() < self._next_lag or not self._flow.next_offsets:
            return
        self._next_lag = time.monotonic() + _LAG_SECONDS
        places = [TopicPartition(self._raw, partition) for partition in self._flow.next_offsets]
        try:
            ends = await asyncio.wait_for(
                app.consumer.run(lambda consumer: consumer.end_offsets(places)), _LAG_SECONDS
            )
        except (KafkaError, TimeoutError):
            return
        for partition, done in self._flow.next_offsets.items():
            end = ends.get(TopicPartition(self._raw, partition))
            if end is not None:
                gauge = metrics.gauge("consumer_lag", topic=self._raw, partition=str(partition))
                gauge.set(max(0, end - done))

    def assigned(self, partitions: list[int]) -> None:
        emit("partitions_assigned", partitions=partitions)
        self._to_open = set(partitions)
        if not self._assigned:
            self._assigned = True
            emit("role_started", role=ROLE, port=self._port)
        if not partitions:
            self._health.ready()  # a spare

    def opened(self, partition: int) -> None:
        self._to_open.discard(partition)
        if not self._to_open:
            self._health.ready()

    def delivered(self, partition: int, outcomes: Sequence[Outcome], seconds: float) -> None:
        self._health.beat()
        if not self._to_open:
            self._health.ready()
        metrics.histogram("batch_seconds").observe(seconds)
        wrong = [(outcome, outcome.error) for outcome in outcomes if outcome.error is not None]
        metrics.counter("records_processed", outcome="protected").inc(len(outcomes) - len(wrong))
        metrics.counter("records_processed", outcome="quarantined").inc(len(wrong))
        for outcome, error in wrong:
            metrics.counter("record_errors", kind=error.kind).inc()
            emit(
                "record_quarantined",
                level=logging.WARNING,
                code=error.code,
                kind=error.kind,
                path=error.path,
                partition=outcome.partition,
                offset=outcome.offset,
            )

    def failed(self, partition: int, error: BaseException, records: int) -> None:
        name = type(error).__name__
        self._to_open.add(partition)
        self._health.not_ready("a partition is not open")
        metrics.counter("lane_failures", error=name).inc()
        emit("batch_failed", level=logging.ERROR, error_type=name, partition=partition, records=records)

    def waiting(self) -> None:
        self._health.beat()
        self._health.not_ready("the store does not answer")

    def _fail(self, code: str, error: BaseException | None) -> NoReturn:
        """End the process here: a clean shutdown would wait for the batch, or commit what is not certain."""
        emit(
            "role_failed",
            level=logging.ERROR,
            role=ROLE,
            code=code,
            error_type=type(error).__name__,
            message="the records since the last commit will be read again",
        )
        sys.stderr.flush()
        os._exit(1)


def _count_finding(kind: str) -> None:
    metrics.counter("findings", kind=kind).inc()


def _store(settings: Settings) -> Redis:
    from redis.asyncio import Redis

    return Redis.from_url(
        settings.store.url.get_secret_value(),
        socket_timeout=settings.store.timeout_seconds,
        socket_connect_timeout=settings.store.timeout_seconds,
    )


async def _answers(store: Redis) -> None:
    from redis.exceptions import RedisError

    try:
        await store.ping()
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(
            f"the store does not answer ({type(error).__name__})",
            hint="start it with `veilstream up`, or set VEILSTREAM_STORE__URL",
        ) from None
