"""A plan is exactly so many charges, with the least noise that allows them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from veilstream.accounting import best_order, cost, odometer_epsilon, plan, window_charges
from veilstream.accounting.plan import NOISE_STEP


@given(
    st.floats(0.3, 20.0),
    st.floats(1e-9, 1e-3),
    st.floats(0.001, 1.0),
    st.integers(1, 200),
    st.integers(1, 50),
    st.integers(1, 3),
)
@settings(max_examples=12, deadline=None)
def test_a_plan_fits_and_less_noise_does_not(
    eps: float, delta: float, q: float, steps: int, windows: int, orders: int
) -> None:
    made = plan(eps, delta, q, steps, windows, orders=orders)
    assert len(made.orders) == orders == len(set(made.orders))
    assert len(made.epsilon_after) == windows
    assert made.epsilon_after[-1] <= eps
    assert list(made.epsilon_after) == sorted(made.epsilon_after)
    assert made.charges == window_charges(made.orders, q, made.noise_multiplier, steps)
    assert any(c * windows <= limit for c, limit in zip(made.charges, made.caps, strict=True))
    less = made.noise_multiplier - NOISE_STEP
    if less > 0:
        assert cost(eps, delta, made.orders, q, less, steps).windows < windows
    reverse = cost(eps, delta, made.orders, q, made.noise_multiplier, steps)
    assert reverse.windows >= windows
    assert reverse.epsilon_after[:windows] == made.epsilon_after


@given(st.floats(0.5, 10.0), st.floats(1e-9, 1e-3), st.floats(0.01, 1.0), st.floats(0.7, 10.0))
@settings(max_examples=25, deadline=None)
def test_the_best_order_has_room_for_most_windows(eps: float, delta: float, q: float, sigma: float) -> None:
    best = best_order(eps, delta, q, sigma, 10)
    most = cost(eps, delta, (best,), q, sigma, 10, horizon=0).windows
    assert all(cost(eps, delta, (o,), q, sigma, 10, horizon=0).windows <= most for o in range(2, 257, 3))


@given(st.integers(0, 40), st.floats(0.8, 5.0))
@settings(max_examples=30, deadline=None)
def test_cost_goes_on_from_what_was_spent(spent_windows: int, sigma: float) -> None:
    orders, q, steps = (5, 9), 0.05, 20
    fresh = cost(4.0, 1e-6, orders, q, sigma, steps)
    spent = [units * spent_windows for units in fresh.charges]
    rest = cost(4.0, 1e-6, orders, q, sigma, steps, spent=spent)
    assert rest.windows == max(0, fresh.windows - spent_windows)
    if rest.windows:
        assert rest.epsilon_after[0] == odometer_epsilon(
            [s + c for s, c in zip(spent, fresh.charges, strict=True)], orders, 1e-6
        )
