"""Falling noise and charged utility at their edges; sensitivity of the measurement."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from veilstream.accounting import caps, gaussian, to_units
from veilstream.errors import AccountingError
from veilstream.ledger.allocation import (
    NoisyUtility,
    falling_noise,
    measure_utility,
    next_noise,
    reallocate,
    split,
    utility_charges,
)

ORDERS = (4, 8, 16)
CAPS = caps(4.0, 1e-6, ORDERS)


def schedule(**changes: object) -> object:
    values: dict[str, object] = {"sampling_rate": 0.01, "steps": 10, "windows": 5, "ratio": 0.9} | changes
    allotment = values.pop("allotment", CAPS)
    return falling_noise(allotment, ORDERS, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": 1.01}, "ratio"),
        ({"ratio": math.nan}, "ratio"),
        ({"windows": 0}, "windows"),
        ({"windows": 2.0}, "windows"),
        ({"steps": 0}, "steps"),
        ({"sampling_rate": math.nan}, "sampling rate"),
        ({"allotment": CAPS[:1]}, "each order"),
        ({"allotment": (0, 0, 0)}, "no noise"),
        ({"allotment": (-5, -5, -5)}, "no noise"),
    ],
)
def test_a_schedule_that_cannot_be(changes: dict[str, object], says: str) -> None:
    with pytest.raises(AccountingError, match=says):
        schedule(**changes)


def test_constant_noise_is_the_ratio_one() -> None:
    plan = falling_noise(CAPS, ORDERS, sampling_rate=0.01, steps=10, windows=5, ratio=1.0)
    assert len(set(plan.noise_multipliers)) == 1
    falling = falling_noise(CAPS, ORDERS, sampling_rate=0.01, steps=10, windows=5, ratio=0.8)
    assert falling.noise_multipliers[0] > plan.noise_multipliers[0] > falling.noise_multipliers[-1]


def test_the_next_window_is_the_first_of_the_plan_for_what_is_left() -> None:
    plan = falling_noise(CAPS, ORDERS, sampling_rate=0.01, steps=10, windows=5, ratio=0.9)
    noise, charges = next_noise(
        CAPS, (0, 0, 0), ORDERS, sampling_rate=0.01, steps=10, windows_left=5, ratio=0.9
    )
    assert (noise, charges) == (plan.noise_multipliers[0], plan.charges[0])
    with pytest.raises(AccountingError, match="no noise"):
        next_noise(CAPS, CAPS, ORDERS, sampling_rate=0.01, steps=10, windows_left=1, ratio=1.0)
    with pytest.raises(AccountingError, match="one spend"):
        next_noise(CAPS, (0,), ORDERS, sampling_rate=0.01, steps=10, windows_left=1, ratio=1.0)


Floats = NDArray[np.float64]


def measured(contributions: Floats, noise: Floats | None = None) -> Floats:
    told = measure_utility(
        contributions,
        np.zeros(2) if noise is None else noise,
        ["a", "b"],
        orders=ORDERS,
        clip_norm=0.5,
        noise_multiplier=3.0,
        people=1.0,
    )
    assert told.charges == utility_charges(ORDERS, 3.0)
    return np.array([told.values["a"], told.values["b"]])


@pytest.mark.parametrize(
    "person",
    [[3.0, 4.0], [0.3, 0.4], [1e300, -1e300], [1e-300, 0.0], [math.nan, 1.0], [math.inf, 0.0], [0.0, 0.0]],
)
def test_one_person_moves_the_sum_by_no_more_than_the_bound(person: list[float]) -> None:
    others = np.random.default_rng(3).normal(size=(50, 2))
    moved = measured(np.vstack([others, person])) - measured(others)
    assert np.linalg.norm(moved) <= 0.5 + 1e-12  # what the sum of the others rounds
    alone = measured(np.array([person]))
    assert np.linalg.norm(alone) <= 0.5
    if person == [3.0, 4.0]:  # clipped to the bound, and not to less
        assert alone == pytest.approx([0.3, 0.4])
    if not all(map(math.isfinite, person)):
        assert (alone == 0).all()


def test_noise_is_scaled_by_both_and_divided_by_a_public_number() -> None:
    nobody = np.zeros((0, 2))
    assert measured(nobody, np.array([1.0, -2.0])).tolist() == [1.5, -3.0]
    told = measure_utility(
        np.zeros((0, 1)), np.ones(1), ["a"], orders=ORDERS, clip_norm=2.0, noise_multiplier=3.0, people=4.0
    )
    assert told.values == {"a": 1.5}


def test_the_price_is_the_gaussian_mechanism_s() -> None:
    assert utility_charges(ORDERS, 2.5) == tuple(to_units(gaussian(2.5, order)) for order in ORDERS)


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_norm": 0.0},
        {"clip_norm": math.nan},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": math.inf},
        {"people": -1.0},
        {"noise": np.array([math.nan, 0.0])},
        {"noise": np.zeros(3)},
        {"models": ["a"]},
    ],
)
def test_a_measurement_that_cannot_be(changes: dict[str, object]) -> None:
    values: dict[str, object] = {
        "noise": np.zeros(2),
        "models": ["a", "b"],
        "orders": ORDERS,
        "clip_norm": 1.0,
        "noise_multiplier": 1.0,
        "people": 10.0,
    } | changes
    with pytest.raises(AccountingError):
        measure_utility(np.zeros((4, 2)), values.pop("noise"), values.pop("models"), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shares", "values", "rate", "floor"),
    [
        ({}, {}, 0.5, 0.0),
        ({"a": 1.0}, {"b": 0.0}, 0.5, 0.0),
        ({"a": 0.7, "b": 0.7}, {"a": 0.0, "b": 0.0}, 0.5, 0.0),
        ({"a": 1.5, "b": -0.5}, {"a": 0.0, "b": 0.0}, 0.5, 0.0),
        ({"a": 0.5, "b": 0.5}, {"a": math.nan, "b": 0.0}, 0.5, 0.0),
        ({"a": 0.5, "b": 0.5}, {"a": 0.0, "b": 0.0}, math.nan, 0.0),
        ({"a": 0.5, "b": 0.5}, {"a": 0.0, "b": 0.0}, 1.5, 0.0),
        ({"a": 0.5, "b": 0.5}, {"a": 0.0, "b": 0.0}, 0.5, 0.6),
    ],
)
def test_shares_that_cannot_be(
    shares: dict[str, float], values: dict[str, float], rate: float, floor: float
) -> None:
    with pytest.raises(AccountingError):
        reallocate(shares, NoisyUtility(values, 1.0, (1,)), rate=rate, floor=floor)


def test_budget_moves_to_what_is_useful() -> None:
    now = {"a": 0.5, "b": 0.5}
    for _ in range(20):
        now = reallocate(now, NoisyUtility({"a": 0.6, "b": 0.1}, 1.0, (1,)), rate=0.3, floor=0.05)
    assert now["a"] == pytest.approx(0.95, abs=1e-9)
    assert split((1000, 10), now)["b"] == (50, 0)


@pytest.mark.parametrize(
    ("units", "shares"),
    [((-1,), {"a": 1.0}), ((1.5,), {"a": 1.0}), ((1,), {}), ((1,), {"a": 0.0}), ((1,), {"a": math.nan})],
)
def test_a_split_that_cannot_be(units: tuple[int, ...], shares: dict[str, float]) -> None:
    with pytest.raises(AccountingError):
        split(units, shares)
