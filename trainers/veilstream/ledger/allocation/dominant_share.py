"""DPF, dominant private block fairness: the smallest dominant share first, out of what is unlocked.

Luo et al., "Privacy Budget Scheduling" (PrivateKube, OSDI 2021), arXiv 2106.15335, in its Rényi form.
A demand's dominant share is its largest share of any block at any order. All or nothing.

**Promises**, each a property test; "fair" is a demand whose dominant share is at most 1/N:
* *Sharing incentive* (unlocking by arrivals): a fair demand is granted in the pass after its arrival, where
  no more than N have asked for any of its blocks before that pass. Until then some order of each block has
  spent no more than is unlocked; each arrival unlocks 1/N of that order, which is enough for a fair demand;
  and other fair demands need no more than they unlock. (The paper has a pass after every arrival. With
  several in a pass, one that is the N+1st at a block unlocks nothing, and may come first for being smaller.)
* *Strategy-proofness*: asking for more of the same blocks never gets a demand granted earlier. Its place is
  not better, and what does not fit then does not fit larger. (Asking for less is of no use: all or nothing.)
* *Pareto efficiency*: after a pass nothing that waits fits into what is unlocked.

**Does not** grant the most demands that could be granted: that is `packing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veilstream.contracts import BudgetBlock, Demand
from veilstream.ledger.allocation.fitting import candidates, check, greedy, open_room, shares
from veilstream.ledger.allocation.unlocking import Unlocking

__all__ = ["DominantShare"]


@dataclass(frozen=True, slots=True)
class DominantShare:
    """An `Allocator`: by dominant share, ties by the next largest and so on, then arrival, then id."""

    unlocking: Unlocking
    name: str = "dominant_share"

    def allocate(
        self, blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float
    ) -> tuple[Demand, ...]:
        """Raises AccountingError for arguments that cannot be (`fitting.check`)."""
        check(blocks, demands, now)
        room = open_room(blocks, self.unlocking, now)
        capacities = {block.id: block.capacity for block in blocks}

        def place(demand: Demand) -> tuple[list[float], float, str]:
            every = [s for name, charges in demand.charges.items() for s in shares(charges, capacities[name])]
            return sorted(every, reverse=True), demand.arrival, demand.id

        return greedy(room, sorted(candidates(room, demands, now), key=place))
