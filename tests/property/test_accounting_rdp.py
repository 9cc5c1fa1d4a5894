"""The Rényi divergence of the sampled Gaussian: against 80-digit arithmetic, and its monotonicity."""

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from math import comb

from hypothesis import given, settings
from hypothesis import strategies as st

from veilstream.accounting import gaussian, subsampled_gaussian, to_units, window_charges

rates = st.floats(1e-6, 1.0, exclude_max=True)
noises = st.floats(0.3, 50.0)
orders = st.integers(2, 64)


def exact(q: float, sigma: float, order: int) -> Decimal:
    """The definition, term by term, with 80 digits."""
    with localcontext(Context(prec=80, Emax=10**9, Emin=-(10**9))):
        rate, variance = Decimal(q), Decimal(sigma) ** 2
        terms = (
            Decimal(comb(order, k))
            * (1 - rate) ** (order - k)
            * rate**k
            * (Decimal(k * k - k) / (2 * variance)).exp()
            for k in range(order + 1)
        )
        return sum(terms, Decimal(0)).ln() / (order - 1)


@given(rates, noises, orders)
@settings(max_examples=150, deadline=None)
def test_it_is_never_below_the_exact_sum_and_close_to_it(q: float, sigma: float, order: int) -> None:
    truth, ours = exact(q, sigma, order), Decimal(subsampled_gaussian(q, sigma, order))
    assert truth <= ours <= truth * (1 + Decimal("1e-9"))


@given(rates, noises, orders, st.integers(1, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_charge_is_never_below_the_exact_composition(
    q: float, sigma: float, order: int, steps: int
) -> None:
    (charge,) = window_charges((order,), q, sigma, steps)
    assert charge >= exact(q, sigma, order) * steps * 10**9


@given(rates, rates, noises, noises, orders)
@settings(deadline=None)
def test_more_sampling_less_noise_and_a_higher_order_cost_no_less(
    q1: float, q2: float, s1: float, s2: float, order: int
) -> None:
    q_low, q_high = sorted((q1, q2))
    s_low, s_high = sorted((s1, s2))
    tolerance = 1 + 1e-9
    assert subsampled_gaussian(q_low, s_low, order) <= subsampled_gaussian(q_high, s_low, order) * tolerance
    assert subsampled_gaussian(q_low, s_high, order) <= subsampled_gaussian(q_low, s_low, order) * tolerance
    assert (
        subsampled_gaussian(q_low, s_low, order) <= subsampled_gaussian(q_low, s_low, order + 1) * tolerance
    )
    assert subsampled_gaussian(q_low, s_low, order) <= gaussian(s_low, order) * tolerance


@given(rates, noises, orders, st.integers(1, 1000), st.integers(1, 1000))
@settings(deadline=None)
def test_more_steps_cost_more(q: float, sigma: float, order: int, first: int, second: int) -> None:
    few, many = sorted((first, second))
    assert window_charges((order,), q, sigma, few) <= window_charges((order,), q, sigma, many)


@given(st.floats(0, 4e6))
def test_units_never_round_down(nats: float) -> None:
    units = to_units(nats)
    assert Fraction(units, 10**9) >= Fraction(nats) > Fraction(units - 1, 10**9)
