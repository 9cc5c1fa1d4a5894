"""What is foretold is what the ledger's integers do: window by window, in a tree, with a second model."""

from __future__ import annotations

import pytest

from veilstream.accounting import (
    Account,
    Workload,
    add,
    caps,
    noise_within,
    odometer_epsilon,
    outlook,
    plan,
    second_model,
    window_charges,
)
from veilstream.errors import AccountingError

ONE = Workload(0.1, 60)


def account(name: str, epsilon: float, spent: tuple[int, ...] = (0, 0)) -> Account:
    return Account(name, epsilon, 1e-6, (4, 9), spent)


def by_hand(accounts: list[Account], work: list[Workload], noise: float) -> int:
    """Charge window after window, each to every account, until one has no order left."""
    charges = [0, 0]
    for each in work:
        more = window_charges((4, 9), each.sampling_rate, noise, each.steps)
        charges = [add(a, b) for a, b in zip(charges, more, strict=True)]
    spent = {a.name: list(a.spent) for a in accounts}
    for windows in range(10_000):
        for a in accounts:
            after = [add(s, c) for s, c in zip(spent[a.name], charges, strict=True)]
            limits = caps(a.epsilon, a.delta, a.orders)
            if not any(s <= limit for s, limit in zip(after, limits, strict=True)):
                return windows
            spent[a.name] = after
    raise AssertionError("it never ended")


@pytest.mark.parametrize("noise", [1.0, 2.5, 3.0, 8.0])
@pytest.mark.parametrize("work", [[ONE], [ONE, Workload(0.05, 30)]])
def test_the_windows_that_fit_are_those_that_can_be_charged(noise: float, work: list[Workload]) -> None:
    accounts = [account("a/b", 4.0, (10**7, 10**8)), account("a", 6.0, (3 * 10**8, 2 * 10**8))]
    assert outlook(accounts, work, noise).windows == by_hand(accounts, work, noise)


def test_the_curve_is_the_odometer_and_ends_where_the_budget_does() -> None:
    one = account("a", 6.0)
    seen = outlook([one], [ONE], 3.0)
    charges = window_charges(one.orders, 0.1, 3.0, 60)
    assert seen.curve[0].window == 0
    assert seen.curve[0].epsilon == 0.0
    assert seen.curve[1].window == 1
    assert seen.curve[-1].window == seen.windows > 5
    assert seen.after_first == seen.curve[1].epsilon
    for point in seen.curve:
        spent = [point.window * c for c in charges]
        assert point.epsilon == odometer_epsilon(spent, one.orders, one.delta)
        limits = caps(one.epsilon, one.delta, one.orders)
        assert point.fraction == min(s / c for s, c in zip(spent, limits, strict=True))
    assert seen.curve[-1].epsilon <= one.epsilon


def test_thresholds_are_the_first_windows_that_reach_them() -> None:
    seen = outlook([account("a", 6.0)], [ONE], 3.0)
    fractions = {point.window: point.fraction for point in seen.curve}
    assert [share for share, _ in seen.thresholds[:3]] == [0.5, 0.8, 0.95]
    for share, window in seen.thresholds:
        assert fractions[window] >= share > fractions[window - 1]


def test_a_threshold_that_was_passed_before_is_not_told_again() -> None:
    one = account("a", 6.0)
    halfway = tuple(limit * 6 // 10 for limit in caps(one.epsilon, one.delta, one.orders))
    assert next(share for share, _ in outlook([account("a", 6.0, halfway)], [ONE], 3.0).thresholds) == 0.8


def test_the_account_that_is_full_first_is_named() -> None:
    nearly = tuple(limit * 9 // 10 for limit in caps(6.0, 1e-6, (4, 9)))
    accounts = [account("a/b", 4.0), account("a", 6.0, nearly)]
    seen = outlook(accounts, [ONE], 3.0)
    assert seen.full_first == "a"
    assert (
        seen.windows
        == outlook([accounts[1]], [ONE], 3.0).windows
        < outlook([accounts[0]], [ONE], 3.0).windows
    )


def test_a_long_run_is_drawn_by_few_points() -> None:
    seen = outlook([account("a", 8.0)], [Workload(0.001, 1)], 8.0)
    assert seen.windows > 10_000
    assert len(seen.curve) <= 203
    assert seen.curve[-1].window == seen.windows


def test_a_budget_that_is_full_has_no_window() -> None:
    full = tuple(max(0, limit) for limit in caps(4.0, 1e-6, (4, 9)))
    seen = outlook([account("a", 4.0, full)], [ONE], 3.0)
    assert (seen.windows, len(seen.curve), seen.thresholds) == (0, 1, ())
    found = second_model([account("a", 4.0, full)], ONE, ONE, 3.0, 0)
    assert (found.windows, found.noise_multiplier) == (0, None)


def test_the_same_model_again_halves_the_windows_or_takes_the_noise_of_twice_as_many() -> None:
    one = Account("", 6.0, 1e-6, (9,), (0,))
    alone = outlook([one], [ONE], 3.0).windows
    found = second_model([one], ONE, ONE, 3.0, alone)
    assert found.windows == alone // 2
    assert found.share == pytest.approx(0.5)
    assert found.noise_multiplier is not None
    assert outlook([one], [ONE, ONE], found.noise_multiplier).windows >= alone
    assert outlook([one], [ONE, ONE], found.noise_multiplier - 1e-4).windows < alone
    made = plan(6.0, 1e-6, 0.1, 60, alone, beside=[ONE])
    assert made.noise_multiplier <= found.noise_multiplier  # plan may choose a better order


def test_a_smaller_second_model_takes_a_smaller_share() -> None:
    one = account("a", 6.0)
    small = second_model([one], ONE, Workload(0.05, 10), 3.0, 20)
    assert 0.0 < small.share < 0.1
    assert outlook([one], [ONE], 3.0).windows * 0.9 < small.windows


def test_noise_for_what_is_left_is_the_least() -> None:
    one = account("a", 6.0, (2 * 10**8, 4 * 10**8))
    noise = noise_within(one.rooms, one.orders, [ONE], 50)
    assert outlook([one], [ONE], noise).windows >= 50
    assert outlook([one], [ONE], noise - 1e-4).windows < 50


@pytest.mark.parametrize("steps", [0, -1])
def test_what_makes_no_sense_is_refused(steps: int) -> None:
    with pytest.raises(AccountingError):
        outlook([account("a", 6.0)], [Workload(0.1, steps)], 3.0)
    with pytest.raises(AccountingError):
        outlook([], [ONE], 3.0)
    with pytest.raises(AccountingError):
        outlook([account("a", 6.0)], [], 3.0)
    with pytest.raises(AccountingError):
        noise_within((1, 1), (4, 9), [ONE], steps)
    with pytest.raises(AccountingError):
        noise_within((1,), (4, 9), [ONE], 5)
    with pytest.raises(AccountingError):
        noise_within((0, -5), (4, 9), [ONE], 5)
