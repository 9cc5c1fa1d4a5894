"""Does a demand fit, and what share of a block is it? Integers in, integers out.

The rule is the filter's (`ledger.budget.has_room`): a block has room when for *some* order the sum stays
within that order's limit. Over capacity at the other orders is allowed, and lasting: an order that is full
stays full. Free room is therefore kept at each order and may be negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from veilstream.contracts import BudgetBlock, Demand
from veilstream.errors import AccountingError
from veilstream.ledger.allocation.unlocking import Unlocking
from veilstream.ledger.budget import Budget, after

__all__ = [
    "Room",
    "arrive",
    "candidates",
    "check",
    "dominant_share",
    "fits",
    "from_budget",
    "grant",
    "greedy",
    "open_room",
    "shares",
    "take",
]

Room = dict[str, list[int]]
"""Free units of each block at each order: what is unlocked less what is spent. May be negative."""


def from_budget(budget: Budget, *, arrivals: int = 0, created: float = 0.0) -> BudgetBlock:
    """A budget's public odometer as one block: everyone in it is charged by whoever charges it."""
    return BudgetBlock(budget.name, budget.caps, budget.spent, arrivals, created)


def arrive(block: BudgetBlock) -> BudgetBlock:
    """The block after one more demand has asked for it."""
    return replace(block, arrivals=block.arrivals + 1)


def grant(block: BudgetBlock, demand: Demand) -> BudgetBlock:
    """The block after the demand was charged to it; as it was where the demand does not ask for it."""
    charges = demand.charges.get(block.id)
    if charges is None:
        return block
    nothing = (0,) * len(charges)
    by = {**block.spent_by, demand.model: after(block.spent_by.get(demand.model, nothing), charges)}
    return replace(block, spent=after(block.spent, charges), spent_by=by)


def check(blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float) -> None:
    """Raises AccountingError where an allocator's arguments cannot be; which block or demand is said by id.

    A block or demand twice; a demand for no block; not one charge for each order; a charge that is not an
    integer from 0 up; a weight that is not finite and above 0; a time that is NaN (or, of `now` and of
    a block, not finite). A block that is asked for and not there is no error: the demand waits for it.
    """
    if not math.isfinite(now):
        raise AccountingError("the time is a finite number of seconds")
    orders = {block.id: len(block.capacity) for block in blocks}
    if len(orders) != len(blocks):
        raise AccountingError("a block is there twice")
    for block in blocks:
        if not block.capacity or len(block.spent) != len(block.capacity):
            raise AccountingError(f"block {block.id} needs one cap and one spend for each order")
        if not math.isfinite(block.created) or block.arrivals < 0:
            raise AccountingError(f"block {block.id} has a creation time and a count of arrivals from 0 up")
    if len({demand.id for demand in demands}) != len(demands):
        raise AccountingError("a demand is there twice")
    for demand in demands:
        if not demand.charges:
            raise AccountingError(f"demand {demand.id} asks for no block")
        if not (math.isfinite(demand.weight) and demand.weight > 0):
            raise AccountingError(f"the weight of demand {demand.id} is a finite number above 0")
        if math.isnan(demand.arrival) or math.isnan(demand.deadline):
            raise AccountingError(f"a time of demand {demand.id} is NaN")
        for name, charges in demand.charges.items():
            if len(charges) != orders.get(name, len(charges)):
                raise AccountingError(f"demand {demand.id} needs one charge for each order of block {name}")
            for units in charges:
                if type(units) is not int or units < 0:
                    raise AccountingError(f"a charge of demand {demand.id} is no integer from 0 up")


def open_room(blocks: Iterable[BudgetBlock], unlocking: Unlocking, now: float) -> Room:
    """What may be granted now, of each block and at each order."""
    return {
        block.id: [
            have - spent if cap > 0 else -1  # an order without a cap has no room, not even for 0
            for have, spent, cap in zip(
                unlocking.unlocked(block, now), block.spent, block.capacity, strict=True
            )
        ]
        for block in blocks
    }


def fits(room: Mapping[str, Sequence[int]], demand: Demand) -> bool:
    """Whether every block that it asks for is there and has room at some order."""
    for name, charges in demand.charges.items():
        free = room.get(name)
        if free is None:
            return False
        for have, units in zip(free, charges, strict=True):
            if units <= have:
                break
        else:
            return False
    return True


def take(room: Room, demand: Demand) -> None:
    """Take the demand from the room, at every order."""
    for name, charges in demand.charges.items():
        free = room[name]
        for order, units in enumerate(charges):
            free[order] -= units


def candidates(room: Mapping[str, Sequence[int]], demands: Iterable[Demand], now: float) -> list[Demand]:
    """Who could be granted in this pass: arrived, not too late, and fitting. Room only shrinks in a pass."""
    return [demand for demand in demands if demand.arrival <= now < demand.deadline and fits(room, demand)]


def greedy(room: Room, ordered: Iterable[Demand]) -> tuple[Demand, ...]:
    """Grant each in turn that still fits, and go on after one that does not. Changes `room`."""
    granted = []
    for demand in ordered:
        if fits(room, demand):
            take(room, demand)
            granted.append(demand)
    return tuple(granted)


@lru_cache(maxsize=65536)
def shares(charges: tuple[int, ...], capacity: tuple[int, ...]) -> tuple[float, ...]:
    """Shares of a block's capacity at the orders that have one, the largest first; +∞ where none has."""
    parts = [units / cap for units, cap in zip(charges, capacity, strict=True) if cap > 0]
    return tuple(sorted(parts, reverse=True)) or (math.inf,)


def dominant_share(demand: Demand, capacities: Mapping[str, tuple[int, ...]]) -> float:
    """The largest share of any block's capacity at any order that the demand asks for.

    PrivateKube's dominant private block share (arXiv 2106.15335, in its Rényi form). Python's division
    of integers is correctly rounded, so a demand that is nowhere larger never has a larger share.
    """
    return max(shares(charges, capacities[name])[0] for name, charges in demand.charges.items())
