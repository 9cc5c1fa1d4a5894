"""The protecting role as a process: it starts, says so, works, and stops cleanly or loudly.

* SIGTERM or SIGINT: nothing new is taken, what is under way is delivered, acknowledged and committed (20 s at
  most), and the call returns.
* A batch that cannot be delivered, or a crash of the driver: the process ends at once with exit code 1,
  without committing anything more. A supervisor starts it again, and the records are read again.
* A broker, topic, key or store that is not there at the start is an error with one line of what to do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from veilstream.errors import StoreUnavailable
from veilstream.events.topics import max_message_bytes, topic_name
from veilstream.keys import FileKeyProvider, PersonKeys, RedisPersonKeyStore
from veilstream.processors.pipeline import Outcome, Pipeline
from veilstream.settings import Settings
from veilstream.telemetry import logs, metrics
from veilstream.telemetry.health import Health
from veilstream.telemetry.logs import emit
from veilstream.transport import ensure_topics, incarnation

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from veilstream.processors.driver import App

__all__ = ["ROLE", "run_protect"]

ROLE = "protect"
_DRAIN_SECONDS = 20.0
_TICK_SECONDS = 0.5


def run_protect(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then return.

    Raises:
        BrokerUnavailable, TopicMismatch, StoreUnavailable, KeyMissing, PolicyInvalid: at the start.
    """
    logs.configure(settings.telemetry.log_level)
    asyncio.run(_Role(settings).run())


class _Role:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._raw = topic_name(settings.kafka, "interactions.raw")
        self._health = Health(ROLE)
        self._stop = asyncio.Event()
        self._port = 0
        self._busy = False
        self._assigned = False

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
            try:
                await asyncio.wait_for(app.stop(), _DRAIN_SECONDS)
            except TimeoutError:
                self._fail("drain_timeout", TimeoutError())
            if app.crashed:
                self._fail("driver", app.crash_reason)
            emit("role_stopped", role=ROLE, reason="asked to stop")
        finally:
            self._health.close()
            await store.aclose()

    async def _start(self, store: Redis) -> App:
        from veilstream.detection import PatternEngine
        from veilstream.processors.protect import Hooks, make_app
        from veilstream.protection import Protector, load_policy

        settings = self._settings
        provider = FileKeyProvider(settings.keys_folder)
        provider.operator(), provider.ledger()  # what is missing is said before the engine is loaded
        policy = load_policy(settings.processor.policy)
        self._pipeline = Pipeline(
            protector=Protector(PatternEngine(), policy, count=_count_finding),
            provider=provider,
            people=PersonKeys(provider, RedisPersonKeyStore(store)),
            topic=self._raw,
            incarnation=await incarnation(settings.kafka, self._raw),
            limit_bytes=settings.kafka.max_record_bytes,
            quarantine_limit_bytes=max_message_bytes(settings.kafka, "interactions.quarantine"),
        )
        hooks = Hooks(
            on_batch=self._on_batch,
            on_waiting=self._on_waiting,
            on_begin=self._on_begin,
            on_assigned=self._on_assigned,
            on_failure=self._on_failure,
        )
        app = make_app(settings, self._pipeline, hooks)
        app.finalize()
        await app.start()
        return app

    async def _watch(self, app: App) -> None:
        """Until asked to stop; ends the process if the driver crashed."""
        while not self._stop.is_set():
            if app.crashed or app.should_stop:
                self._fail("driver", app.crash_reason)
            # While a batch is under way, only its own progress counts as life.
            if not self._busy:
                self._health.beat()
            self._measure_lag(app)
            try:
                await asyncio.wait_for(self._stop.wait(), _TICK_SECONDS)
            except TimeoutError:
                continue

    def _measure_lag(self, app: App) -> None:
        if not self._assigned:
            return
        for partition in app.consumer.assignment():
            end, done = app.consumer.highwater(partition), app.delivered.next(partition)
            if end is not None and done is not None:
                gauge = metrics.gauge("consumer_lag", topic=self._raw, partition=str(partition.partition))
                gauge.set(max(0, end - done))

    def _on_begin(self) -> None:
        self._busy = True
        self._health.beat()

    def _on_batch(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        self._busy = False
        self._health.ready()
        metrics.histogram("batch_seconds").observe(seconds)
        for word, count in Counter(_word(outcome) for outcome in outcomes).items():
            metrics.counter("records_processed", outcome=word).inc(count)
        for outcome in outcomes:
            if outcome.error is not None:
                error = outcome.error
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

    def _on_waiting(self) -> None:
        self._health.beat()
        self._health.not_ready("the store does not answer")

    async def _on_assigned(self, partitions: list[int]) -> None:
        # A topic that was made anew since the start is another topic.
        self._pipeline.set_incarnation(await incarnation(self._settings.kafka, self._raw))
        emit("partitions_assigned", partitions=partitions)
        if not self._assigned:
            self._assigned = True
            emit("role_started", role=ROLE, port=self._port)
        self._health.ready()

    def _on_failure(self, error: BaseException, records: int) -> None:
        emit("batch_failed", level=logging.ERROR, error_type=type(error).__name__, records=records)
        self._fail("delivery", error)

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


def _word(outcome: Outcome) -> str:
    return "protected" if outcome.error is None else "quarantined"


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
