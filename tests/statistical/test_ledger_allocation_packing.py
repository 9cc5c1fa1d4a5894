"""DPack packs nearly as much as can be packed, and more than DPF where demands differ.

Instances are drawn from fixed seeds, so a run is always the same; thresholds are set so that a fresh seed
would fail about once in 10⁹ times. Near the optimum: the ratio of weight granted to the exhaustive optimum
has mean 0.977 and standard deviation 0.060 (1,000 instances of this kind); over 300 instances the mean has a
standard error of 0.0035, and 0.955 is 6.4 of them below. What the test must see lies below that: packing at
the worst order 0.859, DPF 0.764 (standard errors 0.009 and 0.011): 10 and 17 of them.

Against DPF on the published kind (all at once, 500 demands, σ_blocks = 6): the ratio of demands granted has
mean 1.60 and standard deviation 0.089 (60 runs); over 10 runs the standard error is 0.028, and 1.4 is 7 of
them below. Where all demands are alike (σ 0 and 0) there is nothing to pack better: the ratio has mean 0.998
and standard deviation 0.025, and the mean of 10 runs is within 0.06 of 1 (7 standard errors).
"""

from __future__ import annotations

import random
from statistics import mean

import pytest

from allocation_cases import most_weight
from veilstream.bench.allocation.dpack import dpack
from veilstream.bench.allocation.measure import policies
from veilstream.bench.allocation.simulate import simulate
from veilstream.contracts import Allocator, BudgetBlock, Demand
from veilstream.ledger.allocation import AllAtOnce, DominantShare, Packing, packing

INSTANCES, NEAR = 300, 0.955
ORDERS = 3


def instance(chance: random.Random) -> tuple[list[BudgetBlock], list[Demand]]:
    """Two blocks, nine demands of a tenth to a half of a block at their best order, more at the others."""
    blocks = [BudgetBlock(f"b{number}", (100,) * ORDERS, (0,) * ORDERS) for number in range(2)]
    demands = []
    for number in range(9):
        best, size = chance.randrange(ORDERS), chance.uniform(10, 50)
        curve = tuple(round(size * (1 + 3 * abs(o - best) * chance.random())) for o in range(ORDERS))
        names = chance.choice([("b0",), ("b1",), ("b0", "b1")])
        demands.append(
            Demand(f"d{number}", "m", 0.0, dict.fromkeys(names, curve), weight=chance.choice([1.0, 2.0, 5.0]))
        )
    return blocks, demands


@pytest.fixture(scope="module")
def instances() -> list[tuple[list[BudgetBlock], list[Demand], float]]:
    chance = random.Random(20)
    made = [instance(chance) for _ in range(INSTANCES)]
    return [(blocks, demands, most_weight(blocks, AllAtOnce(), 0.0, demands)) for blocks, demands in made]


def near_the_optimum(
    allocator: Allocator, instances: list[tuple[list[BudgetBlock], list[Demand], float]]
) -> float:
    return mean(
        sum(demand.weight for demand in allocator.allocate(blocks, demands, 0.0)) / most
        for blocks, demands, most in instances
    )


def test_packing_is_near_the_exhaustive_optimum(
    instances: list[tuple[list[BudgetBlock], list[Demand], float]],
) -> None:
    assert near_the_optimum(Packing(AllAtOnce()), instances) >= NEAR


def test_the_threshold_sees_another_policy_and_a_mutant(
    instances: list[tuple[list[BudgetBlock], list[Demand], float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert near_the_optimum(DominantShare(AllAtOnce()), instances) < NEAR
    monkeypatch.setattr(packing, "best_order", worst_order)
    assert near_the_optimum(Packing(AllAtOnce()), instances) < NEAR


def worst_order(name: str, free: list[int], demands: list[Demand]) -> int:
    values = [
        packing.knapsack(room, [(d.charges[name][order], d.weight) for d in demands])
        for order, room in enumerate(free)
    ]
    return min(range(len(values)), key=values.__getitem__)


def ratio(sigma_blocks: float, runs: int = 10) -> float:
    ratios = []
    for seed in range(runs):
        workload = dpack(seed, sigma_blocks=sigma_blocks, sigma_alpha=0.0, demands=500, offline=True)
        by_name = policies(workload)
        ours, theirs = (
            len(simulate(workload, by_name[name]).granted) for name in ("packing", "dominant_share")
        )
        ratios.append(ours / theirs)
    return mean(ratios)


def test_packing_grants_more_than_dpf_where_demands_differ() -> None:
    assert ratio(6.0) >= 1.4


def test_packing_grants_as_many_as_dpf_where_they_do_not() -> None:
    assert abs(ratio(0.0) - 1) <= 0.06
