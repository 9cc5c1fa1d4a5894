"""The Gaussian's exact curve, against scipy; the certified μ, which holds between the points looked at."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr

from veilstream.accounting import (
    Stage,
    certified_mu,
    certified_mu_of,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    mu_at,
    pld_curve,
)
from veilstream.errors import AccountingError

mus = st.floats(1e-3, 30.0)
deltas = st.floats(1e-12, 0.2)


def balle_wang(mu: float, eps: float) -> float:
    """Theorem 8 of arXiv 1805.06530, by scipy."""
    return float(np.exp(log_ndtr(mu / 2 - eps / mu)) - np.exp(eps + log_ndtr(-mu / 2 - eps / mu)))


@given(mus, st.floats(0.0, 200.0))
@settings(max_examples=300)
def test_delta_is_that_of_balle_and_wang(mu: float, eps: float) -> None:
    truth, ours = balle_wang(mu, eps), gaussian_delta(mu, eps)
    assert ours >= truth * (1 - 1e-9) - 1e-300
    assert ours <= truth * (1 + 1e-8) + 1e-13 * max(1e-12, truth) + 1e-16


@given(mus, deltas)
def test_epsilon_is_the_least_that_has_delta(mu: float, delta: float) -> None:
    eps = gaussian_epsilon(mu, delta)
    assert gaussian_delta(mu, eps) <= delta
    assert eps == 0.0 or balle_wang(mu, eps * (1 - 1e-6)) > delta * (1 - 1e-9)


@given(mus, deltas)
def test_mu_is_the_least_whose_curve_reaches_epsilon(mu: float, delta: float) -> None:
    eps = gaussian_epsilon(mu, delta)
    if eps > 0.0:
        assert mu_at(eps, delta) == pytest.approx(mu, rel=1e-6)
        assert gaussian_epsilon(mu_at(eps, delta), delta) >= eps * (1 - 1e-12)
    else:
        assert mu_at(eps, delta) == 0.0


@given(mus, mus, deltas, deltas)
def test_epsilon_rises_with_mu_and_falls_with_delta(m1: float, m2: float, d1: float, d2: float) -> None:
    low_mu, high_mu = sorted((m1, m2))
    low, high = sorted((d1, d2))
    assert gaussian_epsilon(low_mu, high) <= gaussian_epsilon(high_mu, high) * (1 + 1e-9)
    assert gaussian_epsilon(low_mu, high) <= gaussian_epsilon(low_mu, low) * (1 + 1e-9)


@given(st.lists(st.floats(0.1, 50.0), min_size=1, max_size=20))
def test_unsampled_gaussians_compose_exactly(noises: list[float]) -> None:
    truth = math.sqrt(sum(1 / s**2 for s in noises))
    assert truth * (1 - 1e-14) <= gaussian_mu(noises) <= truth * (1 + 1e-9)


@given(st.floats(0.2, 3.0), st.floats(1e-9, 1e-5))
@settings(max_examples=8, deadline=None)
def test_the_certified_mu_of_a_gaussian_is_its_own(mu: float, low: float) -> None:
    made = certified_mu(lambda delta: gaussian_epsilon(mu, delta), low, 10 * low, tolerance=1e-2)
    assert mu * (1 - 1e-6) <= made.mu <= mu * 1.011
    assert made.at_least <= mu * (1 + 1e-6)


@given(st.lists(st.tuples(st.floats(1e-9, 1e-3), st.floats(0.1, 10.0)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_it_bounds_a_curve_with_steps_everywhere_between(steps: list[tuple[float, float]]) -> None:
    """The worst there is: ε jumps down at δ's that no grid would hit."""
    places = sorted(steps)

    def curve(delta: float) -> float:
        return 0.1 + sum(height for place, height in places if delta < place)

    made = certified_mu(curve, 1e-9, 1e-3, tolerance=1e-2)
    for place, _ in places:
        for delta in (math.nextafter(place, 0.0), place):
            if 1e-9 <= delta <= 1e-3:
                assert gaussian_epsilon(made.mu, delta) >= curve(delta) * (1 - 1e-9)
    assert made.at_least <= made.mu


@pytest.mark.parametrize(("q", "sigma", "steps"), [(0.001, 0.7, 10_000), (0.1, 3.0, 600), (0.02, 1.0, 500)])
def test_the_certified_mu_bounds_pld_between_the_points(q: float, sigma: float, steps: int) -> None:
    stages = [Stage(q, sigma, steps)]
    made, curve = certified_mu_of(stages, 1e-9, 1e-3), pld_curve(stages, interval=1e-3)
    for delta in np.geomspace(1e-9, 1e-3, 97):
        assert gaussian_epsilon(made.mu, float(delta)) >= curve(float(delta))
    assert made.at_least <= made.mu <= made.at_least * 1.0011
    less = made.at_least * 0.999  # and it is needed: a smaller one is below PLD somewhere
    assert any(gaussian_epsilon(less, float(d)) < curve(float(d)) for d in np.geomspace(1e-9, 1e-3, 400))


def test_the_central_limit_is_no_bound_where_the_certified_mu_is_one() -> None:
    """μ = q·√(T(e^{1/σ²} − 1)), Opacus's, claims 1.10 at δ = 1e-6, where PLD has 1.64."""
    q, sigma, steps, delta = 0.001, 0.7, 10_000, 1e-6
    limit = q * math.sqrt(steps * math.expm1(1 / sigma**2))
    exact = pld_curve([Stage(q, sigma, steps)], interval=1e-3)(delta)
    assert exact == pytest.approx(1.64, abs=0.01)
    assert gaussian_epsilon(limit, delta) < 1.2 < exact
    assert gaussian_epsilon(certified_mu_of([Stage(q, sigma, steps)], 1e-9, 1e-3).mu, delta) >= exact


def test_unsampled_runs_have_the_exact_mu_at_every_delta() -> None:
    made = certified_mu_of([Stage(1.0, 5.0, 10), Stage(1.0, 2.0, 1), Stage(0.0, 1.0, 3)], 1e-9, 1e-3)
    assert made.mu == pytest.approx(math.sqrt(10 / 25 + 1 / 4), rel=1e-8)
    assert made.at_least <= math.sqrt(10 / 25 + 1 / 4) <= made.mu


def test_a_curve_that_is_infinite_or_rises_is_refused() -> None:
    with pytest.raises(AccountingError):
        certified_mu(lambda delta: math.inf, 1e-9, 1e-3)
    with pytest.raises(AccountingError):
        certified_mu(lambda delta: 1.0 + delta, 1e-9, 1e-3)
    with pytest.raises(AccountingError):
        certified_mu(lambda delta: 1.0, 1e-3, 1e-9)
