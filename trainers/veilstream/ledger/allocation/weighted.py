"""Weighted shares: each model gets a share of what unlocks, in proportion to its weight.

Progressive filling to weighted max-min fairness (Bertsekas & Gallager, "Data Networks", section 6.5.2), with
a model's share of a block measured as in dominant resource fairness (Ghodsi et al., NSDI 2011): its largest
share at any order. The next grant goes to the model that has received least for its weight of the blocks
that its demand asks for; within a model, first come first served.

**Promises.** At each grant, no model with a waiting demand that fits has received less, for its weight, of
the blocks it asks for than the model that is granted. What a model does not ask for goes to the others (work
conservation). So the shares of models that always have small demands waiting stay in proportion to their
weights, to within one demand. All or nothing.

**Does not** keep a small demand of a greedy model from waiting behind that model's own large ones.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from veilstream.contracts import BudgetBlock, Demand
from veilstream.errors import AccountingError
from veilstream.ledger.allocation.fitting import candidates, check, fits, open_room, shares, take
from veilstream.ledger.allocation.unlocking import Unlocking

__all__ = ["WeightedShares"]


@dataclass(frozen=True, slots=True)
class WeightedShares:
    """An `Allocator`. A model without a weight has 1; what each has received comes with the blocks."""

    unlocking: Unlocking
    weights: Mapping[str, float] = field(default_factory=dict)
    name: str = "weighted"

    def __post_init__(self) -> None:
        for model, weight in self.weights.items():
            if not (math.isfinite(weight) and weight > 0):
                raise AccountingError(f"the weight of model {model} is a finite number above 0")

    def allocate(
        self, blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float
    ) -> tuple[Demand, ...]:
        """Raises AccountingError for arguments that cannot be (`fitting.check`)."""
        check(blocks, demands, now)
        room = open_room(blocks, self.unlocking, now)
        capacities = {block.id: block.capacity for block in blocks}
        received = {(block.id, model): list(by) for block in blocks for model, by in block.spent_by.items()}

        def has(demand: Demand) -> float:
            weight = self.weights.get(demand.model, 1.0)
            return (
                max(
                    shares(tuple(received.get((name, demand.model), (0,) * len(charges))), capacities[name])[
                        0
                    ]
                    for name, charges in demand.charges.items()
                )
                / weight
            )

        # What a model has received only grows, so an entry's key is never above the present one: an entry
        # that is still the least after its key was computed again is the least of all.
        heap = [(has(d), d.arrival, d.id, d) for d in candidates(room, demands, now)]
        heapq.heapify(heap)
        granted: list[Demand] = []
        while heap:
            key, _, _, demand = heapq.heappop(heap)
            if not fits(room, demand):
                continue
            current = has(demand)
            if current > key:
                heapq.heappush(heap, (current, demand.arrival, demand.id, demand))
                continue
            take(room, demand)
            granted.append(demand)
            for name, charges in demand.charges.items():
                so_far = received.setdefault((name, demand.model), [0] * len(charges))
                for order, units in enumerate(charges):
                    so_far[order] += units
        return tuple(granted)
