"""What lies ahead of one or more budgets that the same windows are charged to: `veilstream plan` shows it.

Everything is said of public parameters, in the integers that the ledger adds, so that what is foretold is
what the ledger will admit. A budget in a tree is charged together with all above it: the first that is full
ends the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veilstream.accounting.conversion import caps, odometer_epsilon
from veilstream.accounting.plan import Workload, cost, noise_within
from veilstream.accounting.units import INFINITE, add
from veilstream.errors import AccountingError

__all__ = ["THRESHOLDS", "Account", "Outlook", "Point", "SecondModel", "outlook", "second_model"]

THRESHOLDS = (0.5, 0.8, 0.95, 1.0)

_MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Account:
    """A budget as it stands. `spent` is its public odometer, in units at each order."""

    name: str
    epsilon: float
    delta: float
    orders: tuple[int, ...]
    spent: tuple[int, ...]

    @property
    def rooms(self) -> tuple[int, ...]:
        """What is left at each order, in units; negative where a raise or a correction would be needed."""
        limits = caps(self.epsilon, self.delta, self.orders)
        return tuple(limit - have for limit, have in zip(limits, self.spent, strict=True))


@dataclass(frozen=True, slots=True)
class Point:
    """An account's public odometer after so many more windows."""

    window: int
    epsilon: float
    fraction: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What windows of given parameters do to the accounts that pay for them."""

    windows: int  # how many more fit
    full_first: str  # the account that ends it
    after_first: float  # ε of the first account after the first of them
    curve: tuple[Point, ...]  # of the first account (the one that was asked for), window 0 included
    thresholds: tuple[tuple[float, int], ...]  # share of the first account, and the window that reaches it


@dataclass(frozen=True, slots=True)
class SecondModel:
    """What it takes to train another model beside this one, from the same accounts."""

    windows: int  # how many fit with both at the present noise
    noise_multiplier: float | None  # with which both have as many windows as one has now; None: one has none
    share: float  # of each window's charge that the second takes, at the order that decides


def outlook(
    accounts: Sequence[Account],
    work: Sequence[Workload],
    noise_multiplier: float,
    *,
    windows: int | None = None,
) -> Outlook:
    """How many more windows fit, and the odometer of the first account on the way there.

    Args:
        accounts: the budget that is asked about, and the budgets above it.
        work: what trains in each window, all with `noise_multiplier`.
        windows: how far to look; all that fit by default.

    A threshold is reached by the first window after which spent/cap, at the order where it is least, is at
    least the share: what the ledger's events and alerts go by. None is named beyond the windows that fit, and
    none that was reached before the first.

    Raises:
        AccountingError: a parameter outside its domain, no account, nothing to train.
    """
    if not accounts or not work:
        raise AccountingError("there must be an account, and something to train")
    first, *others = work
    prices = [
        cost(
            each.epsilon, each.delta, each.orders, first.sampling_rate, noise_multiplier, first.steps,
            spent=each.spent, horizon=0, beside=others,
        )
        for each in accounts
    ]  # fmt: skip
    fits = min(price.windows for price in prices)
    full_first = next(a.name for a, price in zip(accounts, prices, strict=True) if price.windows == fits)
    charges, limits = prices[0].charges, prices[0].caps
    usable = [i for i, limit in enumerate(limits) if limit > 0]

    def spent_after(window: int) -> list[int]:
        return [
            add(have, min(window * charge, INFINITE))
            for have, charge in zip(accounts[0].spent, charges, strict=True)
        ]

    def fraction(window: int) -> float:
        spent = spent_after(window)
        return min((spent[i] / limits[i] for i in usable), default=1.0)

    def point(window: int) -> Point:
        shown = odometer_epsilon(spent_after(window), accounts[0].orders, accounts[0].delta)
        return Point(window, shown, fraction(window))

    end = fits if windows is None else min(fits, windows)
    start = fraction(0)
    thresholds = []
    for share in THRESHOLDS:
        if start < share <= fraction(fits):
            low, high = 0, fits
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if fraction(middle) >= share else (middle, high)
            thresholds.append((share, high))
    return Outlook(
        fits, full_first, point(1).epsilon, tuple(point(n) for n in _spread(end)), tuple(thresholds)
    )


def second_model(
    accounts: Sequence[Account],
    work: Workload,
    second: Workload,
    noise_multiplier: float,
    windows: int,
) -> SecondModel:
    """What a second model costs the first, where both train in each window and pay from the same accounts.

    Each person may be in both, so their charges add up; `windows` is what the first alone would have.

    Raises:
        AccountingError: a parameter outside its domain, or no noise suffices for both.
    """
    both = outlook(accounts, (work, second), noise_multiplier, windows=0)
    noise = None
    if windows > 0:
        orders = accounts[0].orders
        rooms = [min(each) for each in zip(*(account.rooms for account in accounts), strict=True)]
        noise = noise_within(rooms, orders, (work, second), windows)
    one, other = (
        cost(a.epsilon, a.delta, a.orders, w.sampling_rate, noise_multiplier, w.steps, horizon=0)
        for a, w in ((accounts[0], work), (accounts[0], second))
    )
    pairs = [
        (c, own, more) for c, own, more in zip(one.caps, one.charges, other.charges, strict=True) if c > 0
    ]
    _, own, more = min(pairs, key=lambda each: (each[1] + each[2]) / each[0], default=(1, 1, 1))
    return SecondModel(both.windows, noise, more / (own + more) if own + more else 0.0)


def _spread(end: int) -> list[int]:
    """0 to `end`, at most some 200 of them; 1, where ε jumps, and the last included."""
    step = max(1, -(-end // _MOST_POINTS))
    return sorted({*range(0, end + 1, step), min(1, end), end})
