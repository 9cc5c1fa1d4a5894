"""Rényi divergence of the Skellam mechanism, at integer orders α ≥ 2.

Every coordinate is an integer and gets the difference of two independent Poisson variables of mean
variance/2. Neighbours: add or remove all records of one person, who moves the sum by an integer vector with
the L1 and squared L2 norms given (rounding to the lattice included). The noise is symmetric: both directions
are alike. Sums of Skellam noise are Skellam, so n parties that each add variance/n are one mechanism.
"""

from __future__ import annotations

from veilstream.accounting.rounding import check_order, check_positive, up
from veilstream.errors import AccountingError

__all__ = ["skellam"]


def skellam(variance: float, order: int, *, l1_sensitivity: int, squared_l2_sensitivity: int) -> float:
    """Rényi divergence, in nats, of noise of `variance` μ (in squared steps of the lattice): an upper bound.

    Agarwal, Kairouz & Liu, "The Skellam Mechanism for Differentially Private Federated Learning",
    arXiv 2110.04995, Theorem 3.5 and its multi-dimensional corollary, for integer α > 1:

        α·Δ₂²/(2μ) + min( ((2α − 1)·Δ₂² + 6·Δ₁)/(4μ²), 3·Δ₁/(2μ) ).

    Of integer vectors Δ₁ ≤ Δ₂² and Δ₂² ≤ Δ₁²: the smaller counts. A person who changes nothing costs 0;
    μ = 0 is +∞.

    Raises:
        AccountingError: μ NaN, infinite or negative; a sensitivity that is no integer from 0 up; a bad order.
    """
    check_order(order)
    check_positive(variance, "a variance")
    for sensitivity in (l1_sensitivity, squared_l2_sensitivity):
        if type(sensitivity) is not int or sensitivity < 0:
            raise AccountingError("a sensitivity is an integer from 0 up, in steps of the lattice")
    one = min(l1_sensitivity, squared_l2_sensitivity)
    two = min(squared_l2_sensitivity, l1_sensitivity * l1_sensitivity)
    if two == 0:
        return 0.0
    if variance == 0.0:
        return up(float("inf"))
    inverse = 1.0 / variance
    near = ((2 * order - 1) * two + 6 * one) * inverse * inverse / 4
    far = 3 * one * inverse / 2
    return up(order * two * inverse / 2 + min(near, far))
