"""Rényi divergence of the Laplace mechanism, at integer orders α ≥ 2, and its exact ε.

Neighbours: add or remove all records of one person, who moves the sum by at most 1 in L1 norm, over any
number of coordinates; each coordinate gets noise of scale b (density exp(−|x|/b)/2b). It is (1/b, 0)-private.
"""

from __future__ import annotations

import math

from veilstream.accounting.rounding import SLACK, check_order, check_positive, up
from veilstream.errors import AccountingError

__all__ = ["laplace", "laplace_epsilon"]

_EXP_ERROR = 2.0**-48  # of an expm1 and a product, relative


def laplace(scale: float, order: int) -> float:
    """Rényi divergence, in nats, of noise of scale b = `scale` (over a sensitivity of 1).

    Mironov, "Rényi Differential Privacy", arXiv 1702.07476, Proposition 6:

        log( α/(2α−1)·exp((α−1)/b) + (α−1)/(2α−1)·exp(−α/b) ) / (α − 1).

    It is convex in 1/b and 0 at 0, so a shift that is spread over several coordinates diverges no more than
    the same L1 shift in one of them. The weights sum to 1 and the two terms cancel to first order: for a
    large b the sum is taken of expm1, its error is added, and the result is capped by the two bounds that
    hold for every 1/b-private mechanism, 1/b and α/(2b²) (Bun & Steinke, arXiv 1605.02065, Proposition 3.3).

    b = 0, or so small that 1/b overflows, is +∞.

    Raises:
        AccountingError: b NaN, infinite or negative; an order that is not an integer from 2 up.
    """
    check_order(order)
    check_positive(scale, "a noise scale")
    pure = _pure(scale)
    if math.isinf(pure):
        return pure
    ceiling = min(pure, order * pure * pure / 2)
    rise, fall = (order - 1) * pure, order * pure
    if rise > 30.0:  # the second term is below e^−60 of the first; this form never overflows
        log_sum = math.log(order / (2 * order - 1)) + rise + math.exp(-rise - fall)
    else:
        gain = order * math.expm1(rise) / (2 * order - 1)
        loss = (order - 1) * math.expm1(-fall) / (2 * order - 1)
        log_sum = math.log1p(max(0.0, gain + loss) + (gain - loss) * _EXP_ERROR)
    return up(min(log_sum / (order - 1), ceiling))


def laplace_epsilon(scale: float, delta: float) -> float:
    """Exact ε at `delta` of one Laplace mechanism in one coordinate: max(0, 1/b + 2·log(1 − δ)).

    From δ(ε) = 1 − exp((ε − 1/b)/2) for ε ≤ 1/b, the mass of the outputs whose loss is above ε. δ = 0 is
    1/b. Rounded up.

    Raises:
        AccountingError: b NaN, infinite or negative; δ outside [0, 1).
    """
    check_positive(scale, "a noise scale")
    if not 0.0 <= delta < 1.0:
        raise AccountingError("δ is between 0 and 1, 1 excluded")
    pure = _pure(scale)
    return max(0.0, pure * SLACK + 2.0 * math.log1p(-delta) / SLACK)


def _pure(scale: float) -> float:
    """1/b, +∞ where it overflows."""
    return 1.0 / scale if scale > 1.0 / math.inf and 1.0 / scale < math.inf else math.inf
