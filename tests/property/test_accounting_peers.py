"""Agreement with other people's accountants, on parameters drawn by a seed and not chosen by us."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilstream.accounting import (
    Stage,
    epsilon,
    gaussian,
    gaussian_epsilon,
    gaussian_mu,
    laplace,
    pld_bracket,
    pld_epsilon,
    pld_epsilons,
    prv_bracket,
    subsampled_gaussian,
)

ORDERS = tuple(range(2, 65))
SEED = 20261124


def drawn(count: int) -> list[tuple[float, float, int, float]]:
    """q, σ, steps, δ: log-uniform over what people train with."""
    rng = np.random.default_rng(SEED)
    return [
        (
            float(10 ** rng.uniform(-3, 0)),
            float(10 ** rng.uniform(-0.2, 1.3)),
            int(10 ** rng.uniform(0, 3.5)),
            float(10 ** rng.uniform(-9, -3)),
        )
        for _ in range(count)
    ]


def test_the_divergence_is_that_of_dp_accounting() -> None:
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    for q, sigma, steps, delta in drawn(100):
        theirs = RdpAccountant(list(ORDERS))
        theirs.compose(dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(sigma)), steps)
        ours = [steps * subsampled_gaussian(q, sigma, order) for order in ORDERS]
        # Theirs subtracts nearly equal logarithms: some 1e-12 of it is noise.
        assert np.allclose(ours, theirs.rdp, rtol=1e-6, atol=1e-11 * steps)
        shown = min(epsilon(nats, order, delta) for nats, order in zip(ours, ORDERS, strict=True))
        assert shown == pytest.approx(theirs.get_epsilon(delta), rel=1e-6, abs=1e-9 * steps)


def test_the_divergence_of_laplace_is_that_of_dp_accounting() -> None:
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    rng = np.random.default_rng(SEED)
    for scale in 10 ** rng.uniform(-1.5, 2, size=60):
        theirs = RdpAccountant(list(ORDERS))
        theirs.compose(dp_accounting.LaplaceDpEvent(float(scale)))
        ours = [laplace(float(scale), order) for order in ORDERS]
        assert np.allclose(ours, theirs.rdp, rtol=1e-6, atol=1e-12)


def test_pld_is_that_of_dp_accountings_accountant() -> None:
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    for q, sigma, steps, delta in drawn(12):
        theirs = PLDAccountant(
            dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=1e-3
        )
        theirs.compose(dp_accounting.PoissonSampledDpEvent(q, dp_accounting.GaussianDpEvent(sigma)), steps)
        expected = pytest.approx(theirs.get_epsilon(delta), rel=1e-9)
        assert pld_epsilon(q, sigma, steps, delta, interval=1e-3).epsilon == expected
        assert pld_epsilons(Stage(q, sigma, 1), delta, [steps], interval=1e-3)[0] == expected


def test_pld_and_prv_and_our_own_enclose_one_another() -> None:
    compared = 0
    for q, sigma, steps, delta in drawn(12):
        ours = min(epsilon(steps * subsampled_gaussian(q, sigma, a), a, delta) for a in range(2, 257))
        low, high = prv_bracket(q, sigma, steps, delta)
        below, above = pld_bracket([Stage(q, sigma, min(steps, 300))], delta)
        assert below <= above
        assert low <= ours
        assert low < high
        if delta > 1e-6:  # below, the rounding errors of the transform widen it
            assert high - low <= 0.02 * 1.6  # two errors, and a thousandth of δ
        if steps <= 300:
            compared += 1
            assert below <= high
            assert low <= above
    assert compared >= 5


@given(st.floats(0.3, 10.0), st.integers(1, 60), st.floats(1e-9, 1e-3))
@settings(max_examples=12, deadline=None)
def test_prv_encloses_the_exact_gaussian(sigma: float, steps: int, delta: float) -> None:
    low, high = prv_bracket(1.0, sigma, steps, delta)
    assert low <= gaussian_epsilon(gaussian_mu([sigma] * steps), delta) * (1 + 1e-9)
    assert gaussian_epsilon(gaussian_mu([sigma] * steps), delta) <= high


@pytest.mark.parametrize("removing", [True, False])
def test_prv_encloses_one_sampled_step(removing: bool) -> None:
    """δ(ε) of one step, in either direction, by its distribution functions: the ratio is monotone."""
    from scipy.special import ndtr

    q, sigma = 0.3, 1.0
    low, high = prv_bracket(q, sigma, 1, 1e-3)

    def reached(eps: float) -> float:
        if removing:  # mixture over N(0, σ²): outputs above x
            x = sigma**2 * math.log((math.exp(eps) - (1 - q)) / q) + 0.5
            mixed = (1 - q) * ndtr(-x / sigma) + q * ndtr((1 - x) / sigma)
            return float(mixed - math.exp(eps) * ndtr(-x / sigma))
        if math.exp(-eps) <= 1 - q:
            return 0.0
        x = sigma**2 * math.log((math.exp(-eps) - (1 - q)) / q) + 0.5  # N(0, σ²) over mixture: below x
        mixed = (1 - q) * ndtr(x / sigma) + q * ndtr((x - 1) / sigma)
        return float(ndtr(x / sigma) - math.exp(eps) * mixed)

    assert reached(high) <= 1e-3
    assert not removing or reached(low) >= 1e-3


@pytest.mark.slow
def test_prv_is_that_of_opacus() -> None:
    """Opacus carries the authors' implementation: the same upper bound, to its own error of 0.01."""
    from opacus.accountants import PRVAccountant

    for q, sigma, steps, delta in drawn(8):
        theirs = PRVAccountant()
        theirs.history = [(sigma, q, steps)]
        low, high = prv_bracket(q, sigma, steps, delta)
        assert low - 0.001 <= theirs.get_epsilon(delta) <= high + 0.011


def test_the_unsampled_gaussian_is_exact() -> None:
    for _, sigma, _, _ in drawn(50):
        for order in (2, 7, 64):
            truth = order / (2 * sigma**2)
            assert truth <= gaussian(sigma, order) <= truth * (1 + 1e-9)
