"""First come, first served: what fits is granted in order of arrival, out of all that a block has left.

**Promises** work conservation and nothing else. A demand that does not fit is passed over, since a budget
that is spent never comes back for it. One large early demand takes what a hundred small ones would have
shared: this is the baseline of both papers, and of a ledger that nobody allocates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veilstream.contracts import BudgetBlock, Demand
from veilstream.ledger.allocation.fitting import candidates, check, greedy, open_room
from veilstream.ledger.allocation.unlocking import AllAtOnce

__all__ = ["FirstCome"]


@dataclass(frozen=True, slots=True)
class FirstCome:
    """An `Allocator`: by arrival, then by id."""

    name: str = "first_come"

    def allocate(
        self, blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float
    ) -> tuple[Demand, ...]:
        """Raises AccountingError for arguments that cannot be (`fitting.check`)."""
        check(blocks, demands, now)
        room = open_room(blocks, AllAtOnce(), now)
        return greedy(room, sorted(candidates(room, demands, now), key=lambda d: (d.arrival, d.id)))
