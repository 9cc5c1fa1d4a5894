"""One policy on one workload: what it grants, when, and what that takes.

At every pass: demands that have arrived join, in order, and each adds to the arrivals of its blocks; the
allocator proposes; each proposal is charged to all its blocks or to none, by the ledger's filter
(`has_room` on the whole caps). A proposal that the filter refuses is counted, and must not happen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from veilstream.bench.allocation.workload import Workload
from veilstream.contracts import Allocator, BudgetBlock, Demand
from veilstream.ledger.allocation import arrive, grant
from veilstream.ledger.budget import has_room

__all__ = ["Outcome", "simulate"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy did."""

    granted: Mapping[str, float]  # demand id to the time of its grant
    blocks: tuple[BudgetBlock, ...]  # as they are in the end
    refused: int  # proposals that the filter refused
    cpu_seconds: float  # in the allocator


def simulate(workload: Workload, allocator: Allocator) -> Outcome:
    """Run to the end of the workload, and one pass beyond."""
    to_come, created = list(reversed(workload.demands)), list(reversed(workload.blocks))
    blocks: dict[str, BudgetBlock] = {}
    waiting: dict[str, Demand] = {}
    granted: dict[str, float] = {}
    refused, cpu = 0, 0.0
    for step in range(1, math.ceil(workload.end_seconds / workload.period_seconds) + 1):
        now = step * workload.period_seconds
        while created and created[-1].created <= now:
            block = created.pop()
            blocks[block.id] = block
        while to_come and to_come[-1].arrival <= now:
            demand = to_come.pop()
            waiting[demand.id] = demand
            for name in demand.charges:
                blocks[name] = arrive(blocks[name])
        before = time.process_time()
        proposed = allocator.allocate(tuple(blocks.values()), tuple(waiting.values()), now)
        cpu += time.process_time() - before
        for demand in proposed:
            if not _filter_admits(blocks, demand):
                refused += 1
                continue
            for name in demand.charges:
                blocks[name] = grant(blocks[name], demand)
            granted[demand.id] = now
            del waiting[demand.id]
        # Spends never fall: who does not fit into the whole caps now will never be granted.
        waiting = {d.id: d for d in waiting.values() if d.deadline > now and _filter_admits(blocks, d)}
    return Outcome(granted, tuple(blocks.values()), refused, cpu)


def _filter_admits(blocks: Mapping[str, BudgetBlock], demand: Demand) -> bool:
    return all(
        has_room(blocks[name].spent, charges, blocks[name].capacity)
        for name, charges in demand.charges.items()
    )
