"""Weighted shares: at each grant nobody who could be granted has received less, for its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings

from allocation_cases import NOW, able, charged, instances, unlocked_fits
from veilstream.contracts import Allocator, BudgetBlock, Demand
from veilstream.ledger.allocation import AllAtOnce, ByArrivals, DominantShare, WeightedShares

WEIGHTS = {"a": 3.0, "b": 1.0}  # c has the weight 1 of one that is not named
UNLOCKING = ByArrivals(3)


def received(blocks: Sequence[BudgetBlock], demand: Demand, weights: Mapping[str, float]) -> Fraction:
    """The naive form: the model's largest share at any order of any block that the demand asks for."""
    there = {block.id: block for block in blocks}
    most = Fraction(0)
    for name, charges in demand.charges.items():
        so_far = there[name].spent_by.get(demand.model, (0,) * len(charges))
        for units, cap in zip(so_far, there[name].capacity, strict=True):
            if cap > 0:
                most = max(most, Fraction(units, cap))
    return most / Fraction(weights.get(demand.model, 1.0))


def filled_progressively(
    allocator: Allocator, instance: tuple[tuple[BudgetBlock, ...], tuple[Demand, ...]]
) -> bool:
    blocks, demands = instance
    waiting, done, there = able(demands, NOW), list[Demand](), blocks
    for demand in allocator.allocate(blocks, demands, NOW):
        could = [d for d in waiting if unlocked_fits(blocks, UNLOCKING, NOW, [*done, d])]
        own = received(there, demand, WEIGHTS)
        if any(float(received(there, other, WEIGHTS)) < float(own) for other in could):
            return False
        done.append(demand)
        waiting.remove(demand)
        there = charged(there, [demand])
    return True


@settings(max_examples=60, deadline=None)
@given(instances())
def test_nobody_who_could_be_granted_has_received_less(
    instance: tuple[tuple[BudgetBlock, ...], tuple[Demand, ...]],
) -> None:
    assert filled_progressively(WeightedShares(UNLOCKING, WEIGHTS), instance)


def test_the_check_sees_another_policy() -> None:
    block = BudgetBlock("x", (100,), (0,), arrivals=3)
    demands = (
        *(Demand(f"a{n}", "a", 0.0, {"x": (10,)}) for n in range(2)),
        Demand("b", "b", 0.0, {"x": (11,)}),
    )
    assert filled_progressively(WeightedShares(UNLOCKING, WEIGHTS), ((block,), demands))
    assert not filled_progressively(DominantShare(UNLOCKING), ((block,), demands))


@pytest.mark.parametrize("weights", [{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 1.0}])
def test_models_with_enough_demands_share_by_weight_to_within_one_demand(weights: dict[str, float]) -> None:
    block = BudgetBlock("x", (1000, 3000), (0, 0))
    demands = [Demand(f"{m}{n:03d}", m, float(n), {"x": (10, 7)}) for m in "ab" for n in range(100)]
    got = WeightedShares(AllAtOnce(), weights).allocate([block], demands, NOW)
    # The second order has room for 428, so the filter would stop only there: 200 are asked for.
    assert len(got) == 200
    first = got[:100]
    part = sum(demand.model == "a" for demand in first)
    assert abs(part - 100 * weights["a"] / sum(weights.values())) <= 1


def test_what_one_does_not_ask_for_goes_to_the_others() -> None:
    block = BudgetBlock("x", (100,), (0,))
    demands = [Demand(f"b{n}", "b", float(n), {"x": (10,)}) for n in range(20)]
    assert len(WeightedShares(AllAtOnce(), {"a": 9.0, "b": 1.0}).allocate([block], demands, NOW)) == 10


def test_what_was_received_earlier_counts() -> None:
    block = BudgetBlock("x", (100,), (40,), spent_by={"b": (40,)})
    demands = [Demand(f"{m}{n}", m, float(n), {"x": (10,)}) for m in "ab" for n in range(10)]
    got = WeightedShares(AllAtOnce()).allocate([block], demands, NOW)
    assert [demand.model for demand in got] == ["a"] * 4 + ["b", "a"]  # a tie is by arrival
