"""Divergence to (ε, δ) and back: inverse of each other, each rounded to its safe side."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from veilstream.accounting import INFINITE, cap, caps, epsilon, odometer_epsilon, to_nats

orders = st.integers(2, 256)
deltas = st.floats(1e-12, 0.1)
epsilons = st.floats(0.01, 100.0)


@given(epsilons, deltas, orders)
def test_what_fits_under_the_cap_converts_to_no_more_than_epsilon(
    eps: float, delta: float, order: int
) -> None:
    room = cap(eps, delta, order)
    assume(room > 0)
    assert epsilon(room, order, delta) <= eps
    assert epsilon(room * (1 + 1e-9) + 1e-9, order, delta) > eps  # and the cap is not too careful


@given(epsilons, deltas, st.lists(orders, min_size=1, max_size=8, unique=True))
def test_caps_in_units_are_the_last_that_fit(eps: float, delta: float, chosen: list[int]) -> None:
    for order, limit in zip(chosen, caps(eps, delta, chosen), strict=True):
        assert limit < INFINITE
        if limit > 0:
            assert epsilon(to_nats(limit), order, delta / len(chosen)) <= eps
            assert epsilon(to_nats(limit + 2), order, delta / len(chosen)) > eps


@given(st.floats(0, 1000), st.floats(0, 1000), deltas, deltas, orders)
def test_epsilon_grows_with_divergence_and_falls_with_delta(
    a: float, b: float, d1: float, d2: float, order: int
) -> None:
    low, high = sorted((a, b))
    small, large = sorted((d1, d2))
    assert epsilon(low, order, small) <= epsilon(high, order, small)
    assert epsilon(low, order, large) <= epsilon(low, order, small) * (1 + 1e-12)


@given(epsilons, epsilons, deltas, orders)
def test_a_larger_epsilon_has_a_larger_cap(a: float, b: float, delta: float, order: int) -> None:
    low, high = sorted((a, b))
    assert caps(low, delta, (order,)) <= caps(high, delta, (order,))


@given(st.lists(st.tuples(st.integers(0, INFINITE), orders), min_size=1, max_size=8), deltas)
def test_the_odometer_is_the_least_over_the_orders(pairs: list[tuple[int, int]], delta: float) -> None:
    spent, chosen = [units for units, _ in pairs], [order for _, order in pairs]
    shown = odometer_epsilon(spent, chosen, delta)
    share = delta / len(pairs)
    for units, order in pairs:
        assert shown <= epsilon(to_nats(units), order, share) or math.isinf(shown)
