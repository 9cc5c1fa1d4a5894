"""The benchmark: workloads and numbers of workers, ours and the peers in turn over the same records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from aiokafka import TopicPartition

from veilstream.bench.pipeline import proc
from veilstream.bench.pipeline.children import BenchFailed, Child
from veilstream.bench.pipeline.figures import ratios
from veilstream.bench.pipeline.filling import Backlog, fill
from veilstream.bench.pipeline.latency import latency
from veilstream.bench.pipeline.loop import GROUP
from veilstream.bench.pipeline.options import Delivery, Place, Workload
from veilstream.bench.pipeline.scan import Output, Reader, reader, reset
from veilstream.bench.pipeline.stack import Ground
from veilstream.bench.pipeline.workload import records
from veilstream.processors.protect import APP

__all__ = ["Loop", "Run", "Say", "measure", "prepared", "timed"]

Say = Callable[[str], None]
Loop = Literal["ours", "plain", "plain_batch", "presidio"]

_START_SECONDS = 90.0
_LOOK_SECONDS = 0.1
_FIRST_FILL_MB = 24.0
_SPARE = 1.4  # backlog over what the estimated rate needs
_SETTLED_SECONDS = 0.6


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run, between the end of its warm-up and its end; of all its processes together."""

    mb_per_s: float
    fresh_mb_per_s: float
    records_per_s: float
    worker_cpu_s_per_mb: float
    broker_cpu_s_per_mb: float
    rss_mb_start: float
    rss_mb_end: float
    seconds: float
    records: int
    duplicated: int
    missing: int  # of those below what came out of the same partition
    quarantined: int
    sampled: dict[str, Any] | None


async def measure(ground: Ground, texts: Sequence[str], say: Say) -> dict[str, Any]:
    """The whole report. Top-level figures: the first workload with the first number of workers."""
    options, runs, sizes = ground.options, [], []
    for workload in options.workloads:
        place, backlog = await prepared(ground, texts, workload, options.record_kb, say)
        for workers in options.workers:
            runs.append(await _cell(ground, place, backlog, workload, workers, say))
    for kb in options.sizes_kb if options.record_kb is None else ():
        place, backlog = await prepared(ground, texts, "fresh", kb, say)
        async with reader(place) as out:
            run = await timed(ground, place, backlog, out, "ours", 1)
        say(f"records of {kb} KB: {run.mb_per_s:.2f} MB/s")
        figures = {name: getattr(run, name) for name in ("mb_per_s", "records_per_s", "worker_cpu_s_per_mb")}
        sizes.append({"record_kb": kb, **figures})
    return {**runs[0], "options": options.told(), "runs": runs, "sizes": sizes}


async def prepared(
    ground: Ground,
    texts: Sequence[str],
    workload: Workload,
    record_kb: int | None,
    say: Say,
    *,
    partitions: int | None = None,
    workers: int | None = None,
) -> tuple[Place, Backlog]:
    """Topics of their own, filled as far as the fastest run will need, as a short run of the peer says."""
    options = ground.options
    place = await ground.place(partitions or options.partitions)
    backlog = Backlog.empty(place.partitions)
    made = records(texts, workload, options.seed, record_kb=record_kb, batch_size=options.batch)
    first_mb = min(_FIRST_FILL_MB, options.backlog_mb)
    await fill(place, made, backlog, first_mb)
    brief = Brief(warm_up_seconds=0.5, seconds=3.0)
    async with reader(place) as out:
        probe = await timed(ground, place, backlog, out, "plain_batch", 1, brief)
    seconds = options.warm_up_seconds + options.seconds
    wanted = min(options.backlog_mb, _SPARE * seconds * probe.mb_per_s * (workers or max(options.workers)))
    await fill(place, made, backlog, wanted)
    say(f"{workload}: {backlog.records} records, {backlog.megabytes:.0f} MB in {place.partitions} partitions")
    return place, backlog


@dataclass(frozen=True, slots=True)
class Brief:
    """How long a run is."""

    warm_up_seconds: float
    seconds: float


async def _cell(
    ground: Ground, place: Place, backlog: Backlog, workload: Workload, workers: int, say: Say
) -> dict[str, Any]:
    """One workload with one number of workers."""
    options = ground.options
    loops: tuple[Loop, ...] = ("ours", "plain", "plain_batch")
    if workers == 1:
        loops = (*loops, "presidio")
    found: dict[Loop, list[Run]] = {loop: [] for loop in loops}
    async with reader(place) as out:
        for repetition in range(options.repeat):
            for loop in loops:
                run = await timed(ground, place, backlog, out, loop, workers)
                found[loop].append(run)
                say(f"{workload}, {workers} × {loop}, run {repetition + 1}: {run.mb_per_s:.2f} MB/s")
        sampled = (await timed(ground, place, backlog, out, "ours", workers, sample=True)).sampled or {}
    say(f"{workload}, {workers} workers: faust_share {sampled.get('faust_share', 0):.3f}")
    ours = found["ours"]
    half = median(run.records_per_s for run in ours) / 2
    deliveries: list[Delivery] = [options.delivery]
    if options.both_deliveries and workers == 1:
        deliveries = ["exactly_once", "at_least_once"]
    delays = {}
    for delivery in deliveries:
        delays[delivery] = await latency(ground, delivery, workload, workers, half)
        say(
            f"{workload}, {workers} workers, {delivery}: p99 {delays[delivery]['p99_ms']:.1f} ms at half rate"
        )
    return {
        "workload": workload,
        "workers": workers,
        "delivery": options.delivery,
        **_medians(ours),
        **{name: delays[options.delivery][name] for name in ("p50_ms", "p99_ms", "max_ms")},
        "latency": delays,
        "lost": sum(run.missing for run in ours) + sum(delay["unseen"] for delay in delays.values()),
        "faust_share": sampled.get("faust_share"),
        "cpu_profile": sampled,
        **_compared(found),
        "repetitions": {loop: [run.mb_per_s for run in runs] for loop, runs in found.items()},
    }


def _medians(runs: Sequence[Run]) -> dict[str, Any]:
    names = ("mb_per_s", "fresh_mb_per_s", "records_per_s", "worker_cpu_s_per_mb", "broker_cpu_s_per_mb")
    figures = {name: median(getattr(run, name) for run in runs) for name in (*names, "rss_mb_start")}
    totals = {
        name: sum(getattr(run, name) for run in runs) for name in ("duplicated", "missing", "quarantined")
    }
    return {**figures, "rss_mb_end": median(run.rss_mb_end for run in runs), **totals}


def _compared(found: dict[Loop, list[Run]]) -> dict[str, Any]:
    """Each peer's rate and cost, and the ratio of ours to it: median, least and greatest."""
    told: dict[str, Any] = {}
    ours = [run.mb_per_s for run in found["ours"]]
    for loop, runs in found.items():
        if loop == "ours":
            continue
        name = f"{loop}_loop"
        ratio = ratios(ours, [run.mb_per_s for run in runs])
        told |= {
            f"{name}_mb_per_s": median(run.mb_per_s for run in runs),
            f"{name}_cpu_s_per_mb": median(run.worker_cpu_s_per_mb for run in runs),
            f"ratio_to_{name}": ratio.get("median"),
            f"ratio_to_{name}_least": ratio.get("least"),
            f"ratio_to_{name}_greatest": ratio.get("greatest"),
            # The peer's CPU time for a MB over ours: what other work on the machine hardly moves.
            f"cpu_ratio_to_{name}": median(
                b.worker_cpu_s_per_mb / max(a.worker_cpu_s_per_mb, 1e-9)
                for a, b in zip(found["ours"], runs, strict=True)
            ),
        }
    return told


async def timed(
    ground: Ground,
    place: Place,
    backlog: Backlog,
    out: Reader,
    loop: Loop,
    processes: int,
    brief: Brief | None = None,
    *,
    sample: bool = False,
) -> Run:
    """Run a loop over the backlog from its beginning, for the time that was asked, or until it is done.

    Raises:
        BenchFailed: nothing came out, or a process ended.
    """
    options = ground.options
    brief = brief or Brief(options.warm_up_seconds, options.seconds)
    await reset(place, APP if loop == "ours" else GROUP)
    starts = await out.settled()
    with ExitStack() as running:
        children = [running.enter_context(_child(ground, place, loop, number)) for number in range(processes)]
        watched = {child.pid: [] for child in children}  # type: dict[int, list[proc.Sample]]
        broker_pid = ground.broker.pid if ground.broker is not None else 0
        watched[broker_pid] = []
        stopped = await _watch(out, starts, backlog.records, children, watched, brief, sample)
    ends = await out.settled()
    outputs = await out.outputs(starts, ends)
    sampled = children[0].result() if sample else None
    return _figures(outputs, backlog, watched, broker_pid, stopped, brief, sampled)


def _child(ground: Ground, place: Place, loop: Loop, number: int) -> Child:
    name = f"{loop}-{number}"
    if loop == "ours":
        return Child("worker", {"place": place.to_dict()}, ground.folder, name)
    # The loops that people write are idempotent and at least once; `plain_batch` has our own delivery.
    there = place if loop == "plain_batch" else place.with_(delivery="at_least_once")
    there = there.with_(engine="presidio") if loop == "presidio" else there
    job = {"place": there.to_dict(), "number": number, "send_batch": loop == "plain_batch"}
    return Child("loop", job, ground.folder, name)


async def _watch(
    out: Reader,
    starts: dict[TopicPartition, int],
    backlog_records: int,
    children: Sequence[Child],
    watched: dict[int, list[proc.Sample]],
    brief: Brief,
    sample: bool,
) -> float:
    """Until the time is over or everything is out; returns the Unix time of that."""
    began, first, changed, last = time.monotonic(), 0.0, 0.0, 0
    sampling = False
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        for child in children:
            child.check()
        for pid, samples in watched.items():
            now = proc.read(pid) if pid else None
            if now is not None:
                samples.append(now)
        written = sum((await out.ends()).values()) - sum(starts.values())
        clock = time.monotonic()
        if written != last:
            last, changed = written, clock
            first = first or clock
        if not first:
            if clock - began > _START_SECONDS:
                raise BenchFailed(f"nothing came out in {_START_SECONDS:g} s", hint="see the processes' logs")
            continue
        if sample and not sampling and clock - first > brief.warm_up_seconds:
            sampling = True
            children[0].say("sample")
        drained = written >= backlog_records and clock - changed > _SETTLED_SECONDS
        if drained or clock - first > brief.warm_up_seconds + brief.seconds:
            stopped = time.time()
            if sample:
                children[0].say("sampled")
                await _written(children[0])
            return stopped


async def _written(child: Child) -> None:
    for _ in range(100):
        if child.result_path.exists():
            return
        await asyncio.sleep(0.05)


def _figures(
    outputs: Sequence[Output],
    backlog: Backlog,
    watched: dict[int, list[proc.Sample]],
    broker_pid: int,
    stopped: float,
    brief: Brief,
    sampled: dict[str, Any] | None,
) -> Run:
    if not outputs:
        raise BenchFailed("nothing came out")
    first = min(output.at for output in outputs)
    last = min(max(output.at for output in outputs), stopped)
    warm = min(brief.warm_up_seconds, (last - first) / 4)
    start = first + warm
    steady = [output for output in outputs if start < output.at <= last]
    seconds = max(last - start, 1e-3)
    size = sum(backlog.sizes[output.partition][output.offset] for output in steady) / 1e6
    new = sum(backlog.new[output.partition][output.offset] for output in steady) / 1e6
    places = {(output.partition, output.offset) for output in outputs}
    tops: dict[int, int] = {}
    for partition, offset in places:
        tops[partition] = max(tops.get(partition, -1), offset)
    cpu = rss_start = rss_end = broker = 0.0
    for pid, samples in watched.items():
        if not samples:
            continue
        spent, at_start, at_end = proc.between(samples, start, last)
        if pid == broker_pid:
            broker = spent
        else:
            cpu, rss_start, rss_end = cpu + spent, rss_start + at_start, rss_end + at_end
    mb = max(size, 1e-9)
    return Run(
        mb_per_s=size / seconds,
        fresh_mb_per_s=new / seconds,
        records_per_s=len(steady) / seconds,
        worker_cpu_s_per_mb=cpu / mb,
        broker_cpu_s_per_mb=broker / mb,
        rss_mb_start=rss_start,
        rss_mb_end=rss_end,
        seconds=seconds,
        records=len(outputs),
        duplicated=len(outputs) - len(places),
        missing=sum(top + 1 for top in tops.values()) - len(places),
        quarantined=sum(not output.protected for output in outputs),
        sampled=sampled,
    )
