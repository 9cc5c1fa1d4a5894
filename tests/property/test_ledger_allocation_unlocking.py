"""Unlocking: never more than there is, never less than before, all of it in the end."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from veilstream.contracts import BudgetBlock
from veilstream.ledger.allocation import ByArrivals, ByTime

capacities = st.lists(st.integers(-(10**6), 2**52 - 1), min_size=1, max_size=4).map(tuple)


@given(capacities, st.integers(1, 50), st.integers(0, 100))
def test_by_arrivals(capacity: tuple[int, ...], n: int, arrivals: int) -> None:
    rule, block = ByArrivals(n), BudgetBlock("x", capacity, (0,) * len(capacity), arrivals)
    now, later = (
        rule.unlocked(block, 0.0),
        rule.unlocked(replace(block, arrivals=arrivals + 1), 0.0),
    )
    for cap, before, after in zip(capacity, now, later, strict=True):
        assert before <= after <= cap
        if cap > 0 and arrivals < n:
            assert after - before >= cap // n  # what a fair demand may ask for, and it is an integer
            assert before * n <= cap * arrivals < (before + 1) * n  # the share, rounded down
    if arrivals >= n:
        assert now == capacity


@given(
    capacities,
    st.floats(0.001, 1e9),
    st.one_of(st.none(), st.integers(1, 40)),
    st.floats(-10, 1e9),
    st.floats(0, 1e9),
)
def test_by_time(
    capacity: tuple[int, ...], seconds: float, steps: int | None, now: float, more: float
) -> None:
    rule, block = ByTime(seconds, steps), BudgetBlock("x", capacity, (0,) * len(capacity))
    before, after = rule.unlocked(block, now), rule.unlocked(block, now + more)
    assert all(b <= a <= cap for b, a, cap in zip(before, after, capacity, strict=True))
    assert rule.unlocked(block, seconds) == capacity
    assert all(units == 0 for units, cap in zip(rule.unlocked(block, -1.0), capacity, strict=True) if cap > 0)
