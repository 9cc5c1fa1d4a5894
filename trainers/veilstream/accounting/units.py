"""The ledger's unit: Rényi divergence as an integer of 1e-9 nats, always rounded up.

Integers, because sums of floats depend on their order and a store's counters are integers. They stay below
2⁵³, so that the store's script language (doubles) computes them exactly: the sum of two saturated values is
2⁵³, the last integer up to which every double is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from veilstream.errors import AccountingError

__all__ = ["INFINITE", "UNITS_PER_NAT", "add", "to_nats", "to_units", "total"]

UNITS_PER_NAT = 10**9

INFINITE = 2**52
"""+∞: some 4.5 million nats, beyond any cap. Sums saturate here and never come back."""


def to_units(nats: float) -> int:
    """The least integer of 1e-9 nats that is not below `nats` (exact: by rational arithmetic).

    +∞, and anything at or above `INFINITE`, gives `INFINITE`. 0 gives 0; the least positive float gives 1.

    Raises:
        AccountingError: NaN or negative.
    """
    if math.isnan(nats) or nats < 0:
        raise AccountingError("a Rényi divergence is a number of nats from 0 up")
    if math.isinf(nats):
        return INFINITE
    return min(math.ceil(Fraction(nats) * UNITS_PER_NAT), INFINITE)


def to_nats(units: int) -> float:
    """The least float that is not below `units`; `INFINITE` gives +∞."""
    if units < 0:
        raise AccountingError("units are integers from 0 up")
    if units >= INFINITE:
        return math.inf
    exact = Fraction(units, UNITS_PER_NAT)
    nearest = float(exact)
    return nearest if Fraction(nearest) >= exact else math.nextafter(nearest, math.inf)


def add(left: int, right: int) -> int:
    """Sum that saturates at `INFINITE`."""
    return min(left + right, INFINITE)


def total(units: Iterable[int]) -> int:
    """Saturating sum."""
    return min(sum(units), INFINITE)
