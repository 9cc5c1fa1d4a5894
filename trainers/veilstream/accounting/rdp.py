"""Rényi divergence of the Gaussian mechanism, plain and Poisson-subsampled, at integer orders α ≥ 2.

Neighbours: add or remove all records of one person (whose clipped contribution has L2 norm at most C; the
noise has standard deviation σ·C). Both directions of the divergence are covered.

Every result is an upper bound on the exact value: it is multiplied by `rounding.SLACK`, far above the
error of the floating-point evaluation (some 1e-13, tested against 80-digit arithmetic) and far below what
matters.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from veilstream.accounting.rounding import LEAST, check_order, check_positive, up
from veilstream.errors import AccountingError

__all__ = ["check_order", "gaussian", "subsampled_gaussian"]


def gaussian(noise_multiplier: float, order: int) -> float:
    """Rényi divergence, in nats, of one Gaussian mechanism: α / (2σ²).

    Mironov, "Rényi Differential Privacy", arXiv 1702.07476, Corollary 3 (sensitivity 1, noise σ).
    σ = 0, or so small that σ² is 0, is +∞.

    Raises:
        AccountingError: σ NaN, infinite or negative; an order that is not an integer from 2 up.
    """
    check_order(order)
    check_positive(noise_multiplier, "a noise multiplier")
    variance = noise_multiplier * noise_multiplier
    if variance == 0.0:
        return math.inf
    return up(order / (2.0 * variance))


def subsampled_gaussian(sampling_rate: float, noise_multiplier: float, order: int) -> float:
    """Rényi divergence, in nats, of one step of the Poisson-subsampled Gaussian mechanism.

    Mironov, Talwar & Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", arXiv 1908.10530:
    log(A_α) / (α − 1), where for integer α (section 3.3, the exact sum)

        A_α = Σ_{k=0..α} C(α, k) (1 − q)^{α−k} q^k exp((k² − k) / (2σ²)),

    and by Theorem 5 the other direction is not larger. The binomial weights sum to 1, so A_α − 1 is the same
    sum with exp − 1, whose terms are all positive: nothing cancels, and a tiny q loses no digits.

    q = 0 is 0 (nobody is ever looked at), q = 1 is the Gaussian. What overflows is +∞.

    Raises:
        AccountingError: q outside [0, 1] or NaN; σ NaN, infinite or negative; a bad order.
    """
    check_order(order)
    check_positive(noise_multiplier, "a noise multiplier")
    if not 0.0 <= sampling_rate <= 1.0:
        raise AccountingError("a sampling rate is between 0 and 1")
    if sampling_rate == 0.0:
        return 0.0
    if sampling_rate == 1.0:
        return gaussian(noise_multiplier, order)
    variance = noise_multiplier * noise_multiplier
    if variance == 0.0:
        return math.inf
    taken = np.arange(2, order + 1, dtype=np.float64)  # k = 0 and k = 1 contribute exp(0) − 1 = 0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        exponents = (taken * taken - taken) / (2.0 * variance)
        terms = (
            _log_binomials(order)
            + (order - taken) * math.log1p(-sampling_rate)
            + taken * math.log(sampling_rate)
            + _log_expm1(exponents)
        )
        largest = float(np.max(terms))
        if math.isnan(largest) or largest == math.inf:
            return math.inf
        if largest == -math.inf:
            return LEAST
        log_excess = largest + math.log(float(np.sum(np.exp(terms - largest))))  # log(A_α − 1)
        divergence = float(np.logaddexp(0.0, log_excess)) / (order - 1)
    return up(divergence)


@cache
def _log_binomials(order: int) -> NDArray[np.float64]:
    """log C(α, k) for k = 2..α, each from the exact integer."""
    return np.array([math.log(math.comb(order, k)) for k in range(2, order + 1)])


def _log_expm1(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(eˣ − 1) without overflow: above 40, x itself is right to the last digit."""
    small = np.minimum(exponents, 40.0)
    return np.where(exponents > 40.0, exponents, np.log(np.expm1(small)))
