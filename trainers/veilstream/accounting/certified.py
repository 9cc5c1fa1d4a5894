"""Certified μ: the smallest Gaussian curve that lies above a run's ε at every δ of a stated range.

A sampled Gaussian has no μ of its own, and the central limit theorem's is below the truth as often as above
(`docs/accounting.md`: 1.10 claimed where PLD has 1.64). What may be said as one number is a μ whose
curve *bounds* the run, and for which δ.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

from veilstream.accounting.conversion import check_delta
from veilstream.accounting.gdp import mu_at
from veilstream.errors import AccountingError

__all__ = ["CertifiedMu", "certified_mu"]

_MOST_INTERVALS = 10_000


@dataclass(frozen=True, slots=True)
class CertifiedMu:
    """A μ, the range of δ for which it is certified, and how far it is from the smallest."""

    mu: float  # ε_μ(δ) ≥ ε(δ) for every δ in the range, between the points that were looked at as well
    at_least: float  # no smaller μ than this one bounds ε over the range
    low_delta: float
    high_delta: float


def certified_mu(
    epsilon_at: Callable[[float], float], low_delta: float, high_delta: float, *, tolerance: float = 1e-3
) -> CertifiedMu:
    """The smallest μ, to a relative `tolerance`, with ε_μ(δ) ≥ `epsilon_at`(δ) for all δ in the range.

    Args:
        epsilon_at: an upper bound on ε at δ that does not rise with δ (`reporting.pld_curve`). Called some
            10 to 2,000 times.

    Guarantee: ε and ε_μ both fall with δ. On [l, h] therefore ε(δ) ≤ ε(l) and ε_μ(h) ≤ ε_μ(δ), so a μ with
    ε_μ(h) ≥ ε(l) bounds the whole interval, and no μ below that with ε_μ(l) = ε(l) does. The interval whose
    bound is worst is cut in two (in log δ) until the worst bound and the best "no μ below" are `tolerance`
    apart: bisection where it decides, nothing assumed between points.

    Not a statement about δ below `low_delta`: there a sampled Gaussian may cross every Gaussian curve. For
    unsampled Gaussians `gdp.gaussian_mu` is exact, at every δ. 0 where ε is 0 over the whole range.

    Raises:
        AccountingError: the range is not 0 < low < high < 1; ε is not finite at `low_delta`, or rises.
    """
    check_delta(low_delta)
    check_delta(high_delta)
    if not low_delta < high_delta or not 0.0 < tolerance < 1.0:
        raise AccountingError("a range of δ goes from a lower to a higher, and a tolerance is inside (0, 1)")
    known: dict[float, float] = {}

    def epsilon(delta: float) -> float:
        known[delta] = epsilon_at(delta)
        if not math.isfinite(known[delta]) or known[delta] < 0.0:
            raise AccountingError("ε is not finite over this range of δ", hint="raise the lowest δ")
        return known[delta]

    def interval(low: float, high: float) -> tuple[float, float, float]:
        return -mu_at(known[low], high), low, high

    at_least = max(mu_at(epsilon(delta), delta) for delta in (low_delta, high_delta))
    if known[high_delta] > known[low_delta]:
        raise AccountingError("ε must fall with δ, and be smooth enough to follow")
    heap = [interval(low_delta, high_delta)]
    for _ in range(_MOST_INTERVALS):
        worst, low, high = heap[0]
        if -worst <= at_least * (1.0 + tolerance):
            break
        middle = math.sqrt(low) * math.sqrt(high)
        if not low < middle < high or not known[high] <= epsilon(middle) <= known[low]:
            raise AccountingError("ε must fall with δ, and be smooth enough to follow")
        at_least = max(at_least, mu_at(known[middle], middle))
        heapq.heapreplace(heap, interval(low, middle))
        heapq.heappush(heap, interval(middle, high))
    return CertifiedMu(max(-heap[0][0], at_least), at_least, low_delta, high_delta)
