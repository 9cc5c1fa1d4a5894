"""Small instances of competing for blocks, as hypothesis strategies; and the naive oracles beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from hypothesis import Phase, settings
from hypothesis import strategies as st

from veilstream.contracts import Allocator, BudgetBlock, Demand
from veilstream.ledger.allocation import (
    AllAtOnce,
    ByArrivals,
    ByTime,
    DominantShare,
    FirstCome,
    Packing,
    Unlocking,
    WeightedShares,
    grant,
)

NOW = 100.0
UNSHRUNK = settings(max_examples=2000, phases=[Phase.generate], database=None)
"""To look for one instance where a mutant is caught; which one does not matter."""
MODELS = ("a", "b", "c")
UNLOCKINGS: tuple[Unlocking, ...] = (AllAtOnce(), ByArrivals(3), ByTime(200.0), ByTime(200.0, 4))


def allocators(unlocking: Unlocking) -> list[Allocator]:
    return [
        FirstCome(),
        WeightedShares(unlocking, {"a": 3.0, "b": 1.0}),
        DominantShare(unlocking),
        Packing(unlocking),
    ]


@st.composite
def instances(
    draw: st.DrawFn, *, most_demands: int = 8, most_units: int = 40
) -> tuple[tuple[BudgetBlock, ...], tuple[Demand, ...]]:
    """Blocks, some partly spent or with orders that promise nothing; demands, some late, early, too large."""
    orders = draw(st.integers(1, 3))
    caps = st.tuples(*[st.integers(-5, 60)] * orders)
    units = st.tuples(*[st.integers(0, most_units)] * orders)
    blocks = tuple(
        BudgetBlock(
            f"b{number}",
            draw(caps),
            draw(st.tuples(*[st.integers(0, 20)] * orders)),
            arrivals=draw(st.integers(0, 4)),
            created=draw(st.sampled_from([0.0, 50.0, NOW])),
        )
        for number in range(draw(st.integers(1, 3)))
    )
    names = [block.id for block in blocks] + ["not yet there"]
    demands = tuple(
        Demand(
            f"d{number}",
            draw(st.sampled_from(MODELS)),
            draw(st.sampled_from([0.0, 10.0, 99.0, NOW, 101.0])),
            {name: draw(units) for name in draw(st.sets(st.sampled_from(names), min_size=1, max_size=3))},
            weight=draw(st.sampled_from([0.5, 1.0, 1.0, 4.0])),
            deadline=draw(st.sampled_from([NOW, 200.0, float("inf")])),
        )
        for number in range(draw(st.integers(0, most_demands)))
    )
    return blocks, demands


def unlocked_fits(
    blocks: Iterable[BudgetBlock], unlocking: Unlocking, now: float, demands: Sequence[Demand]
) -> bool:
    """The rule, naively: all of them charged, each block asked for has an order within what is unlocked."""
    there = {block.id: block for block in blocks}
    asked = {name for demand in demands for name in demand.charges}
    if not asked <= set(there):
        return False
    for name in asked:
        block = there[name]
        limits = unlocking.unlocked(block, now)
        totals = [
            spent + sum(demand.charges[name][order] for demand in demands if name in demand.charges)
            for order, spent in enumerate(block.spent)
        ]
        if not any(
            cap > 0 and total <= limit
            for cap, total, limit in zip(block.capacity, totals, limits, strict=True)
        ):
            return False
    return True


def able(demands: Iterable[Demand], now: float) -> list[Demand]:
    return [demand for demand in demands if demand.arrival <= now < demand.deadline]


def most_weight(
    blocks: Sequence[BudgetBlock], unlocking: Unlocking, now: float, demands: Sequence[Demand]
) -> float:
    """The exhaustive optimum of the privacy knapsack: 2ⁿ subsets."""
    return max(
        sum(demand.weight for demand in some)
        for size in range(len(demands) + 1)
        for some in combinations(demands, size)
        if unlocked_fits(blocks, unlocking, now, some)
    )


def charged(blocks: Iterable[BudgetBlock], demands: Iterable[Demand]) -> tuple[BudgetBlock, ...]:
    there = {block.id: block for block in blocks}
    for demand in demands:
        for name in demand.charges:
            there[name] = grant(there[name], demand)
    return tuple(there.values())
