"""Decisions about budgets: what may be created, what is admitted, when it is exhausted."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from veilstream.accounting import INFINITE
from veilstream.errors import AccountingError
from veilstream.ledger.budget import (
    Budget,
    after,
    ancestors,
    corrected,
    decide,
    define,
    frozen,
    has_room,
    parent_of,
    raised,
    refreshed,
    root_of,
)


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
        lambda: define("a/b/c/d", "acme", 1.0, 1e-6, [64], "odometer"),
        lambda: define("a//b", "acme", 1.0, 1e-6, [64], "odometer"),
        lambda: define("/a", "acme", 1.0, 1e-6, [64], "odometer"),
        lambda: define("b", "acme", 1.0, 1e-6, [64], "odometer", refresh_seconds=0.0),
        lambda: define("b", "acme", 1.0, 1e-6, [64], "odometer", refresh_seconds=math.nan),
        lambda: define("b", "acme", 1.0, 1e-6, [64], "odometer", block_seconds=math.inf),
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
    refused = decide([full], (3,))
    assert (refused.admitted, refused.at, refused.reason) == (False, "b", "no_room")
    assert (refused.steps[0].after.spent, refused.steps[0].exhausts) == ((8,), False)
    going_on = decide([replace(full, mode="individual")], (3,))
    assert (going_on.admitted, going_on.steps[0].after.spent) == (True, (11,))


def test_exhausted_is_said_once_when_the_same_charge_fits_no_more() -> None:
    first = decide([budget((10,))], (5,)).steps[0]
    assert not first.exhausts  # 5 + 5 fits
    second = decide([first.after], (5,)).steps[0]
    assert second.exhausts
    told = replace(second.after, exhausted=True)
    assert not decide([told], (5,)).steps[0].exhausts
    assert not raised(told, 4.0).exhausted


def test_a_path_pays_at_every_budget_or_at_none() -> None:
    leaf, root = budget((10,), (2,)), replace(budget((20,), (17,)), name="r")
    paid = decide([leaf, root], (3,))
    assert [step.after.spent for step in paid.steps] == [(5,), (20,)]
    refused = decide([leaf, root], (4,))
    assert (refused.admitted, refused.at, refused.reason) == (False, "r", "no_room")
    assert [step.after.spent for step in refused.steps] == [(2,), (17,)]
    assert [step.exhausts for step in refused.steps] == [False, False]


def test_a_frozen_budget_above_admits_nothing() -> None:
    root = frozen(replace(budget((20,)), name="r"), True)
    refused = decide([budget((10,)), root], (3,))
    assert (refused.admitted, refused.at, refused.reason) == (False, "r", "frozen")
    assert not any(step.exhausts for step in refused.steps)
    assert decide([budget((10,)), frozen(root, False)], (3,)).admitted


def test_the_largest_share_that_a_charge_reaches_is_told_once() -> None:
    shares, spent = [], budget((100,))
    for charge in (49, 1, 35, 1, 14):
        step = decide([spent], (charge,)).steps[0]
        shares.append(step.threshold)
        spent = step.after
    assert shares == [None, 0.5, 0.8, None, 1.0]


def test_a_correction_is_spent_by_everyone_and_ends_with_the_period() -> None:
    before = replace(budget((10,), (4,)), refresh_seconds=60.0, period=7)
    after_ = corrected(before, (3,))
    assert (after_.spent, after_.limits, after_.caps) == ((7,), (7,), (10,))
    assert corrected(after_, (9,)).limits == (-2,)
    new = refreshed(after_, 9)
    assert (new.spent, new.limits, new.period) == ((0,), (10,), 9)
    with pytest.raises(AccountingError):
        refreshed(new, 9)


@pytest.mark.parametrize("charges", [(), (0,), (-1,), (1.5,), (True,), (2**53,), (1, 1)])
def test_a_correction_that_is_none_is_refused(charges: tuple[int, ...]) -> None:
    with pytest.raises(AccountingError):
        corrected(budget((10,)), charges)


def test_the_path_of_a_name() -> None:
    assert ancestors("acme/support/m") == ("acme/support/m", "acme/support", "acme")
    assert (parent_of("acme"), parent_of("acme/x"), root_of("acme/x")) == (None, "acme", "acme")


def test_the_fraction_is_the_least_over_the_orders_that_can_promise_anything() -> None:
    assert budget((10, 20, -3), (5, 8, 100)).fraction == pytest.approx(0.4)
