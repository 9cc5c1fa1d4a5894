"""`--soak`: load for minutes, with faults in it; does memory stay flat, and is nothing lost?

Two workers. The phases are those of `phases`: half the maximum rate; a producer ten times too fast (its
backlog bounded in bytes); an engine that got slow; a broker that does not answer; a store that does not; all
to one key. The workers' memory is read every second; after the warm-up (a tenth of the time) a line is fitted
for each worker, and the steepest is the figure; a second line begins where the flood has ended, since the
buffers that a flood fills once are a step and not a growth. What lies behind every mark on the disk is
deleted on the way, so that minutes of load need no more than some hundred MB.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from veilstream.bench.pipeline import proc
from veilstream.bench.pipeline.account import Account
from veilstream.bench.pipeline.children import BenchFailed, Child
from veilstream.bench.pipeline.figures import Slope, slope
from veilstream.bench.pipeline.latency import pacer
from veilstream.bench.pipeline.matrix import Brief, prepared, timed
from veilstream.bench.pipeline.options import Place
from veilstream.bench.pipeline.phases import FLOOD, Phase, plan
from veilstream.bench.pipeline.scan import Reader, origin, reader
from veilstream.bench.pipeline.stack import Ground
from veilstream.embedded.service import free_ports
from veilstream.errors import SettingInvalid
from veilstream.events.topics import topic_name
from veilstream.settings import kafka_options

__all__ = ["soak"]

_WORKERS = 2
_BACKLOG_MB = (2.0, 150.0)
_CATCH_UP_SHARE = 0.05  # of the whole time at full rate: what half the rate to spare drains in a phase
_POOL = 4000
_CLEAN_SECONDS = 5.0
_DRAIN_SECONDS = 300.0
_WINDOW_SECONDS = 30.0
_LAG = re.compile(r'^veilstream_consumer_lag\{[^}]*partition="(\d+)"[^}]*\} ([0-9.e+]+)', re.MULTILINE)


async def soak(
    ground: Ground, texts: Sequence[str], minutes: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """The report.

    Raises:
        SettingInvalid: broker and store are not ours, so that they may not be paused.
    """
    if ground.broker is None or ground.store is None:
        raise SettingInvalid("a soak pauses broker and store", hint="leave out --bootstrap and --store-url")
    options = ground.options
    workload = options.workloads[0]
    first, backlog = await prepared(ground, texts, workload, options.record_kb, say, workers=_WORKERS)
    async with reader(first) as out:
        fastest = await timed(ground, first, backlog, out, "ours", _WORKERS, Brief(1.0, 4.0))
    say(f"maximum rate {fastest.records_per_s:.0f} records/s, {fastest.mb_per_s:.2f} MB/s")
    place = await ground.place(options.partitions)
    with ExitStack() as running:
        run = _Soak(ground, place, fastest.records_per_s, fastest.mb_per_s / fastest.records_per_s, say)
        least, most = _BACKLOG_MB
        run.backlog_mb = min(most, max(least, _CATCH_UP_SHARE * minutes * 60 * fastest.mb_per_s))
        await run.through(running, workload, plan(minutes))
    return run.report(minutes, fastest.mb_per_s)


class _Soak:
    """One soak under way."""

    def __init__(
        self, ground: Ground, place: Place, rate: float, mb_per_record: float, say: Callable[[str], None]
    ) -> None:
        self._ground, self._place, self._say = ground, place, say
        self._rate, self._mb = rate, mb_per_record
        self._account = Account(place.partitions)
        self._memory: dict[int, list[tuple[float, float]]] = {}
        self._raw_ends: dict[int, int] = {}
        self._flooded_until = 0.0
        self._max_lag = self._max_backlog = self._restarts = self._misplaced = 0
        self._phases: list[dict[str, Any]] = []
        self._ports = free_ports(_WORKERS)
        self._workers: list[Child] = []
        self._running: ExitStack
        self.backlog_mb = _BACKLOG_MB[1]

    async def through(self, running: ExitStack, workload: Any, phases: list[Phase]) -> None:
        self._running = running
        self._workers = [self._worker(number) for number in range(_WORKERS)]
        source = running.enter_context(
            pacer(self._ground, self._place, workload, 10.0, pool=_POOL, remember=False)
        )
        async with AsyncExitStack() as open_:
            out = await open_.enter_async_context(reader(self._place))
            raw, admin = await self._clients(open_)
            helpers = [
                asyncio.create_task(work)
                for work in (self._tail(out), self._look(raw), self._clean(out, admin))
            ]
            try:
                await self._until(lambda: self._account.seen > 0, 90.0, "nothing came out")
                for phase in phases:
                    await self._phase(phase, source, helpers)
                source.say("stop")
                await self._until(source.result_path.exists, 120.0, "the producer did not end")
                await self._until(self._drained, _DRAIN_SECONDS, None)
                await asyncio.sleep(2.0)  # what would come twice comes now
            finally:
                for task in helpers:
                    task.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
        if source.result()["count"] > self._account.seen + self._lost():
            raise BenchFailed("the raw topic has fewer records than were sent")

    def _worker(self, number: int) -> Child:
        job = {"place": self._place.with_(telemetry_port=self._ports[number]).to_dict(), "can_pause": True}
        return self._running.enter_context(Child("worker", job, self._ground.folder, f"soak-{number}"))

    async def _clients(self, open_: AsyncExitStack) -> tuple[Any, Any]:
        options = kafka_options(self._place.settings().kafka)
        raw = AIOKafkaConsumer(**options, group_id=None)
        await raw.start()
        open_.push_async_callback(raw.stop)
        admin = AIOKafkaAdminClient(bootstrap_servers=self._place.bootstrap)
        await admin.start()
        open_.push_async_callback(admin.close)
        return raw, admin

    async def _phase(self, phase: Phase, source: Child, helpers: list[asyncio.Task[None]]) -> None:
        seen, began, lag = self._account.seen, time.monotonic(), 0
        rate, paused = self._rate * phase.rate, False
        source.say(f"rate {rate}")
        self._fault(phase, source, on=True)
        faulty = phase.fault != "none"
        try:
            while (spent := time.monotonic() - began) < phase.seconds:
                await asyncio.sleep(0.1)
                for task in helpers:
                    if task.done():
                        await task
                source.check()
                self._keep_workers()
                if faulty and spent >= phase.fault_seconds:
                    self._fault(phase, source, on=False)
                    faulty = False
                full = self._backlog() * self._mb > self.backlog_mb
                if full != paused:
                    source.say(f"rate {0 if full else rate}")
                    paused = full
                lag = max(lag, self._backlog())
        finally:
            if faulty:
                self._fault(phase, source, on=False)
        spent = time.monotonic() - began
        told = {
            "name": phase.name,
            "seconds": spent,
            "records_per_s": (self._account.seen - seen) / spent,
            "max_backlog_records": lag,
            "backlog_at_end": self._backlog(),
            "rss_mb": sum(samples[-1][1] for samples in self._memory.values() if samples),
        }
        self._phases.append(told)
        if phase.name == FLOOD:
            self._flooded_until = time.time()  # the clock of the samples
        self._say(
            f"{phase.name}: {told['records_per_s']:.0f} records/s, backlog at most {lag},"
            f" {told['backlog_at_end']} at the end"
        )

    def _fault(self, phase: Phase, source: Child, *, on: bool) -> None:
        broker, store = self._ground.broker, self._ground.store
        if phase.fault == "hot":
            source.say(f"hot {int(on)}")
        elif phase.fault == "slow":
            # All lanes together do half of what comes in.
            pause = self._place.partitions / (self._rate * phase.rate / 2)
            for worker in self._workers:
                worker.say(f"pause {pause if on else 0}")
        elif phase.fault == "broker" and broker is not None:
            os.kill(broker.pid, signal.SIGSTOP if on else signal.SIGCONT)
        elif phase.fault == "store" and store is not None:
            os.kill(store.pid, signal.SIGSTOP if on else signal.SIGCONT)

    def _keep_workers(self) -> None:
        """A worker that ended is started again, as a supervisor would, and counted."""
        for number, worker in enumerate(self._workers):
            try:
                worker.check()
            except BenchFailed:
                self._restarts += 1
                if self._restarts > 20:
                    raise
                self._workers[number] = self._worker(number)

    async def _tail(self, out: Reader) -> None:
        while True:
            for record in await out.more(0.2):
                self._account.mark(*origin(record.headers))

    async def _look(self, raw: Any) -> None:
        """Memory and lag, every second."""
        topic = topic_name(self._place.settings().kafka, "interactions.raw")
        partitions = [TopicPartition(topic, number) for number in range(self._place.partitions)]
        while True:
            for worker in self._workers:
                sample = proc.read(worker.pid)
                if sample is not None and sample.rss_mb > 0:
                    self._memory.setdefault(worker.pid, []).append((sample.at, sample.rss_mb))
            with suppress(Exception):  # a broker that does not answer is a part of the plan
                ends = await asyncio.wait_for(raw.end_offsets(partitions), 2.0)
                self._raw_ends = {tp.partition: end for tp, end in ends.items()}
            self._max_backlog = max(self._max_backlog, self._backlog())
            lags = await asyncio.gather(*(asyncio.to_thread(_lags, port) for port in self._ports))
            merged: dict[int, float] = {}
            for found in lags:
                for partition, lag in found.items():
                    merged[partition] = max(merged.get(partition, 0.0), lag)
            self._max_lag = max(self._max_lag, int(sum(merged.values())))
            await asyncio.sleep(1.0)

    async def _clean(self, out: Reader, admin: Any) -> None:
        """Delete what was read and what has its output."""
        raw = topic_name(self._place.settings().kafka, "interactions.raw")
        while True:
            await asyncio.sleep(_CLEAN_SECONDS)
            with suppress(Exception):  # the next time is soon
                places = await asyncio.wait_for(out.positions(), 2.0)
                places |= {
                    TopicPartition(raw, number): self._account.done_below(number)
                    for number in range(self._place.partitions)
                }
                upto = {tp: RecordsToDelete(offset) for tp, offset in places.items() if offset > 0}
                await asyncio.wait_for(admin.delete_records(upto), 2.0)

    def _backlog(self) -> int:
        return max(0, sum(self._raw_ends.values()) - self._account.seen)

    def _drained(self) -> bool:
        return self._lost() == 0

    def _lost(self) -> int:
        return self._account.lost(self._raw_ends)

    async def _until(self, held: Callable[[], bool], seconds: float, otherwise: str | None) -> None:
        deadline = time.monotonic() + seconds
        while not held():
            self._keep_workers()
            if time.monotonic() > deadline:
                if otherwise is None:
                    return
                raise BenchFailed(otherwise)
            await asyncio.sleep(0.2)
        if otherwise is None:
            # Asked again after a look at the raw topic's ends that began later.
            await asyncio.sleep(2.5)
            if not held():
                await self._until(held, seconds, otherwise)

    def report(self, minutes: float, max_mb_per_s: float) -> dict[str, Any]:
        seconds = minutes * 60
        longest = self._longest()
        lines = [_fitted(samples, samples[0][0] + seconds / 10, seconds) for samples in longest]
        steepest = max(lines, key=lambda line: line[0].per_x, default=(Slope(0, 0, 0), 0.0, 0.0))
        fitted, start, end = steepest
        return {
            "rss_slope_mb_per_h": fitted.per_x,
            "rss_slope_ci": [fitted.low, fitted.high],
            "rss_mb_start": start,
            "rss_mb_end": end,
            "rss_by_worker": [_line(*line) for line in lines],
            "rss_by_worker_after_flood": [
                _line(*_fitted(samples, self._flooded_until, seconds)) for samples in longest
            ],
            "lost": self._lost(),
            "duplicated": self._account.duplicated,
            "records": self._account.seen,
            "max_lag": self._max_lag,
            "max_backlog_records": self._max_backlog,
            "backlog_bound_mb": self.backlog_mb,
            "restarts": self._restarts,
            "phases": self._phases,
            "minutes": minutes,
            "workers": _WORKERS,
            "max_mb_per_s": max_mb_per_s,
            "options": self._ground.options.told(),
        }

    def _longest(self) -> list[list[tuple[float, float]]]:
        """The memory of the processes that lived longest, one for each worker."""
        return sorted(self._memory.values(), key=len, reverse=True)[:_WORKERS]


def _line(fitted: Slope, start_mb: float, end_mb: float) -> dict[str, Any]:
    return {
        "slope_mb_per_h": fitted.per_x,
        "ci": [fitted.low, fitted.high],
        "start_mb": start_mb,
        "end_mb": end_mb,
    }


def _fitted(
    samples: list[tuple[float, float]], warm_from: float, seconds: float
) -> tuple[Slope, float, float]:
    """Slope in MB an hour from `warm_from` (Unix time) on, and the memory at its ends."""
    warm = [(at / 3600, mb) for at, mb in samples if at >= warm_from]
    if not warm:
        warm = [(at / 3600, mb) for at, mb in samples]
    window = min(_WINDOW_SECONDS, seconds / 20) / 3600
    return slope(warm, window), warm[0][1], warm[-1][1]


def _lags(port: int) -> dict[int, float]:
    """`consumer_lag` by partition, as the worker itself says it; empty where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {int(partition): float(lag) for partition, lag in _LAG.findall(text)}
