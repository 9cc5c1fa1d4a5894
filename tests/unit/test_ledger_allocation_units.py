"""Allocators at their edges: bad input, ties, the policies side by side on an instance that one can read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from veilstream.contracts import Allocator, BudgetBlock, Demand
from veilstream.errors import AccountingError
from veilstream.ledger import Budget
from veilstream.ledger.allocation import (
    AllAtOnce,
    ByArrivals,
    ByTime,
    DominantShare,
    FirstCome,
    Packing,
    WeightedShares,
    dominant_share,
    from_budget,
    grant,
)
from veilstream.ledger.allocation.packing import knapsack
from veilstream.ledger.budget import define, has_room

BLOCK = BudgetBlock("x", (100, 50), (0, 0))
HALF: Any = (1, 2.0)
DEMAND = Demand("d", "m", 0.0, {"x": (10, 10)})
POLICIES: list[Allocator] = [
    FirstCome(),
    WeightedShares(AllAtOnce()),
    DominantShare(AllAtOnce()),
    Packing(AllAtOnce()),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@pytest.mark.parametrize(
    ("blocks", "demands", "now", "says"),
    [
        ([BLOCK], [DEMAND], math.nan, "the time is"),
        ([BLOCK], [DEMAND], math.inf, "the time is"),
        ([BLOCK, BLOCK], [DEMAND], 0.0, "a block is there twice"),
        ([BLOCK], [DEMAND, DEMAND], 0.0, "a demand is there twice"),
        ([replace(BLOCK, spent=(0,))], [DEMAND], 0.0, "block x needs one cap and one spend"),
        ([replace(BLOCK, created=math.nan)], [DEMAND], 0.0, "block x has a creation time"),
        ([BLOCK], [replace(DEMAND, charges={})], 0.0, "demand d asks for no block"),
        ([BLOCK], [replace(DEMAND, charges={"x": (1,)})], 0.0, "one charge for each order of block x"),
        ([BLOCK], [replace(DEMAND, charges={"x": (1, -1)})], 0.0, "no integer from 0 up"),
        ([BLOCK], [replace(DEMAND, charges={"x": HALF})], 0.0, "no integer from 0 up"),
        ([BLOCK], [replace(DEMAND, weight=0.0)], 0.0, "the weight of demand d"),
        ([BLOCK], [replace(DEMAND, weight=math.nan)], 0.0, "the weight of demand d"),
        ([BLOCK], [replace(DEMAND, arrival=math.nan)], 0.0, "a time of demand d"),
    ],
)
def test_what_cannot_be_is_refused_and_named(
    policy: Allocator, blocks: list[BudgetBlock], demands: list[Demand], now: float, says: str
) -> None:
    with pytest.raises(AccountingError, match=says):
        policy.allocate(blocks, demands, now)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_nothing_comes_of_nothing(policy: Allocator) -> None:
    assert policy.allocate([], [], 0.0) == ()
    assert policy.allocate([BLOCK], [], 0.0) == ()
    assert policy.allocate([], [DEMAND], 0.0) == ()  # it waits for its block
    assert policy.allocate([BLOCK], [replace(DEMAND, deadline=5.0)], 5.0) == ()  # too late
    assert policy.allocate([BLOCK], [replace(DEMAND, arrival=6.0)], 5.0) == ()  # too early


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_one_order_is_enough_and_an_order_without_a_cap_is_none(policy: Allocator) -> None:
    over_at_first = replace(DEMAND, charges={"x": (101, 50)})
    assert policy.allocate([BLOCK], [over_at_first], 0.0) == (over_at_first,)
    over_at_both = replace(DEMAND, charges={"x": (101, 51)})
    assert policy.allocate([BLOCK], [over_at_both], 0.0) == ()
    useless = BudgetBlock("x", (-7, 50), (0, 0))
    assert policy.allocate([useless], [replace(DEMAND, charges={"x": (0, 51)})], 0.0) == ()


@pytest.mark.parametrize("bad", [0, -1, True, 1.5])
def test_unlocking_needs_a_count_and_a_time(bad: float) -> None:
    with pytest.raises(AccountingError, match="one of N"):
        ByArrivals(bad)  # type: ignore[arg-type]
    for seconds in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(AccountingError, match="unlocked over"):
            ByTime(seconds)
    with pytest.raises(AccountingError, match="steps"):
        ByTime(1.0, 0)
    with pytest.raises(AccountingError, match="weight of model m"):
        WeightedShares(AllAtOnce(), {"m": math.inf})


def test_each_policy_has_its_own_favourite() -> None:
    """Room for 80: an elephant came first; `a` has had its share; three mice are cheap at order 2."""
    block = BudgetBlock("x", (100, 100), (20, 20), spent_by={"a": (20, 20)})
    elephant = Demand("elephant", "b", 0.0, {"x": (70, 70)})
    small = Demand("small", "a", 1.0, {"x": (30, 30)})
    mice = [Demand(f"mouse{n}", "c", 2.0 + n, {"x": (35, 20)}) for n in range(3)]
    everyone = [elephant, small, *mice]

    def granted(policy: Allocator) -> list[str]:
        return [demand.id for demand in policy.allocate([block], everyone, 10.0)]

    assert granted(FirstCome()) == ["elephant"]
    assert granted(WeightedShares(AllAtOnce(), {"c": 2.0})) == [
        "elephant"
    ]  # before c, which has nothing either
    assert granted(DominantShare(AllAtOnce())) == ["small", "mouse0", "mouse1"]
    assert granted(Packing(AllAtOnce())) == ["mouse0", "mouse1", "mouse2"]


def test_ties_go_by_the_next_largest_share_then_arrival_then_id() -> None:
    block = BudgetBlock("x", (100, 100), (0, 0))
    wants = {"d": (60, 10, 0.0), "c": (60, 9, 5.0), "b": (60, 10, 0.0), "a": (60, 10, 1.0)}
    demands = [Demand(name, "m", at, {"x": (one, two)}) for name, (one, two, at) in wants.items()]
    assert [d.id for d in DominantShare(AllAtOnce()).allocate([block], demands, 9.0)] == ["c", "b", "d", "a"]


def test_dominant_share_is_the_largest_over_blocks_and_orders() -> None:
    demand = Demand("d", "m", 0.0, {"x": (10, 10), "y": (30, 0)})
    assert dominant_share(demand, {"x": (100, 50), "y": (100, -1)}) == 0.3
    assert dominant_share(demand, {"x": (100, 50), "y": (-1, 0)}) == math.inf


def test_a_budget_is_a_block() -> None:
    budget: Budget = define("acme", "acme", 3.0, 1e-6, (4, 8, 16), "odometer")
    block = from_budget(budget, arrivals=2, created=5.0)
    assert (block.id, block.capacity, block.spent) == ("acme", budget.caps, (0, 0, 0))
    demand = Demand("d", "m", 0.0, {"acme": (1, 2, 3)})
    after = grant(grant(block, demand), replace(demand, model="n"))
    assert after.spent == (2, 4, 6)
    assert after.spent_by == {"m": (1, 2, 3), "n": (1, 2, 3)}
    assert grant(block, DEMAND) is block
    assert not has_room(block.spent, (2**52,) * 3, block.capacity)  # +∞ fits nowhere


@pytest.mark.parametrize(
    ("room", "items", "found", "bound"),
    [
        (10, [], 0.0, 0.0),
        (10, [(11, 9.0)], 0.0, 0.0),
        (10, [(4, 1.0), (4, 1.0), (4, 1.0)], 2.0, 2.5),
        (10, [(1, 2.0), (10, 10.0)], 10.0, 11.0),  # by density alone it would be 2
        (0, [(0, 1.0), (1, 5.0)], 1.0, 1.0),
    ],
)
def test_knapsack(room: int, items: list[tuple[int, float]], found: float, bound: float) -> None:
    assert knapsack(room, items) == pytest.approx((found, bound))
