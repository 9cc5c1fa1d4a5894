"""Rényi divergence to (ε, δ), and back.

Canonne, Kamath & Steinke, "The Discrete Gaussian for Differential Privacy", arXiv 2004.00010, Proposition 12
(in the form of Corollary 13): a mechanism of Rényi divergence ρ at order α is (ε, δ)-private for

    ε = ρ + log((α − 1)/α) − (log δ + log α)/(α − 1).

ε is rounded up and the inverse rounded down by a slack above the floating-point error, so that
`epsilon(cap(ε, δ, α), α, δ) ≤ ε` holds in floats and not only on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from veilstream.accounting.rdp import check_order
from veilstream.accounting.units import INFINITE, UNITS_PER_NAT, to_nats
from veilstream.errors import AccountingError

__all__ = ["cap", "caps", "check_budget", "epsilon", "odometer_epsilon"]

_SLACK = 2.0**-45  # relative to the sum of the magnitudes that are added


def epsilon(rdp: float, order: int, delta: float) -> float:
    """ε at `delta` of a mechanism whose Rényi divergence at `order` is at most `rdp` nats.

    Never below the exact value of the formula. `rdp` = 0 is 0 (the two distributions are the same), +∞ is +∞.

    Raises:
        AccountingError: `rdp` NaN or negative, δ outside (0, 1), a bad order.
    """
    check_order(order)
    check_delta(delta)
    if math.isnan(rdp) or rdp < 0:
        raise AccountingError("a Rényi divergence is a number of nats from 0 up")
    if rdp == 0.0 or rdp == math.inf:
        return rdp
    shift, slack = _shift(order, delta)
    return max(0.0, rdp + shift + slack + rdp * _SLACK)


def cap(epsilon: float, delta: float, order: int) -> float:
    """The largest Rényi divergence at `order`, in nats, that still converts to `epsilon` at `delta`.

    Negative where the order cannot promise that ε at all: nothing fits under such a cap.

    Raises:
        AccountingError: ε not finite or negative, δ outside (0, 1), a bad order.
    """
    check_order(order)
    check_budget(epsilon, delta)
    shift, slack = _shift(order, delta)
    room = epsilon - shift - slack
    return room - (abs(room) + epsilon) * 2 * _SLACK


def caps(epsilon: float, delta: float, orders: Sequence[int]) -> tuple[int, ...]:
    """The cap of each order of the set G, in units, rounded down: each order is converted at δ/|G|.

    Guarantee: a sequence of adaptively chosen mechanisms, each admitted only while *some* order of G stays
    within its cap, is (ε, δ)-private. For one order: Feldman & Zrnic, arXiv 2008.11193, and Lécuyer,
    2103.01379. For several: each order's failure has probability δ/|G|, and a union bound adds them up.
    Below `INFINITE` always, so that an infinite charge never fits.
    """
    share = delta / len(orders) if orders else delta
    return tuple(
        min(math.floor(Fraction(cap(epsilon, share, order)) * UNITS_PER_NAT), INFINITE - 1)
        for order in orders
    )


def odometer_epsilon(spent: Sequence[int], orders: Sequence[int], delta: float) -> float:
    """ε at `delta` of what was spent, in units at each order: the least over G of the conversion at δ/|G|.

    0 where nothing was spent; +∞ where every order is at `INFINITE`. This reads the meter: the guarantee
    under adaptive choice is the filter's ε (`caps`), which the meter never passes while charges are admitted.

    Raises:
        AccountingError: not one number for each order, or no order.
    """
    if not orders or len(spent) != len(orders):
        raise AccountingError("there must be one spend for each order")
    share = delta / len(orders)
    return min(epsilon(to_nats(units), order, share) for units, order in zip(spent, orders, strict=True))


def check_budget(epsilon: float, delta: float) -> None:
    """Raises AccountingError unless ε is finite and not negative and δ inside (0, 1)."""
    if not (math.isfinite(epsilon) and epsilon >= 0.0):
        raise AccountingError("ε is a finite number from 0 up")
    check_delta(delta)


def check_delta(delta: float) -> None:
    """Raises AccountingError unless δ is inside (0, 1)."""
    if not 0.0 < delta < 1.0:
        raise AccountingError("δ is between 0 and 1, both excluded")


def _shift(order: int, delta: float) -> tuple[float, float]:
    """What the conversion adds to the divergence, and a bound on its rounding error."""
    parts = (math.log1p(-1.0 / order), -math.log(delta) / (order - 1), -math.log(order) / (order - 1))
    return sum(parts), sum(abs(part) for part in parts) * _SLACK
