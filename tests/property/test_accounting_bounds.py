"""What the ledger charges is never below better accountants: the exact Gaussian, and PLD."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import log_ndtr

from veilstream.accounting import epsilon, pld_epsilon, to_nats, window_charges

ORDERS = range(2, 129)


def ours(q: float, sigma: float, steps: int, delta: float) -> float:
    """The best single order: below every budget's odometer."""
    charges = window_charges(list(ORDERS), q, sigma, steps)
    return min(epsilon(to_nats(units), order, delta) for units, order in zip(charges, ORDERS, strict=True))


def exact_gaussian(sigma: float, steps: int, delta: float) -> float:
    """Balle & Wang, arXiv 1805.06530, Theorem 8, for `steps` Gaussians: one with μ = √steps/σ."""
    mu = math.sqrt(steps) / sigma

    def excess(eps: float) -> float:
        return float(
            math.exp(log_ndtr(mu / 2 - eps / mu)) - math.exp(eps + log_ndtr(-mu / 2 - eps / mu)) - delta
        )

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, mu * mu + 20 * mu + 50))


@given(st.floats(0.5, 40.0), st.integers(1, 200), st.floats(1e-10, 1e-2))
@settings(max_examples=60, deadline=None)
def test_never_below_the_exact_gaussian(sigma: float, steps: int, delta: float) -> None:
    assert ours(1.0, sigma, steps, delta) >= exact_gaussian(sigma, steps, delta)


@pytest.mark.parametrize("delta", [1e-5, 1e-9])
@pytest.mark.parametrize(
    ("q", "sigma", "steps"),
    [
        (0.001, 0.7, 1000),
        (0.01, 0.8, 1000),
        (0.05, 2.7, 600),
        (0.2, 1.5, 60),
        (0.5, 4.0, 100),
        (1.0, 6.0, 10),
    ],
)
def test_never_below_pld(q: float, sigma: float, steps: int, delta: float) -> None:
    tight = pld_epsilon(q, sigma, steps, delta, interval=1e-3).epsilon
    assert tight <= ours(q, sigma, steps, delta) <= 3 * tight + 2
