"""DPack: as many demands (or as much weight) as fit, by packing each block at its best order.

Tholoniat et al., "DPack: Efficiency-Oriented Privacy Budget Scheduling", arXiv 2212.13228. A
block needs one order within its cap, not all, so what a demand costs is what it takes at the order that the
block is going to be packed at. For each block, the *best* order is that at which most weight of the waiting
demands fits (a knapsack at each order, approximated). A demand's efficiency is

    weight / Σ over its blocks of  units at the block's best order / free units at that order,

and demands are granted by falling efficiency while they fit. Here the free units are the unlocked ones, and
the demands those that fit now: in one pass nobody else can be granted.

**Promises** work conservation, and no more: choosing the best set is NP-hard (a knapsack in many dimensions).
The tests compare it with the exhaustive optimum on small instances and with DPF on the published kind.

**Does not** promise anyone a share. The knapsack's value at an order is within a factor 2 (the better of
greedy by density and the single best demand; Dantzig, "Discrete-Variable Extremum Problems", 1957), exact
where weights are equal. The paper's scheme is finer; the tie-break is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from veilstream.contracts import BudgetBlock, Demand
from veilstream.ledger.allocation.fitting import candidates, check, greedy, open_room
from veilstream.ledger.allocation.unlocking import Unlocking

__all__ = ["Packing", "best_order", "knapsack"]


@dataclass(frozen=True, slots=True)
class Packing:
    """An `Allocator`: by efficiency at each block's best order, then arrival, then id."""

    unlocking: Unlocking
    name: str = "packing"

    def allocate(
        self, blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float
    ) -> tuple[Demand, ...]:
        """Raises AccountingError for arguments that cannot be (`fitting.check`)."""
        check(blocks, demands, now)
        room = open_room(blocks, self.unlocking, now)
        able = candidates(room, demands, now)
        asking: dict[str, list[Demand]] = {}
        for demand in able:
            for name in demand.charges:
                asking.setdefault(name, []).append(demand)
        best = {name: best_order(name, room[name], those) for name, those in asking.items()}

        def place(demand: Demand) -> tuple[float, float, str]:
            parts = []
            for name, charges in demand.charges.items():
                units, free = charges[best[name]], room[name][best[name]]
                parts.append(units / free if free > 0 else (0.0 if units == 0 else math.inf))
            cost = math.fsum(parts)  # the same whatever the order of the blocks
            return cost / demand.weight, demand.arrival, demand.id

        return greedy(room, sorted(able, key=place))  # sorted before anything is taken


def best_order(name: str, free: Sequence[int], demands: Sequence[Demand]) -> int:
    """Index of the order at which most weight fits into the block's free units.

    Ties go to the order where most would fit if the next demand could be cut; then to the first. While little
    is unlocked nearly all orders tie, and a choice by place alone costs a fifth of the grants in some runs.
    """
    values = [
        knapsack(room, [(d.charges[name][order], d.weight) for d in demands]) if room >= 0 else (-1.0, -1.0)
        for order, room in enumerate(free)
    ]
    return max(range(len(values)), key=values.__getitem__)


def knapsack(room: int, items: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Weight of items (units, weight) that fits into `room`: what is found, and a bound on what could be.

    What is found is exact for equal weights, and never less than half of the most. The bound is the value
    with one item cut (the linear relaxation).
    """
    fitting = sorted((item for item in items if item[0] <= room), key=lambda item: (item[0] / item[1], item))
    if not fitting:
        return 0.0, 0.0
    total, left, relaxed = 0.0, room, None
    for units, weight in fitting:
        if units <= left:
            left -= units
            total += weight
        elif relaxed is None:
            relaxed = total + weight * left / units
    best = max(total, max(weight for _, weight in fitting))
    return best, best if relaxed is None else max(best, relaxed)
