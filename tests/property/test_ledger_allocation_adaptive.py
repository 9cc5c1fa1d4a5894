"""Adaptive spending: however noise and allotments are chosen, spends stay within what was allotted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilstream.accounting import add, caps, window_charges
from veilstream.ledger.allocation import NoisyUtility, falling_noise, next_noise, reallocate, split
from veilstream.ledger.budget import has_room

ORDERS = (4, 8, 16)
CAPS = caps(4.0, 1e-6, ORDERS)
RATE, STEPS = 0.01, 50


@settings(max_examples=25, deadline=None)
@given(
    ratio=st.floats(0.5, 1.0),
    windows=st.integers(1, 12),
    part=st.floats(0.2, 1.0),
    q=st.sampled_from([0.01, 0.2]),
)
def test_a_schedule_falls_fits_and_is_the_least_that_fits(
    ratio: float, windows: int, part: float, q: float
) -> None:
    allotment = tuple(int(cap * part) for cap in CAPS)
    plan = falling_noise(allotment, ORDERS, sampling_rate=q, steps=STEPS, windows=windows, ratio=ratio)
    assert len(plan.noise_multipliers) == windows
    assert all(a >= b for a, b in zip(plan.noise_multipliers, plan.noise_multipliers[1:], strict=False))
    assert has_room((0,) * 3, plan.total, allotment)
    for noise, charges in zip(plan.noise_multipliers, plan.charges, strict=True):
        assert charges == window_charges(ORDERS, q, noise, STEPS)
    # One tick of 1e-4 less for the first window does not fit.
    start = round(plan.noise_multipliers[0] / 1e-4) - 1
    less = [math.ceil(start * ratio**t) * 1e-4 for t in range(windows)]
    total = [sum(units) for units in zip(*(window_charges(ORDERS, q, n, STEPS) for n in less), strict=True)]
    assert not has_room((0,) * 3, total, allotment)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.6, 1.0), min_size=1, max_size=8))
def test_noise_chosen_anew_each_window_is_always_admitted(ratios: list[float]) -> None:
    """The ratios stand for any function of earlier releases. Charged first: the filter never refuses one."""
    spent: tuple[int, ...] = (0,) * len(ORDERS)
    for number, ratio in enumerate(ratios):
        _, charges = next_noise(
            CAPS,
            spent,
            ORDERS,
            sampling_rate=RATE,
            steps=STEPS,
            windows_left=len(ratios) - number,
            ratio=ratio,
        )
        assert has_room(spent, charges, CAPS)
        spent = tuple(add(have, units) for have, units in zip(spent, charges, strict=True))


shares = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6).filter(lambda parts: sum(parts) > 1e-3)


@given(shares, st.lists(st.integers(0, 2**52), min_size=1, max_size=4))
def test_a_split_never_gives_more_than_there_is(parts: list[float], units: list[int]) -> None:
    told = split(units, {f"m{n}": part for n, part in enumerate(parts)})
    for order, amount in enumerate(units):
        given_away = sum(allotment[order] for allotment in told.values())
        assert amount - len(parts) <= given_away <= amount


@given(
    parts=shares,
    values=st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6),
    rate=st.floats(0, 1),
    floor=st.floats(0, 1),
)
def test_new_shares_are_shares_and_none_is_below_the_floor(
    parts: list[float], values: list[float], rate: float, floor: float
) -> None:
    before = {f"m{n}": part / sum(parts) for n, part in enumerate(parts)}
    noisy = NoisyUtility(dict(zip(before, values, strict=False)), 1.0, (1,))
    least = floor / len(parts)
    after = reallocate(before, noisy, rate=rate, floor=least)
    assert sum(after.values()) == pytest.approx(1.0)
    assert all(share >= least * (1 - 1e-12) for share in after.values())
    better, worse = (pick(noisy.values, key=noisy.values.__getitem__) for pick in (max, min))
    if before[worse] > 0 and before[better] > 0:  # never moved the wrong way
        assert after[better] / after[worse] >= (before[better] / before[worse]) * (1 - 1e-9) or floor > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 60), st.floats(0.05, 1.0))
def test_regret_is_within_its_bound(seed: int, models: int, rounds: int, rate: float) -> None:
    """Average utility of the shares is at least the best model's less ln K/(rate·R) + rate."""
    utility = np.random.default_rng(seed).uniform(-1, 1, (rounds, models))
    now = {f"m{n}": 1 / models for n in range(models)}
    got = 0.0
    for row in utility:
        values = dict(zip(now, map(float, row), strict=True))
        got += sum(now[model] * values[model] for model in now)
        now = reallocate(now, NoisyUtility(values, 1.0, (1,)), rate=rate)
    best = float(utility.sum(axis=0).max())
    assert got / rounds >= best / rounds - math.log(models) / (rate * rounds) - rate - 1e-9
