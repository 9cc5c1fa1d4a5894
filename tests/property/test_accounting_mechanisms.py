"""Laplace, discrete Gaussian and Skellam: never below the exact divergence, which is summed here naively."""

import math
from decimal import Context, Decimal, localcontext

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ive

from veilstream.accounting import (
    discrete_gaussian,
    epsilon,
    gaussian,
    laplace,
    laplace_epsilon,
    skellam,
    subsampled_discrete_gaussian,
    subsampled_gaussian,
)

orders = st.integers(2, 64)
PRECISE = Context(prec=80, Emax=10**9, Emin=-(10**9))


def exact_laplace(scale: float, order: int) -> Decimal:
    """Mironov 2017, Proposition 6, with 80 digits."""
    with localcontext(PRECISE):
        inverse, a = 1 / Decimal(scale), Decimal(order)
        rise = a / (2 * a - 1) * ((a - 1) * inverse).exp()
        fall = (a - 1) / (2 * a - 1) * (-a * inverse).exp()
        return (rise + fall).ln() / (a - 1)


@given(st.floats(1e-3, 1e7), orders)
@settings(max_examples=150, deadline=None)
def test_laplace_is_never_below_its_exact_divergence(scale: float, order: int) -> None:
    truth, ours = exact_laplace(scale, order), Decimal(laplace(scale, order))
    assert truth <= ours <= truth * (1 + Decimal("1e-9")) + Decimal("1e-13") / Decimal(scale)


@given(st.floats(0.02, 50.0), orders, st.floats(1e-10, 0.1))
def test_laplace_converts_to_no_less_than_its_exact_epsilon(scale: float, order: int, delta: float) -> None:
    assert epsilon(laplace(scale, order), order, delta) >= laplace_epsilon(scale, delta) * (1 - 1e-9)


@given(st.floats(0.02, 50.0), st.floats(0.0, 0.5))
def test_the_exact_epsilon_of_laplace_is_where_its_delta_is(scale: float, delta: float) -> None:
    """δ(ε) = P(loss > ε) − e^ε·P'(loss > ε), from the two distribution functions."""
    eps = laplace_epsilon(scale, delta)
    cut = (1.0 - eps * scale) / 2  # the loss is (|x − 1| − |x|)/b: above ε for x below this
    above = 0.5 * math.exp(cut / scale) if cut < 0 else 1 - 0.5 * math.exp(-cut / scale)
    reached = above - math.exp(eps) * 0.5 * math.exp((cut - 1.0) / scale)
    assert reached <= delta + 1e-9
    assert eps == 0.0 or math.isclose(reached, delta, rel_tol=1e-6, abs_tol=1e-8)


@given(st.floats(1e-2, 1e3), st.floats(1e-2, 1e3), orders)
def test_laplace_falls_with_noise_and_rises_with_the_order(a: float, b: float, order: int) -> None:
    low, high = sorted((a, b))
    assert laplace(high, order) <= laplace(low, order) * (1 + 1e-9)
    assert laplace(low, order) <= laplace(low, order + 1) * (1 + 1e-9)
    assert laplace(low, order) <= 1 / low * (1 + 1e-9)


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6), st.floats(0.05, 20.0), orders)
def test_spreading_a_shift_over_coordinates_costs_no_more(
    parts: list[float], scale: float, order: int
) -> None:
    whole = sum(parts)
    spread = sum(float(exact_laplace(scale * whole / part, order)) for part in parts)
    assert spread <= laplace(scale, order) * (1 + 1e-9)


def summed(shift: int, scale: float, order: int, q: float, removing: bool) -> Decimal:
    """Divergence between the discrete Gaussian and its mixture with the shifted one, term by term."""
    with localcontext(PRECISE):
        rate, variance = Decimal(q), Decimal(scale) ** 2
        reach = int(14 * scale) + order * shift + 12
        normal = sum((-(Decimal(x) ** 2) / (2 * variance)).exp() for x in range(-reach, reach + 1))
        total = Decimal(0)
        for x in range(-reach, reach + shift + 1):
            base = (-(Decimal(x) ** 2) / (2 * variance)).exp() / normal
            moved = (-(Decimal(x - shift) ** 2) / (2 * variance)).exp() / normal
            mixed = (1 - rate) * base + rate * moved
            total += mixed**order / base ** (order - 1) if removing else base**order / mixed ** (order - 1)
        return total.ln() / (order - 1)


@given(st.floats(0.4, 4.0), st.integers(1, 3), st.integers(2, 9))
@settings(max_examples=25, deadline=None)
def test_the_discrete_gaussian_is_its_exact_sum(scale: float, shift: int, order: int) -> None:
    truth = summed(shift, scale, order, 1.0, True)
    ours = Decimal(discrete_gaussian(scale, order, squared_sensitivity=shift * shift))
    assert truth * (1 - Decimal("1e-12")) <= ours <= truth * (1 + Decimal("2e-9"))


@given(st.floats(0.6, 3.0), st.floats(0.01, 0.9), st.integers(1, 2), st.integers(2, 6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_sampled_discrete_gaussian_covers_both_directions(
    scale: float, q: float, shift: int, order: int, removing: bool
) -> None:
    truth = summed(shift, scale, order, q, removing)
    ours = Decimal(subsampled_discrete_gaussian(q, scale, order, squared_sensitivity=shift * shift))
    assert truth * (1 - Decimal("1e-12")) <= ours
    if removing:
        assert ours <= truth * (1 + Decimal("4e-9"))


@given(st.floats(0.3, 50.0), st.integers(1, 50), st.floats(0.001, 1.0), orders)
def test_the_lattice_costs_what_the_continuous_gaussian_costs(
    scale: float, squared: int, q: float, order: int
) -> None:
    noise = scale / math.sqrt(squared)
    near = {"rel_tol": 1e-7, "abs_tol": 1e-300}
    ours = discrete_gaussian(scale, order, squared_sensitivity=squared)
    assert gaussian(noise, order) <= ours * (1 + 1e-12)
    assert math.isclose(ours, gaussian(noise, order), **near)
    sampled = subsampled_discrete_gaussian(q, scale, order, squared_sensitivity=squared)
    assert subsampled_gaussian(q, noise, order) <= sampled * (1 + 1e-12)


def exact_skellam(variance: float, shift: int, order: int) -> float:
    """Σ P(x − s)^α P(x)^{1−α} over the integers, P(x) = e^{−μ} I_x(μ)."""
    reach = int(12 * math.sqrt(variance) + 3 * order * abs(shift) + 60)
    x = np.arange(-reach, reach + 1)
    with np.errstate(divide="ignore"):
        base, moved = np.log(ive(np.abs(x), variance)), np.log(ive(np.abs(x - shift), variance))
    keep = np.isfinite(base) & np.isfinite(moved)
    terms = order * moved[keep] - (order - 1) * base[keep]
    top = float(np.max(terms))
    return (top + math.log(float(np.sum(np.exp(terms - top))))) / (order - 1)


@given(st.floats(1.0, 400.0), st.lists(st.integers(-4, 4), min_size=1, max_size=5), st.integers(2, 24))
@settings(max_examples=200, deadline=None)
def test_skellam_is_never_below_the_exact_divergence_of_any_integer_shift(
    variance: float, shift: list[int], order: int
) -> None:
    l1, squared = sum(map(abs, shift)), sum(s * s for s in shift)
    truth = sum(exact_skellam(variance, s, order) for s in shift if s)
    ours = skellam(variance, order, l1_sensitivity=l1, squared_l2_sensitivity=squared)
    assert ours >= truth * (1 - 1e-9)
    assert ours >= gaussian(math.sqrt(variance / squared), order) * (1 - 1e-9) if squared else ours == 0.0


@given(st.floats(1.0, 1e4), st.floats(1.0, 1e4), st.integers(1, 30), st.integers(1, 900), orders)
def test_skellam_is_monotone(a: float, b: float, l1: int, squared: int, order: int) -> None:
    low, high = sorted((a, b))

    def ours(variance: float, one: int, two: int, at: int) -> float:
        return skellam(variance, at, l1_sensitivity=one, squared_l2_sensitivity=two)

    base = ours(low, l1, squared, order)
    assert ours(high, l1, squared, order) <= base
    assert base <= ours(low, l1 + 1, squared, order)
    assert base <= ours(low, l1, squared + 1, order)
    assert base <= ours(low, l1, squared, order + 1)
