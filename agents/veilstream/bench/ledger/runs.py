"""A timed run over all processes, ours or the peer's, and its arithmetic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from veilstream.bench.ledger.ground import Team
from veilstream.bench.ledger.options import Options
from veilstream.bench.pipeline.children import BenchFailed
from veilstream.bench.pipeline.figures import quantile
from veilstream.bench.pipeline.proc import read

__all__ = ["Job", "Run", "quantiles", "run", "summary"]

_START_SECONDS = 0.1  # until every process has heard of it
_POOL_PEOPLE = 400_000  # drawn for each model before a run
_PEER_FIELDS = 200_000  # of the peer: each is an object


@dataclass(frozen=True, slots=True)
class Job:
    """What is charged in a run."""

    work: str  # "charge" or "hincrby"
    budget: str  # or the prefix of the peer's hashes
    orders: tuple[int, ...]
    people: int
    window: int
    seconds: float | None  # None: until everybody was in a window once
    name: str  # of the run: draws other windows
    buckets: int = 0  # the peer's hashes
    models: int | None = None  # fewer than there are: the others rest
    windows: int | None = None  # at most so many for each model


@dataclass(frozen=True, slots=True)
class Run:
    """What a run showed; times in milliseconds."""

    people: int
    windows: int
    seconds: float
    reservations_ms: tuple[float, ...]  # charge() alone, sorted
    acknowledged_ms: tuple[float, ...]  # from the call to the journal's acknowledgement, sorted
    cpu_ms_per_window: dict[str, float]
    refused: str

    @property
    def per_s(self) -> float:
        return self.people / self.seconds if self.seconds else 0.0


def summary(
    samples: Sequence[Sequence[float]], start: float, cpu_s: dict[str, float], refused: str = ""
) -> Run:
    """Samples (called, reserved, acknowledged, people; seconds of one clock) as a run.

    A run lasts from `start` to the last acknowledgement: a window that was called in time counts, and so
    does the time that it took.
    """
    ends = [sample[2] for sample in samples]
    return Run(
        people=int(sum(sample[3] for sample in samples)),
        windows=len(samples),
        seconds=max(ends) - start if ends else 0.0,
        reservations_ms=tuple(sorted((sample[1] - sample[0]) * 1000 for sample in samples)),
        acknowledged_ms=tuple(sorted((sample[2] - sample[0]) * 1000 for sample in samples)),
        cpu_ms_per_window={name: used * 1000 / max(1, len(samples)) for name, used in cpu_s.items()},
        refused=refused,
    )


def quantiles(run: Run) -> dict[str, float]:
    """Median and 99th percentile of both delays."""
    return {
        "reservation_p50_ms": quantile(run.reservations_ms, 0.5),
        "reservation_p99_ms": quantile(run.reservations_ms, 0.99),
        "acknowledged_p50_ms": quantile(run.acknowledged_ms, 0.5),
        "acknowledged_p99_ms": quantile(run.acknowledged_ms, 0.99),
    }


async def run(team: Team, options: Options, job: Job) -> Run:
    """Let every process do its part at once.

    Raises:
        BenchFailed: a process ended, or people were left out though the budget has room for everyone.
    """
    left = job.models if job.models is not None else options.concurrency
    asked, busy = [], []
    first = 0
    for child, names in zip(team.chargers, team.models, strict=True):
        taken = names[: max(0, left)]
        left -= len(taken)
        if taken:
            busy.append(child)
            asked.append(child.ask(**_prepare(options, job, taken, first)))
        first += len(taken)
    await asyncio.gather(*asked)
    before = _cpu(team)
    at = time.monotonic() + _START_SECONDS
    told = await asyncio.gather(
        *(child.ask(do="go", at=at, seconds=job.seconds, windows=job.windows) for child in busy)
    )
    after = _cpu(team)
    samples = [sample for answer in told for sample in answer["samples"]]
    refused = next((answer["refused"] for answer in told if answer["refused"]), "")
    made = summary(samples, at, {name: after[name] - before[name] for name in before}, refused)
    if job.seconds is not None and job.work == "charge" and made.people != made.windows * job.window:
        raise BenchFailed(f"people were left out of a run: {made.people} in {made.windows} windows")
    return made


def _prepare(options: Options, job: Job, models: tuple[str, ...], first: int) -> dict[str, Any]:
    everyone = job.seconds is None
    drawn = _PEER_FIELDS // len(job.orders) if job.work == "hincrby" else _POOL_PEOPLE
    pool = max(2, drawn // job.window)
    return {
        "do": "prepare",
        "work": job.work,
        "budget": job.budget,
        "orders": job.orders,
        "models": models,
        "people": job.people,
        "seed": options.seed,
        "window": job.window,
        "pool": min(pool, job.windows) if job.windows is not None else pool,
        "run": job.name,
        "first": first,
        "everyone_in": options.concurrency if everyone else 0,
        "buckets": job.buckets,
    }


def _cpu(team: Team) -> dict[str, float]:
    """Seconds of CPU time so far, by what the processes are."""
    return {
        name: sum(sample.cpu_s for pid in pids if (sample := read(pid)) is not None)
        for name, pids in team.pids.items()
    }
