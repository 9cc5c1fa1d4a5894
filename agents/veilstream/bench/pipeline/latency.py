"""From the producer's call of `send` until a `read_committed` consumer has the record in hand.

Both are processes of one machine and read one clock. A record is matched by its place in the raw topic: the
producer learns it from the acknowledgement, the reader from the protected record's headers. What was sent in
the first seconds is left out, and so is the time that the reader takes to look at what it has in hand.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Any

from veilstream.bench.pipeline.children import BenchFailed, Child
from veilstream.bench.pipeline.figures import quantile
from veilstream.bench.pipeline.options import Delivery, Workload
from veilstream.bench.pipeline.scan import Reader, origin, reader
from veilstream.bench.pipeline.stack import Ground

__all__ = ["latency", "pacer"]

_PRIMER_RATE = 20.0
_START_SECONDS = 90.0
_WARM_UP_SECONDS = 3.0
_LAST_SECONDS = 15.0
_POOL_MB_RECORDS = 20_000


def pacer(ground: Ground, place: Any, workload: Workload, rate: float, *, pool: int, remember: bool) -> Child:
    """The producing process, at a first rate."""
    options = ground.options
    job = {
        "place": place.to_dict(),
        "data": str(options.data),
        "workload": workload,
        "seed": options.seed + 1,
        "record_kb": options.record_kb,
        "batch": options.batch,
        "pool": pool,
        "rate": rate,
        "remember": remember,
    }
    return Child("pacing", job, ground.folder, "pacing")


async def latency(
    ground: Ground, delivery: Delivery, workload: Workload, workers: int, rate: float
) -> dict[str, Any]:
    """Milliseconds at a rate (records a second), on topics of their own.

    Raises:
        BenchFailed: nothing came out, or a process ended.
    """
    options = ground.options
    place = (await ground.place(options.partitions)).with_(delivery=delivery)
    seconds = _WARM_UP_SECONDS + options.latency_seconds
    pool = max(100, min(_POOL_MB_RECORDS, int(rate * seconds)))
    async with reader(place) as out:
        seen: list[tuple[int, int, float]] = []
        with ExitStack() as running:
            job = {"place": place.to_dict()}
            children = [
                running.enter_context(Child("worker", job, ground.folder, f"delay-{number}"))
                for number in range(workers)
            ]
            source = running.enter_context(
                pacer(ground, place, workload, _PRIMER_RATE, pool=pool, remember=True)
            )
            await _until_first(out, seen, [*children, source])
            source.say(f"rate {rate}")
            began = time.time()
            await _read(out, seen, began + seconds, [*children, source])
            source.say("stop")
            await _rest(out, seen, source)
            sent = source.result()
        return _told(sent, seen, began + _WARM_UP_SECONDS, began + seconds, rate)


async def _until_first(out: Reader, seen: list[tuple[int, int, float]], children: list[Child]) -> None:
    """Every worker is there when a second has passed since the first record came out."""
    deadline = time.time() + _START_SECONDS
    while not seen:
        await _read(out, seen, time.time() + 0.5, children)
        if time.time() > deadline:
            raise BenchFailed("nothing came out", hint="see the processes' logs")
    await _read(out, seen, time.time() + 1.0 + 2.0 * (len(children) > 2), children)


async def _read(out: Reader, seen: list[tuple[int, int, float]], until: float, children: list[Child]) -> None:
    while time.time() < until:
        records = await out.more(0.2)
        at = time.time()
        seen += [(*origin(record.headers), at) for record in records]
        for child in children:
            child.check()


async def _rest(out: Reader, seen: list[tuple[int, int, float]], source: Child) -> None:
    """What was under way."""
    until, quiet = time.time() + _LAST_SECONDS, 0
    while time.time() < until and (quiet < 3 or not source.result_path.exists()):
        before = len(seen)
        await _read(out, seen, time.time() + 0.3, [])
        quiet = quiet + 1 if len(seen) == before else 0
        await asyncio.sleep(0)


def _told(
    sent: dict[str, Any], seen: list[tuple[int, int, float]], start: float, end: float, rate: float
) -> dict[str, Any]:
    visible: dict[tuple[int, int], float] = {}
    for partition, offset, at in seen:
        visible.setdefault((partition, offset), at)
    counted = [(partition, offset, at) for partition, offset, at in sent["sent"] if start <= at < end]
    delays = [
        (visible[partition, offset] - at) * 1000
        for partition, offset, at in counted
        if (partition, offset) in visible
    ]
    if not delays:
        raise BenchFailed("no record was sent and seen")
    return {
        "rate_records_per_s": rate,
        "sent_records_per_s": len(counted) / (end - start),
        "records": len(delays),
        "unseen": len(counted) - len(delays),
        "p50_ms": quantile(delays, 0.5),
        "p90_ms": quantile(delays, 0.9),
        "p99_ms": quantile(delays, 0.99),
        "max_ms": max(delays),
        "producer_late_p99_ms": sent["late_p99_ms"],
    }
