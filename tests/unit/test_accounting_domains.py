"""Edges of the accounting: what is refused, what is 0, what is infinite."""

import math
import sys
from collections.abc import Callable

import pytest

from veilstream.accounting import (
    INFINITE,
    add,
    best_order,
    cap,
    caps,
    cost,
    epsilon,
    gaussian,
    odometer_epsilon,
    plan,
    pld_epsilon,
    subsampled_gaussian,
    to_nats,
    to_units,
    window_charges,
)
from veilstream.errors import AccountingError


def test_a_rate_of_zero_costs_nothing_and_of_one_is_the_gaussian() -> None:
    assert subsampled_gaussian(0.0, 1.3, 5) == 0.0
    assert subsampled_gaussian(1.0, 1.3, 5) == gaussian(1.3, 5)
    assert gaussian(2.0, 8) == pytest.approx(8 / 8)


@pytest.mark.parametrize("noise", [0.0, 1e-200, 1e-160])
def test_what_cannot_be_computed_is_infinite(noise: float) -> None:
    assert subsampled_gaussian(0.1, noise, 4) == math.inf
    assert gaussian(noise, 4) == math.inf
    assert window_charges((4,), 0.1, noise, 1) == (INFINITE,)


def test_enormous_noise_still_costs_a_unit() -> None:
    assert window_charges((2, 64), 1e-9, 1e150, 1) == (1, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: subsampled_gaussian(-0.1, 1.0, 2),
        lambda: subsampled_gaussian(1.1, 1.0, 2),
        lambda: subsampled_gaussian(math.nan, 1.0, 2),
        lambda: subsampled_gaussian(0.1, math.nan, 2),
        lambda: subsampled_gaussian(0.1, math.inf, 2),
        lambda: subsampled_gaussian(0.1, -1.0, 2),
        lambda: subsampled_gaussian(0.1, 1.0, 1),
        lambda: gaussian(1.0, 2.5),  # type: ignore[arg-type]
        lambda: gaussian(1.0, True),
        lambda: epsilon(-1.0, 2, 1e-6),
        lambda: epsilon(math.nan, 2, 1e-6),
        lambda: epsilon(1.0, 2, 0.0),
        lambda: epsilon(1.0, 2, 1.0),
        lambda: epsilon(1.0, 2, math.nan),
        lambda: cap(math.inf, 1e-6, 2),
        lambda: cap(-1.0, 1e-6, 2),
        lambda: cap(math.nan, 1e-6, 2),
        lambda: odometer_epsilon((1,), (2, 3), 1e-6),
        lambda: odometer_epsilon((), (), 1e-6),
        lambda: to_units(math.nan),
        lambda: to_units(-1e-12),
        lambda: to_nats(-1),
        lambda: window_charges((2,), 0.1, 1.0, 0),
        lambda: window_charges((2,), 0.1, 1.0, True),
        lambda: plan(1.0, 1e-6, 0.1, 10, 0),
        lambda: plan(1.0, 1e-6, 0.1, 10, 5, orders=9),
        lambda: plan(1e-6, 1e-12, 0.1, 10, 5),
        lambda: best_order(1e-6, 1e-12, 0.1, 1.0, 10),
        lambda: cost(1.0, 1e-6, (8,), 0.1, 1.0, 10, spent=(1, 2)),
        lambda: pld_epsilon(0.1, 1.0, 0, 1e-6),
        lambda: pld_epsilon(2.0, 1.0, 1, 1e-6),
    ],
)
def test_what_is_outside_its_domain_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(AccountingError):
        call()


def test_infinity_saturates_and_never_fits() -> None:
    assert to_units(math.inf) == INFINITE == to_units(1e300)
    assert add(INFINITE, 1) == INFINITE
    assert to_nats(INFINITE) == math.inf
    assert odometer_epsilon((INFINITE, INFINITE), (2, 3), 1e-6) == math.inf
    assert max(caps(1e300, 1e-6, (2, 3))) < INFINITE
    assert INFINITE + INFINITE <= 2**53  # every sum is exact in a double


def test_nothing_spent_is_epsilon_zero() -> None:
    assert odometer_epsilon((0, 0), (2, 3), 1e-6) == 0.0


def test_several_orders_are_converted_at_their_share_of_delta() -> None:
    spent, orders, delta = (10**9, 10**8), (4, 9), 1e-6
    expected = min(epsilon(to_nats(s), o, delta / 2) for s, o in zip(spent, orders, strict=True))
    assert odometer_epsilon(spent, orders, delta) == expected
    assert caps(3.0, delta, orders)[0] == caps(3.0, delta / 2, (4,))[0] < caps(3.0, delta, (4,))[0]


def test_a_report_says_when_it_holds() -> None:
    assert "fixed beforehand" in pld_epsilon(0.5, 2.0, 1, 1e-5).label
    assert pld_epsilon(0.0, 2.0, 1, 1e-5).epsilon == 0.0
    assert pld_epsilon(0.5, 0.0, 1, 1e-5).epsilon == math.inf


def test_accounting_loads_dp_accounting_only_when_asked() -> None:
    import subprocess

    heavy = "'dp_accounting', 'scipy', 'torch'"
    code = f"import sys, veilstream.accounting; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
