"""Decisions about budgets: what may be created, what is admitted, when it is exhausted."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from veilstream.accounting import INFINITE
from veilstream.errors import AccountingError
from veilstream.ledger.budget import Budget, after, decide, define, has_room, raised


def budget(caps: tuple[int, ...], spent: tuple[int, ...] = (), mode: str = "odometer") -> Budget:
    made = define("b", "acme", 3.0, 1e-6, range(8, 8 + len(caps)), mode)
    return replace(made, caps=caps, spent=spent or (0,) * len(caps))


@pytest.mark.parametrize(
    "call",
    [
        lambda: define("b", "acme", -1.0, 1e-6, [8], "odometer"),
        lambda: define("b", "acme", 0.0, 1e-6, [8], "odometer"),
        lambda: define("b", "acme", math.nan, 1e-6, [8], "odometer"),
        lambda: define("b", "acme", math.inf, 1e-6, [8], "odometer"),
        lambda: define("b", "acme", 1.0, 0.0, [8], "odometer"),
        lambda: define("b", "acme", 1.0, 1.0, [8], "odometer"),
        lambda: define("b", "acme", 1.0, math.nan, [8], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [], "odometer"),
        lambda: define("b", "acme", 9.0, 1e-6, range(8, 17), "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [8, 8], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [8.5], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [math.nan], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [math.inf], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [True], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [1], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [2], "odometer"),  # order 2 cannot promise ε = 1 at this δ
        lambda: define("b", "acme", 1.0, 1e-6, [64], "somehow"),
        lambda: define("B", "acme", 1.0, 1e-6, [64], "odometer"),
        lambda: define("b{x}", "acme", 1.0, 1e-6, [64], "odometer"),
        lambda: define("b", "Acme Ltd", 1.0, 1e-6, [64], "odometer"),
        lambda: raised(budget((5,)), 3.0),
        lambda: raised(budget((5,)), 1.0),
        lambda: raised(budget((5,)), math.nan),
        lambda: raised(budget((5,)), math.inf),
    ],
)
def test_what_no_budget_can_be_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(AccountingError):
        call()


def test_orders_come_sorted_and_whole_floats_are_integers() -> None:
    assert define("b", "acme", 3.0, 1e-6, [12.0, 7], "odometer").orders == (7, 12)


def test_some_order_is_enough() -> None:
    assert has_room((10, 10), (5, 5), (15, 0))
    assert has_room((10, 10), (5, 5), (0, 15))
    assert not has_room((10, 10), (5, 5), (14, 14))
    assert not has_room((0,), (INFINITE,), (INFINITE - 1,))
    assert not has_room((0,), (1,), (-5,))


def test_sums_saturate() -> None:
    assert after((INFINITE, 3), (7, 4)) == (INFINITE, 7)


def test_the_odometer_refuses_in_its_mode_only() -> None:
    full = budget((10,), (8,))
    refused = decide(full, (3,))
    assert (refused.admitted, refused.after.spent, refused.exhausts) == (False, (8,), True)
    going_on = decide(replace(full, mode="individual"), (3,))
    assert (going_on.admitted, going_on.after.spent) == (True, (11,))


def test_exhausted_is_said_once_when_the_same_charge_fits_no_more() -> None:
    first = decide(budget((10,)), (5,))
    assert not first.exhausts  # 5 + 5 fits
    second = decide(first.after, (5,))
    assert second.admitted
    assert second.exhausts
    told = replace(second.after, exhausted=True)
    assert not decide(told, (5,)).exhausts
    assert not raised(told, 4.0).exhausted


def test_the_fraction_is_the_least_over_the_orders_that_can_promise_anything() -> None:
    assert budget((10, 20, -3), (5, 8, 100)).fraction == pytest.approx(0.4)
