"""A grid of thousands of runs: never below PLD, never below the exact where it is known, monotone throughout.

Nothing is random. What is compared is what a budget would show: the odometer of integer charges, with one
order and with several. PLD is taken at its lower estimate (rounded down, a bound on the exact value from
below) and, where its steps are fine enough, at its upper one as well.
"""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from veilstream.accounting import (
    INFINITE,
    epsilon,
    gaussian_epsilon,
    gaussian_mu,
    laplace,
    laplace_epsilon,
    odometer_epsilon,
    prv_bracket,
    subsampled_gaussian,
    to_nats,
    to_units,
    window_charges,
)

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
NOISES = (0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0)
STEPS = (1, 3, 10, 30, 100, 300)
DELTAS = (1e-3, 1e-5, 1e-7, 1e-9, 1e-10)
ORDERS = (*range(2, 17), 20, 24, 32, 48, 64, 96, 128, 192, 256)
SETS = ((8,), (2, 3), (4, 16, 64), (2, 3, 4, 6, 8, 16, 32, 64))


@cache
def divergences(q: float, sigma: float) -> tuple[float, ...]:
    return tuple(subsampled_gaussian(q, sigma, order) for order in ORDERS)


def charges(q: float, sigma: float, steps: int) -> list[int]:
    return [to_units(steps * nats) for nats in divergences(q, sigma)]


def best(q: float, sigma: float, steps: int, delta: float) -> float:
    """The best single order: below every budget's odometer."""
    return min(
        epsilon(to_nats(units), order, delta)
        for units, order in zip(charges(q, sigma, steps), ORDERS, strict=True)
    )


@cache
def whole_grid() -> NDArray[np.float64]:
    return np.array([[[[best(q, s, t, d) for d in DELTAS] for t in STEPS] for s in NOISES] for q in RATES])


def test_the_grid_is_what_the_ledger_charges() -> None:
    assert whole_grid().size == 3000
    for q, sigma, steps in itertools.product(RATES[::3], NOISES[::3], STEPS[::2]):
        assert tuple(charges(q, sigma, steps)) == window_charges(ORDERS, q, sigma, steps)


@pytest.mark.parametrize(
    ("axis", "rises"), [(0, True), (1, False), (2, True), (3, True)], ids=["q", "noise", "steps", "delta"]
)
def test_epsilon_is_monotone_in_every_argument(axis: int, rises: bool) -> None:
    """In q and steps upwards, in noise downwards, and in δ, which falls along its axis."""
    grid = whole_grid()
    assert np.all(np.isfinite(grid))
    low = np.take(grid, range(grid.shape[axis] - 1), axis=axis)
    high = np.take(grid, range(1, grid.shape[axis]), axis=axis)
    assert np.all(low <= high * (1 + 1e-9) if rises else high <= low * (1 + 1e-9))
    assert np.mean(low != high) > 0.9  # and the argument matters


@pytest.mark.parametrize("orders", SETS)
def test_a_budgets_odometer_is_monotone_and_never_below_its_best_order(orders: tuple[int, ...]) -> None:
    index = [ORDERS.index(order) for order in orders]

    def shown(q: float, s: float, t: int, d: float) -> float:
        spent = charges(q, s, t)
        return odometer_epsilon([spent[i] for i in index], orders, d)

    rates, noises, steps = RATES[::2], NOISES[::2], STEPS[::2]
    grid = np.array([[[[shown(q, s, t, d) for d in DELTAS] for t in steps] for s in noises] for q in rates])
    assert np.all(grid >= whole_grid()[::2, ::2, ::2] * (1 - 1e-12))
    assert np.all(np.diff(grid, axis=0) >= -1e-9)
    assert np.all(np.diff(grid, axis=1) <= 1e-9)
    assert np.all(np.diff(grid, axis=2) >= 0.0)
    assert np.all(np.diff(grid, axis=3) >= -1e-9)


def test_never_below_the_exact_gaussian() -> None:
    for noise, steps, delta in itertools.product(NOISES, STEPS, DELTAS):
        assert best(1.0, noise, steps, delta) >= gaussian_epsilon(gaussian_mu([noise] * steps), delta) * (
            1 - 1e-9
        )


def test_never_below_exact_laplace() -> None:
    scales = np.geomspace(0.05, 50.0, 60)
    for scale, delta, order in itertools.product(scales.tolist(), DELTAS, ORDERS):
        assert epsilon(laplace(scale, order), order, delta) >= laplace_epsilon(scale, delta) * (1 - 1e-9)


def pld(q: float, sigma: float, pessimistic: bool, interval: float) -> dict[tuple[int, float], float]:
    from dp_accounting.pld import privacy_loss_distribution

    step = privacy_loss_distribution.from_gaussian_mechanism(
        sigma, sampling_prob=q, value_discretization_interval=interval,
        pessimistic_estimate=pessimistic, use_connect_dots=pessimistic,
    )  # fmt: skip
    found = {}
    for steps in STEPS:
        run = step.self_compose(steps)
        for delta in DELTAS:
            # The lower estimate moves up to 1e-15 of mass to +∞ when it is composed.
            found[steps, delta] = float(run.get_epsilon_for_delta(delta + (0.0 if pessimistic else 1e-14)))
    return found


def check_against_pld(
    rates: tuple[float, ...], noises: tuple[float, ...], pessimistic: bool
) -> tuple[int, int]:
    """How many runs were compared, and at how many of them PLD had something to say (ε above 0)."""
    looked_at = above = 0
    for q, sigma in itertools.product(rates, noises):
        interval = max(1e-5, min(1e-2, 0.05 * q / sigma))  # fine where a step loses little
        for (steps, delta), tight in pld(q, sigma, pessimistic, interval).items():
            looked_at, above = looked_at + 1, above + (tight > 0.0)
            assert best(q, sigma, steps, delta) >= tight * (1 - 1e-9), (q, sigma, steps, delta)
    return looked_at, above


def test_never_below_the_lower_estimate_of_pld() -> None:
    looked_at, above = check_against_pld(RATES[1::2], NOISES[1::2], pessimistic=False)
    assert (looked_at, above > 400) == (750, True)


def test_never_below_the_upper_estimate_of_pld_either() -> None:
    looked_at, above = check_against_pld(RATES[::2], NOISES[1::2], pessimistic=True)
    assert (looked_at, above > 600) == (750, True)


def test_never_below_prv() -> None:
    """PRV's lower bound is within 0.02 of the exact ε, at any number of steps."""
    for q, sigma, steps in itertools.product((0.01, 0.1, 0.6), (1.0, 5.0), (1, 10, 100)):
        low, high = prv_bracket(q, sigma, steps, 1e-5)
        ours = min(
            epsilon(to_nats(to_units(steps * nats)), order, 1e-5)
            for nats, order in zip(divergences(q, sigma), ORDERS, strict=True)
        )
        assert low <= ours
        assert high - low <= 0.03


def test_the_grid_catches_an_accountant_that_promises_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants: a divergence that is a quarter too small; the order that suits best, but converted at 10·δ."""
    real = best
    monkeypatch.setitem(globals(), "best", lambda q, s, t, d: real(q, s, max(1, 3 * t // 4), d))
    with pytest.raises(AssertionError):
        check_against_pld((0.1,), (1.0,), pessimistic=True)
    monkeypatch.setitem(globals(), "best", lambda q, s, t, d: real(q, s, t, 10 * d))
    with pytest.raises(AssertionError):
        check_against_pld((0.1,), (1.0,), pessimistic=True)


@pytest.mark.slow
@pytest.mark.parametrize("pessimistic", [False, True])
def test_never_below_pld_on_all_of_the_grid(pessimistic: bool) -> None:
    assert check_against_pld(RATES, NOISES, pessimistic)[0] == 3000


@pytest.mark.parametrize("delta", DELTAS)
def test_what_cannot_be_computed_is_infinite_and_not_small(delta: float) -> None:
    assert window_charges((256,), 0.5, 1e-3, 1) == (INFINITE,)
    assert odometer_epsilon((INFINITE,), (256,), delta) == math.inf
