"""What DPF promises: sharing incentive, strategy-proofness, Pareto efficiency; in Rényi form, pass by pass.

A run is a sequence of passes; some demands arrive before each, and each adds to its blocks' arrivals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from allocation_cases import unlocked_fits
from veilstream.contracts import Allocator, BudgetBlock, Demand
from veilstream.ledger.allocation import (
    AllAtOnce,
    ByArrivals,
    DominantShare,
    FirstCome,
    arrive,
    dominant_share,
    grant,
)

N = 4
CAPS = (40, 20)
FAIR = st.tuples(st.integers(0, 10), st.integers(0, 5))  # at most a fourth of each cap
ANY = st.one_of(FAIR, st.tuples(st.integers(0, 50), st.integers(0, 25)))


@st.composite
def runs(draw: st.DrawFn) -> list[list[Demand]]:
    """Demands that arrive before each pass."""
    passes: list[list[Demand]] = []
    number = 0
    for step in range(draw(st.integers(1, 5))):
        batch = []
        for _ in range(draw(st.integers(0, 3))):
            names = draw(st.sets(st.sampled_from(["x", "y"]), min_size=1))
            batch.append(Demand(f"d{number}", "m", float(step), {name: draw(ANY) for name in sorted(names)}))
            number += 1
        passes.append(batch)
    return passes


def play(allocator: Allocator, passes: Sequence[Sequence[Demand]]) -> tuple[dict[str, int], set[str]]:
    """Pass of each grant; and who, before their first pass, asked with at most N for any of their blocks."""
    blocks = {name: BudgetBlock(name, CAPS, (0, 0)) for name in ("x", "y")}
    waiting: dict[str, Demand] = {}
    granted: dict[str, int] = {}
    early: set[str] = set()
    for step, batch in enumerate(passes):
        for demand in batch:
            waiting[demand.id] = demand
            for name in demand.charges:
                blocks[name] = arrive(blocks[name])
        early |= {d.id for d in batch if all(blocks[name].arrivals <= N for name in d.charges)}
        for demand in allocator.allocate(tuple(blocks.values()), tuple(waiting.values()), float(step)):
            for name in demand.charges:
                blocks[name] = grant(blocks[name], demand)
            granted[demand.id] = step
            del waiting[demand.id]
    return granted, early


def promise_kept(allocator: Allocator, passes: Sequence[Sequence[Demand]]) -> bool:
    granted, early = play(allocator, passes)
    capacities = {"x": CAPS, "y": CAPS}
    return all(
        granted.get(demand.id) == step
        for step, batch in enumerate(passes)
        for demand in batch
        if demand.id in early and dominant_share(demand, capacities) <= 1 / N
    )


@settings(max_examples=300, deadline=None)
@given(runs())
def test_a_fair_demand_among_the_first_is_granted_at_once(passes: list[list[Demand]]) -> None:
    assert promise_kept(DominantShare(ByArrivals(N)), passes)
    each = (demand for batch in passes for demand in batch)
    one_by_one = [[replace(demand, arrival=float(step))] for step, demand in enumerate(each)]
    assert promise_kept(DominantShare(ByArrivals(N)), one_by_one)


def test_the_check_sees_who_does_not_promise_it() -> None:
    large, fair = Demand("d0", "m", 0.0, {"x": CAPS}), Demand("d1", "m", 1.0, {"x": (10, 5)})
    assert promise_kept(DominantShare(ByArrivals(N)), [[large], [fair]])
    assert not promise_kept(FirstCome(), [[large], [fair]])
    assert not promise_kept(DominantShare(AllAtOnce()), [[large], [fair]])
    assert not promise_kept(DominantShare(ByArrivals(N + 1)), [[fair]])


def test_one_that_comes_too_late_may_take_the_place_of_one_in_the_same_pass() -> None:
    """The limit of the promise in batches: a counterexample that hypothesis found to the bolder sentence."""
    nothing, unfair = Demand("d0", "m", 0.0, {"y": (0, 0)}), Demand("d1", "m", 0.0, {"y": (17, 21)})
    small, last = Demand("d2", "m", 0.0, {"y": (9, 0)}), Demand("d3", "m", 1.0, {"y": (8, 0)})
    late = Demand("d4", "m", 1.0, {"y": (7, 0)})
    allocator = DominantShare(ByArrivals(N))
    assert "d3" not in play(allocator, [[nothing, unfair, small], [last, late]])[0]
    assert "d3" in play(allocator, [[nothing, unfair, small], [last], [late]])[0]


@settings(deadline=None)
@given(passes=runs(), data=st.data())
def test_asking_for_more_never_comes_earlier(passes: list[list[Demand]], data: st.DataObject) -> None:
    everyone = [demand for batch in passes for demand in batch]
    if not everyone:
        return
    liar = data.draw(st.sampled_from(everyone))
    more = {
        name: tuple(units + data.draw(st.integers(0, 15)) for units in charges)
        for name, charges in liar.charges.items()
    }
    lied = [[replace(d, charges=more) if d is liar else d for d in batch] for batch in passes]
    allocator = DominantShare(ByArrivals(N))
    honest, lying = play(allocator, passes)[0], play(allocator, lied)[0]
    assert liar.id not in lying or honest.get(liar.id, 99) <= lying[liar.id]


def test_every_small_case_is_strategy_proof_and_pareto_efficient() -> None:
    """Three demands, one of which lies, over a block with two orders: all of 4³ demands and 3² lies."""
    palette = [(2, 6), (5, 5), (6, 2), (9, 9)]
    block = BudgetBlock("x", (10, 12), (0, 0), arrivals=3)
    allocator, unlocking = DominantShare(ByArrivals(4)), ByArrivals(4)
    cases = 0
    for wants in product(palette, repeat=3):
        demands = [Demand(f"d{n}", "m", 0.0, {"x": want}) for n, want in enumerate(wants)]
        got = allocator.allocate([block], demands, 0.0)
        ids = {demand.id for demand in got}
        for size in range(len(got) + 1, 4):  # nobody could be added without taking from who was granted
            for some in combinations(demands, size):
                if ids < {d.id for d in some}:
                    assert not unlocked_fits([block], unlocking, 0.0, some)
        for more in product((0, 1, 4), repeat=2):
            lie = replace(demands[0], charges={"x": (wants[0][0] + more[0], wants[0][1] + more[1])})
            lied = allocator.allocate([block], [lie, *demands[1:]], 0.0)
            assert "d0" in ids or "d0" not in {d.id for d in lied}
            cases += 1
    assert cases == 4**3 * 9
