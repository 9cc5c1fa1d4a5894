"""How charging grows with the people in the store and the people in a window, and how long a script is."""

from __future__ import annotations

import os
from typing import Any

from veilstream.bench.ledger.ground import Ground, team
from veilstream.bench.ledger.measure import PEOPLE_KEYS, Say
from veilstream.bench.ledger.options import DELTA, EIGHT, EPSILON, ONE, TENANT
from veilstream.bench.ledger.runs import Job, quantiles, run
from veilstream.bench.ledger.store import Watch, people_bytes

__all__ = ["growth"]

_FILL_WINDOW = 1000


async def growth(here: Ground, say: Say) -> dict[str, Any]:
    """A row for each number of orders, of people, and of people in a window (never more than there are)."""
    options = here.options
    rows: list[dict[str, Any]] = []
    for orders in (ONE, EIGHT):
        for people in options.growth_people:
            rows += await _people(here, orders, people, say)
    return {
        "growth": rows,
        "longest_script_ms": max(row["longest_script_ms"] for row in rows),
        "concurrency": options.concurrency,
        "processes": options.processes,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "fsync": "always",
    }


async def _people(here: Ground, orders: tuple[int, ...], people: int, say: Say) -> list[dict[str, Any]]:
    options = here.options
    rows: list[dict[str, Any]] = []
    async with team(here) as working:
        budget = f"bench{len(orders)}"
        await working.ledger.create_budget(budget, TENANT, EPSILON, DELTA, orders)
        window = min(_FILL_WINDOW, people)
        await run(working, options, Job("charge", budget, orders, people, window, None, "fill"))
        watch = Watch(working.client)
        for window in [size for size in options.growth_windows if size <= people]:
            await watch.begin()
            job = Job("charge", budget, orders, people, window, options.seconds, f"window{window}")
            made = await run(working, options, job)
            scripts = await watch.scripts()
            row: dict[str, Any] = {
                "orders": len(orders),
                "people": people,
                "window": window,
                "charges_per_s": made.per_s,
                "windows": made.windows,
                **scripts,
            }
            row |= quantiles(made) if made.windows else {"refused": made.refused}
            rows.append(row)
            say(
                f"{len(orders)} orders, {people:,} people, windows of {window:,}:"
                f" {made.per_s:,.0f} charges/s, longest script {row['longest_script_ms']:.1f} ms"
            )
        weight = await people_bytes(working.client, PEOPLE_KEYS)
    return [{**row, "bytes_per_person": weight / people} for row in rows]
