"""From a budget event to its alert, on a real Kafka: how long, at a rate.

Four processes on one machine and one clock: the broker, the role (`run_alerting` with the built-in rules),
a producer that keeps to a schedule, and a reader of `budget.alerts`. The clock of an alert starts when the
producer hands its event to aiokafka (before the append), and stops when a `read_committed` reader has the
alert in hand.

The workload is a hard one: many budgets, each charged a fortieth at a time until it is full and then
refreshed, so that there is about one alert for two events. The first seconds are left out.

Run as a module it is one of the processes: `python -m veilstream.bench.alerts role|produce`, a job on its
standard input.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from statistics import median
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from veilstream.bench.pipeline.children import BenchFailed
from veilstream.bench.pipeline.figures import quantile
from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.processes import die_with_parent
from veilstream.errors import VeilstreamError
from veilstream.events import types
from veilstream.events.cloudevents import Attributes, now
from veilstream.events.codec import check, dumps
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings, Settings, kafka_options
from veilstream.telemetry import logs
from veilstream.transport import ensure_topics, producer

__all__ = ["Story", "measure"]

_WARM_UP_SECONDS = 3.0
_START_SECONDS = 90.0
_LAST_SECONDS = 10.0
_TICK_SECONDS = 0.001
_BATCH_BYTES = 1_000_000
_PRIMER = "primer"


class Story:
    """Budget events without end: each budget in its turn is charged a fortieth, and refreshed when full."""

    CHARGES = 40

    def __init__(self, budgets: int) -> None:
        self._budgets = budgets
        self._count = 0
        self._seqs = [0] * budgets

    def next(self) -> dict[str, Any]:
        number, step = self._count % self._budgets, self._seqs[self._count % self._budgets]
        self._count += 1
        self._seqs[number] += 1
        phase = step % (self.CHARGES + 2)
        if phase == 0:
            kind, spent = ("created" if step == 0 else "refreshed"), 0
        elif phase <= self.CHARGES:
            kind, spent = "charged", phase
        else:
            kind, spent = "exhausted", self.CHARGES
        return event(f"bench/b{number}", step + 1, kind, spent / self.CHARGES)


def event(budget: str, seq: int, kind: str, fraction: float) -> dict[str, Any]:
    """A budget event as the ledger makes them; its hashes are of nothing."""
    return {
        "seq": seq,
        "event": kind,
        "budget": budget,
        "tenant": "bench",
        "time": now(),
        "epsilon": 1.0,
        "delta": 1e-6,
        "orders": [8.0],
        "mode": "odometer",
        "spent": [round(fraction * 1e9)],
        "caps": [10**9],
        "epsilon_spent": fraction,
        "fraction": fraction,
        "model": "bench",
        "prev_hash": "0" * 64,
        "hash": "1" * 64,
    }


def measure(
    *,
    rate: float,
    seconds: float,
    budgets: int,
    repeat: int,
    bootstrap: str | None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run `repeat` times, each on topics of its own.

    Returns:
        p50_seconds, p99_seconds: of all alerts of a run, the median over the runs; least and greatest beside
        them. events_per_s: events that were produced in the measured time, by it. alerts_per_s. count: alerts
        that were measured, in all runs. late_p99_seconds: how far the producer was behind its schedule.
        budgets, rate, repeat, seconds.

    Raises:
        BenchFailed: a process ended, or no alert came.
        BrokerUnavailable: as the name says.
    """
    folder = Path(tempfile.mkdtemp(prefix="veilstream-bench-"))
    try:
        with ExitStack() as running:
            if bootstrap is None:
                bootstrap = running.enter_context(LocalKafka(folder / "kafka")).bootstrap
            runs = []
            for number in range(1, repeat + 1):
                runs.append(asyncio.run(_run(bootstrap, folder, rate, seconds, budgets)))
                say(f"run {number} of {repeat}: p99 {runs[-1]['p99_seconds'] * 1000:.0f} ms")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, Any] = {
        key: median(run[key] for run in runs)
        for key in ("p50_seconds", "p99_seconds", "events_per_s", "alerts_per_s", "late_p99_seconds")
    }
    for key in ("p50_seconds", "p99_seconds"):
        result[f"{key}_least"] = min(run[key] for run in runs)
        result[f"{key}_greatest"] = max(run[key] for run in runs)
    result["count"] = sum(run["count"] for run in runs)
    result |= {"budgets": budgets, "rate": rate, "repeat": repeat, "seconds": seconds}
    return result


async def _run(bootstrap: str, folder: Path, rate: float, seconds: float, budgets: int) -> dict[str, Any]:
    kafka = KafkaSettings.model_validate({"bootstrap": bootstrap, "topic_prefix": f"bench{token_hex(5)}."})
    await ensure_topics(kafka)
    job = {"bootstrap": bootstrap, "topic_prefix": kafka.topic_prefix, "rate": rate, "budgets": budgets}
    seen: list[tuple[str, int, float]] = []
    with ExitStack() as running:
        role = running.enter_context(_child("role", job, folder))
        topic = topic_name(kafka, "budget.alerts")
        consumer = AIOKafkaConsumer(
            topic,
            **kafka_options(kafka),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            await _prime(kafka, consumer, role)
            result = folder / f"{kafka.topic_prefix}sent.json"
            source = running.enter_context(
                _child(
                    "produce", {**job, "seconds": _WARM_UP_SECONDS + seconds, "result": str(result)}, folder
                )
            )
            while source.poll() is None:
                await _read(consumer, seen)
                _check(role, "role")
            if source.returncode != 0:
                raise BenchFailed(f"the producer ended with exit code {source.returncode}")
            last = time.monotonic() + _LAST_SECONDS
            before = -1
            while time.monotonic() < last and len(seen) != before:
                before = len(seen)
                await _read(consumer, seen, wait_ms=1000)
        finally:
            await consumer.stop()
        sent = orjson.loads(result.read_bytes())
    return figures(sent, seen, rate, seconds)


def figures(
    sent: dict[str, Any], seen: list[tuple[str, int, float]], rate: float, seconds: float
) -> dict[str, Any]:
    """The figures of a run: alerts matched with their events by budget and sequence number.

    Raises:
        BenchFailed: no alert of the measured time was seen.
    """
    called = {(budget, seq): at for budget, seq, at in sent["sent"]}
    first = sent["began"] + _WARM_UP_SECONDS
    taken = [
        arrived - called[(budget, seq)]
        for budget, seq, arrived in seen
        if called.get((budget, seq), 0.0) >= first
    ]
    if not taken:
        raise BenchFailed("no alert was seen")
    measured = sum(at >= first for at in called.values())
    return {
        "p50_seconds": quantile(taken, 0.5),
        "p99_seconds": quantile(taken, 0.99),
        "events_per_s": measured / max(seconds, sent["ended"] - first),
        "alerts_per_s": len(taken) / max(seconds, sent["ended"] - first),
        "late_p99_seconds": sent["late_p99_seconds"],
        "count": len(taken),
    }


async def _prime(kafka: KafkaSettings, consumer: Any, role: subprocess.Popen[bytes]) -> None:
    """Wait until an alert has come all the way: groups are joined, connections are there."""
    value = event(f"bench/{_PRIMER}", 1, "exhausted", 1.0)
    check(types.BUDGET_EVENT, value)
    async with producer(kafka) as out:
        await out.send_and_wait(
            topic_name(kafka, "budget.events"), dumps(value), key=value["budget"].encode(), headers=_headers()
        )
    seen: list[tuple[str, int, float]] = []
    async with asyncio.timeout(_START_SECONDS):
        while not seen:
            await _read(consumer, seen)
            _check(role, "role")


async def _read(consumer: Any, seen: list[tuple[str, int, float]], *, wait_ms: int = 200) -> None:
    batches = await consumer.getmany(timeout_ms=wait_ms)
    arrived = time.time()
    for records in batches.values():
        for record in records:
            alert = orjson.loads(record.value)
            seen.append((alert["budget"], alert["seq"], arrived))


def _headers() -> list[tuple[str, bytes]]:
    return Attributes(type=types.BUDGET_EVENT, source="veilstream/ledger").to_headers()


def _check(child: subprocess.Popen[bytes], name: str) -> None:
    if child.poll() is not None:
        raise BenchFailed(f"the process {name} ended with exit code {child.returncode}")


@contextmanager
def _child(module: str, job: dict[str, Any], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """This module in a process of its own; asked to end, then killed, at the end of `with`."""
    with (folder / f"{job['topic_prefix']}{module}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "veilstream.bench.alerts", module],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    assert child.stdin is not None  # noqa: S101  # it was asked for
    child.stdin.write(orjson.dumps(job))
    child.stdin.close()
    try:
        yield child
    finally:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(15.0)
        child.kill()
        child.wait()


async def _role(job: dict[str, Any]) -> None:
    from veilstream.alerting import run_alerting

    logs.configure("WARNING")
    kafka = {"bootstrap": job["bootstrap"], "topic_prefix": job["topic_prefix"]}
    await run_alerting(Settings.model_validate({"kafka": kafka}), sinks=())


async def _produce(job: dict[str, Any]) -> None:
    kafka = KafkaSettings.model_validate({"bootstrap": job["bootstrap"], "topic_prefix": job["topic_prefix"]})
    topic, story, rate = topic_name(kafka, "budget.events"), Story(job["budgets"]), float(job["rate"])
    sent: list[tuple[str, int, float]] = []
    late: list[float] = []
    # aiokafka has one batch under way for a partition: with its 16 KB (some 25 events) the slow answers of a
    # busy machine would limit the rate, and what is measured were a queue in here.
    async with producer(kafka, max_batch_size=_BATCH_BYTES) as out:
        began, start = time.time(), time.monotonic()
        last: asyncio.Future[Any] | None = None
        while (passed := time.monotonic() - start) < job["seconds"]:
            while len(sent) < passed * rate:
                value = story.next()
                late.append(passed - len(sent) / rate)
                called = time.time()
                last = await out.send(topic, dumps(value), key=value["budget"].encode(), headers=_headers())
                sent.append((value["budget"], value["seq"], called))
            await asyncio.sleep(_TICK_SECONDS)
        ended = time.time()
        if last is not None:
            await last
    told = {"sent": sent, "began": began, "ended": ended, "late_p99_seconds": quantile(late, 0.99)}
    Path(job["result"]).write_bytes(orjson.dumps(told))


def main() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    work = {"role": _role, "produce": _produce}[sys.argv[1]]
    try:
        asyncio.run(work(orjson.loads(sys.stdin.buffer.read())))
    except VeilstreamError as error:
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
