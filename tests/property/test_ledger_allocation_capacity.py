"""Of every allocator: the filter admits what it proposes, nothing that fits is left, same in, same out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import find, given, settings
from hypothesis import strategies as st

from allocation_cases import NOW, UNLOCKINGS, UNSHRUNK, able, allocators, charged, instances, unlocked_fits
from veilstream.contracts import Allocator, BudgetBlock, Demand
from veilstream.ledger.allocation import AllAtOnce, FirstCome, Unlocking
from veilstream.ledger.budget import has_room

Instance = tuple[tuple[BudgetBlock, ...], tuple[Demand, ...]]


def unlocking_of(allocator: Allocator, unlocking: Unlocking) -> Unlocking:
    return AllAtOnce() if isinstance(allocator, FirstCome) else unlocking


def never_over(allocator: Allocator, unlocking: Unlocking, instance: Instance) -> bool:
    """Each proposal, with all before it, is within the unlocked part, and the filter admits it."""
    blocks, demands = instance
    proposed = allocator.allocate(blocks, demands, NOW)
    there = blocks
    for number, demand in enumerate(proposed):
        for block in there:
            charges = demand.charges.get(block.id)
            if charges is not None and not has_room(block.spent, charges, block.capacity):
                return False
        there = charged(there, [demand])
        if not unlocked_fits(blocks, unlocking, NOW, proposed[: number + 1]):
            return False
    ids = [demand.id for demand in proposed]
    return len(set(ids)) == len(ids) and set(ids) <= {demand.id for demand in able(demands, NOW)}


def nothing_left(allocator: Allocator, unlocking: Unlocking, instance: Instance) -> bool:
    blocks, demands = instance
    proposed = allocator.allocate(blocks, demands, NOW)
    rest = [d for d in able(demands, NOW) if d not in proposed]
    return not any(unlocked_fits(blocks, unlocking, NOW, [*proposed, d]) for d in rest)


@settings(max_examples=150, deadline=None)
@given(unlocking=st.sampled_from(UNLOCKINGS), instance=instances())
def test_never_over_capacity_and_nothing_that_fits_is_left(unlocking: Unlocking, instance: Instance) -> None:
    for allocator in allocators(unlocking):
        own = unlocking_of(allocator, unlocking)
        assert never_over(allocator, own, instance), allocator.name
        assert nothing_left(allocator, own, instance), allocator.name


@settings(max_examples=50, deadline=None)
@given(instance=instances(), seed=st.integers(0, 100))
def test_same_answer_whatever_the_order_of_the_arguments(instance: Instance, seed: int) -> None:
    blocks, demands = instance
    chance = random.Random(seed)
    mixed = [
        replace(d, charges=dict(chance.sample(list(d.charges.items()), len(d.charges))))
        for d in chance.sample(demands, len(demands))
    ]
    for allocator in allocators(UNLOCKINGS[1]):
        first = allocator.allocate(blocks, demands, NOW)
        again = allocator.allocate(chance.sample(blocks, len(blocks)), mixed, NOW)
        assert [d.id for d in first] == [d.id for d in again], allocator.name


@dataclass(frozen=True)
class Greedy:
    """A mutant: grants all that has come."""

    name: str = "greedy"

    def allocate(
        self, blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float
    ) -> tuple[Demand, ...]:
        return tuple(d for d in able(demands, now) if set(d.charges) <= {b.id for b in blocks})


@dataclass(frozen=True)
class Impatient:
    """A mutant: one proposal a pass."""

    name: str = "impatient"

    def allocate(
        self, blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float
    ) -> tuple[Demand, ...]:
        return FirstCome().allocate(blocks, demands, now)[:1]


def test_the_checks_see_a_mutant() -> None:
    find(instances(), lambda case: not never_over(Greedy(), AllAtOnce(), case), settings=UNSHRUNK)
    find(instances(), lambda case: not nothing_left(Impatient(), AllAtOnce(), case), settings=UNSHRUNK)
