"""A run whose noise falls: little is spent while the model is far from anything, more when it comes near.

The noise multiplier of window t is σ_t = σ_0·ratio^t (Yu et al., "Differentially Private Model Publishing for
Deep Learning", arXiv 1904.02200, exponential decay; ratio 1 is constant noise).

**Formal statement.** Window t is T steps of the Poisson-subsampled Gaussian mechanism with sensitivity C and
noise σ_t·C; neighbours differ by all records of one person. σ_t is fixed by public parameters
(`falling_noise`), or chosen after seeing the releases of windows 1..t−1 (`next_noise`, or any other
function of releases and of the public odometer). Each window's price is computed from its σ_t and admitted
by the filter *before* σ_t is used, at orders that were fixed before the first charge. The whole run, with all
other charges to the budget, is then (ε, δ)-differentially private: fully adaptive composition under a Rényi
filter, Feldman & Zrnic, arXiv 2008.11193; Lécuyer, arXiv 2103.01379; several orders by the split
of δ (`accounting.caps`). It is *not* private to choose σ_t by a private loss, or by anything unreleased.

**Edge cases.** An allotment that no noise below 1e6 fits into, a ratio that is NaN, not above 0 or above 1,
no window: AccountingError. σ is rounded up to 1e-4, which only lowers the price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from veilstream.accounting import INFINITE, window_charges
from veilstream.errors import AccountingError

__all__ = ["FallingNoise", "falling_noise", "next_noise"]

_TICK = 1e-4  # noise multipliers are whole multiples: rounding is done on integers
_MOST_TICKS = 10**10


@dataclass(frozen=True, slots=True)
class FallingNoise:
    """A schedule: one noise multiplier and one price (units at each order) for each window to come."""

    noise_multipliers: tuple[float, ...]
    charges: tuple[tuple[int, ...], ...]

    @property
    def total(self) -> tuple[int, ...]:
        """Units of the whole schedule at each order."""
        return tuple(min(sum(units), INFINITE) for units in zip(*self.charges, strict=True))


def falling_noise(
    allotment: Sequence[int],
    orders: Sequence[int],
    *,
    sampling_rate: float,
    steps: int,
    windows: int,
    ratio: float,
) -> FallingNoise:
    """The schedule with the least σ_0 whose windows together fit into the allotment at some order.

    Args:
        allotment: units at each order that the run may spend: its share of the cap, or of what is left.
        ratio: σ_{t+1}/σ_t, in (0, 1].
        steps: of each window; `windows`: how many are to come.

    Raises:
        AccountingError: see the module; or a parameter outside its domain (`accounting.window_charges`).
    """
    if not 0.0 < ratio <= 1.0:
        raise AccountingError("the noise falls by a ratio above 0 and at most 1")
    if type(windows) is not int or windows < 1:
        raise AccountingError("windows is an integer from 1 up")
    if len(allotment) != len(orders) or not orders:
        raise AccountingError("an allotment is one number of units for each order")
    window_charges(orders, sampling_rate, 1.0, steps)  # the parameters' domains, before any search

    def schedule(ticks: int) -> FallingNoise:
        noises = tuple(math.ceil(ticks * ratio**window) * _TICK for window in range(windows))
        return FallingNoise(
            noises, tuple(window_charges(orders, sampling_rate, noise, steps) for noise in noises)
        )

    def within(ticks: int) -> bool:
        return any(t <= a for t, a in zip(schedule(ticks).total, allotment, strict=True))

    high = round(1 / _TICK)
    while not within(high):
        high *= 2
        if high > _MOST_TICKS:
            raise AccountingError(
                "no noise up to 1e6 fits into this allotment", hint="allot more, or plan fewer windows"
            )
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if within(middle) else (middle, high)
    return schedule(high)


def next_noise(
    allotment: Sequence[int],
    spent: Sequence[int],
    orders: Sequence[int],
    *,
    sampling_rate: float,
    steps: int,
    windows_left: int,
    ratio: float,
) -> tuple[float, tuple[int, ...]]:
    """The next window's σ and price, planned anew from what the run has spent of its allotment so far.

    `ratio`, `steps` and `windows_left` may be chosen after seeing earlier releases. Raises AccountingError
    where nothing is left.
    """
    if len(spent) != len(allotment):
        raise AccountingError("there must be one spend for each order")
    left = [total - units for total, units in zip(allotment, spent, strict=True)]
    plan = falling_noise(
        left, orders, sampling_rate=sampling_rate, steps=steps, windows=windows_left, ratio=ratio
    )
    return plan.noise_multipliers[0], plan.charges[0]
