"""The benchmark: rates at one order and at eight beside pipelined `HINCRBY`, delays, bytes a person.

For each number of orders, in an empty store: everybody is charged once (that also measures people who are
new); then runs of ours and of the peer in turn, over random windows; then one model by itself, for the delay
of a reservation that waits for nobody; then `verify`, and people are weighed by deleting them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from redis.asyncio import Redis

from veilstream.bench.ledger.ground import Ground, team
from veilstream.bench.ledger.options import DELTA, EIGHT, EPSILON, ONE, TENANT
from veilstream.bench.ledger.population import bucket, packed, tokens
from veilstream.bench.ledger.runs import Job, Run, quantiles, run
from veilstream.bench.ledger.store import Watch, people_bytes
from veilstream.bench.pipeline.figures import quantile, ratios
from veilstream.ledger import verify

__all__ = ["PEOPLE_KEYS", "measure"]

PEOPLE_KEYS = "veil:ledger:*:people:*"

_BUCKETS = 8192  # the ledger's default
_ALONE_SECONDS = 120.0  # at most
_PEER = "bench:hincrby:"

Say = Callable[[str], None]


async def measure(here: Ground, say: Say) -> dict[str, Any]:
    """Every figure; `say` tells how far it is."""
    options = here.options
    one = await _orders(here, ONE, say)
    eight = await _orders(here, EIGHT, say)
    return {
        "charges_per_s": one["charges_per_s"],
        "charges_per_s_8_orders": eight["charges_per_s"],
        "reservation_p99_ms": one["reservation_alone_p99_ms"],
        "reservation_p99_under_load_ms": one["reservation_p99_ms"],
        "ratio_to_hincrby": one["ratio_to_hincrby"],
        "ratio_to_hincrby_8_orders": eight["ratio_to_hincrby"],
        "bytes_per_person": one["bytes_per_person"],
        "bytes_per_person_8_orders": eight["bytes_per_person"],
        "longest_script_ms": max(one["longest_script_ms"], eight["longest_script_ms"]),
        "people": options.people,
        "window": options.window,
        "concurrency": options.concurrency,
        "processes": options.processes,
        "seconds": options.seconds,
        "repeat": options.repeat,
        "cores": os.cpu_count(),
        "fsync": "always",
        "one_order": one,
        "eight_orders": eight,
    }


async def _orders(here: Ground, orders: tuple[int, ...], say: Say) -> dict[str, Any]:
    options = here.options
    what = f"{len(orders)} order{'s' if len(orders) > 1 else ''}"
    async with team(here) as working:
        budget = f"bench{len(orders)}"
        await working.ledger.create_budget(budget, TENANT, EPSILON, DELTA, orders, buckets=_BUCKETS)
        watch = Watch(working.client)
        await watch.begin()
        say(f"{what}: {options.people} people are charged once")
        fill = await run(working, options, _job(here, budget, orders, None, "fill"))
        await _fill_peer(working.client, options.people, options.seed, len(orders))
        ours: list[Run] = []
        peer: list[Run] = []
        for number in range(options.repeat):
            name = f"run{number}"
            ours.append(await run(working, options, _job(here, budget, orders, options.seconds, name)))
            peer.append(await run(working, options, _peer_job(here, orders, name)))
            say(f"{what}: {ours[-1].per_s:,.0f} charges/s, HINCRBY {peer[-1].per_s:,.0f} people/s")
        alone = await run(working, options, _alone(here, budget, orders))
        scripts = await watch.scripts()
        began = time.monotonic()
        checked = await verify(working.ledger, working.journal)
        say(f"{what}: verified {checked['entries']} entries")
        verified_s = time.monotonic() - began
        weight = await people_bytes(working.client, PEOPLE_KEYS)
    return {
        **_rates(ours, peer),
        **quantiles(_middle(ours)),
        "reservation_alone_p50_ms": quantile(alone.reservations_ms, 0.5),
        "reservation_alone_p99_ms": quantile(alone.reservations_ms, 0.99),
        "acknowledged_alone_p50_ms": quantile(alone.acknowledged_ms, 0.5),
        "charges_per_s_new_people": fill.per_s,
        "bytes_per_person": weight / options.people,
        **scripts,
        "cpu_ms_per_window": _middle(ours).cpu_ms_per_window,
        "cpu_ms_per_window_hincrby": _middle(peer).cpu_ms_per_window,
        "windows": sum(made.windows for made in ours),
        "entries_verified": checked["entries"],
        "verify_seconds": verified_s,
    }


def _rates(ours: list[Run], peer: list[Run]) -> dict[str, Any]:
    rates, theirs = [made.per_s for made in ours], [made.per_s for made in peer]
    spread = ratios(rates, theirs)
    return {
        "charges_per_s": median(rates),
        "charges_per_s_all": rates,
        "hincrby_per_s": median(theirs),
        "hincrby_per_s_all": theirs,
        "ratio_to_hincrby": spread.get("median", 0.0),
        "ratio_to_hincrby_spread": spread,
    }


def _middle(runs: list[Run]) -> Run:
    """The one of the median rate."""
    return sorted(runs, key=lambda made: made.per_s)[(len(runs) - 1) // 2]


def _job(here: Ground, budget: str, orders: tuple[int, ...], seconds: float | None, name: str) -> Job:
    options = here.options
    return Job("charge", budget, orders, options.people, options.window, seconds, name)


def _alone(here: Ground, budget: str, orders: tuple[int, ...]) -> Job:
    options = here.options
    return Job(
        "charge",
        budget,
        orders,
        options.people,
        options.window,
        _ALONE_SECONDS,
        "alone",
        models=1,
        windows=options.alone_windows,
    )


def _peer_job(here: Ground, orders: tuple[int, ...], name: str) -> Job:
    options = here.options
    return Job(
        "hincrby",
        _PEER,
        orders,
        options.people,
        options.window,
        options.seconds,
        name,
        buckets=_BUCKETS * len(orders),  # as many fields in a hash as at one order
    )


async def _fill_peer(client: Redis, people: int, seed: int, orders: int) -> None:
    """The peer's hashes, with everybody in them."""
    buckets = _BUCKETS * orders
    hashes: dict[int, dict[bytes, int]] = {}
    for token in tokens(people, seed):
        raw = packed(token)
        held = hashes.setdefault(bucket(raw, buckets), {})
        for order in range(orders):
            held[raw + bytes([order]) if orders > 1 else raw] = 5_000_000
    async with client.pipeline(transaction=False) as pipeline:
        for number, (place, held) in enumerate(hashes.items()):
            pipeline.hset(f"{_PEER}{place}", mapping=held)  # type: ignore[arg-type]
            if number % 100 == 99:
                await pipeline.execute()
        await pipeline.execute()
