"""Throughput against partitions and workers, and what holds it back at each point."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from veilstream.bench.pipeline.matrix import Brief, Run, prepared, timed
from veilstream.bench.pipeline.scan import reader
from veilstream.bench.pipeline.stack import Ground

__all__ = ["bottleneck", "growth"]

PARTITIONS = (1, 2, 4, 8, 16)
_BUSY = 0.9
_BRIEF = Brief(warm_up_seconds=1.0, seconds=4.0)


def bottleneck(worker_cores: float, broker_cores: float, workers: int, partitions: int, cores: int) -> str:
    """What is used up, by CPU cores in use.

    A worker is one Python process and has one core; workers without a partition are idle.
    """
    if worker_cores >= _BUSY * min(workers, partitions):
        return "a worker's core"
    if worker_cores + broker_cores >= _BUSY * cores:
        return "the machine's cores, broker included"
    return "waiting for the broker's answers, or for cores that others have"


async def growth(ground: Ground, texts: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """A row for each number of partitions and of workers, of the first workload."""
    options, rows = ground.options, []
    for partitions in PARTITIONS:
        workload = options.workloads[0]
        place, backlog = await prepared(
            ground, texts, workload, options.record_kb, say, partitions=partitions
        )
        for workers in options.workers:
            async with reader(place) as out:
                run = await timed(ground, place, backlog, out, "ours", workers, _BRIEF)
            rows.append(_row(run, partitions, workers))
            say(f"{partitions} partitions, {workers} workers: {run.mb_per_s:.2f} MB/s")
    return {"workload": options.workloads[0], "options": options.told(), "growth": rows}


def _row(run: Run, partitions: int, workers: int) -> dict[str, Any]:
    worker_cores = run.worker_cpu_s_per_mb * run.mb_per_s
    broker_cores = run.broker_cpu_s_per_mb * run.mb_per_s
    return {
        "partitions": partitions,
        "workers": workers,
        "mb_per_s": run.mb_per_s,
        "records_per_s": run.records_per_s,
        "worker_cores": worker_cores,
        "broker_cores": broker_cores,
        "bottleneck": bottleneck(worker_cores, broker_cores, workers, partitions, os.cpu_count() or 1),
    }
