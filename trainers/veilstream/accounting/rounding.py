"""What is added to a divergence so that a float is never below the real number it stands for."""

from __future__ import annotations

import math

from veilstream.errors import AccountingError

__all__ = ["LEAST", "SLACK", "check_order", "check_positive", "up"]

SLACK = 1.0 + 2.0**-32
"""Far above the error of the floating-point evaluations here (some 1e-13), far below what matters."""

LEAST = math.ulp(0.0)
"""What is positive in real numbers does not become 0 in floats: a charge is at least one unit."""


def up(nats: float) -> float:
    """`nats`, rounded up by more than the error it was computed with. NaN is +∞: it costs everything."""
    return math.inf if math.isnan(nats) else max(nats * SLACK, LEAST)


def check_order(order: int) -> None:
    """Raises AccountingError unless `order` is an integer from 2 up.

    No mechanism here has a curve at other orders: a budget's orders are integers, where the sums are exact.
    """
    if type(order) is not int or order < 2:
        raise AccountingError("a Rényi order is an integer from 2 up")


def check_positive(value: float, what: str) -> None:
    """Raises AccountingError unless `value` is a finite number from 0 up."""
    if not (math.isfinite(value) and value >= 0.0):
        raise AccountingError(f"{what} is a finite number from 0 up")
