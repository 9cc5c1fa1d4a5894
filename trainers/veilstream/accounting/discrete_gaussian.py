"""Rényi divergence of the discrete Gaussian, plain and Poisson-subsampled, at integer orders α ≥ 2.

Every coordinate is an integer and gets independent noise of density ∝ exp(−x²/2σ²) on the integers.
Neighbours: add or remove all records of one person, who moves the sum by an integer vector s with ‖s‖₂² at
most `squared_sensitivity` (rounding to the lattice included). Both directions of the divergence are covered.
Of any lattice: σ and sensitivity are in steps of it.

The moment that decides is exact. For k an integer the sum over a coordinate

    E_{x~0}[ (p(x − s)/p(x))^k ] = exp((k² − k)·s²/2σ²) · Σₓ exp(−(x − ks)²/2σ²) / Σₓ exp(−x²/2σ²),

and the last factor is 1, since ks is an integer (Canonne, Kamath & Steinke, arXiv 2004.00010, proof of
Proposition 5; for other orders it is below 1). Coordinates multiply. So at integer orders the discrete
Gaussian has the continuous one's curve to the last digit, and `rdp` computes it.
"""

from __future__ import annotations

import math

from veilstream.accounting.rdp import gaussian, subsampled_gaussian
from veilstream.accounting.rounding import SLACK, check_order, check_positive
from veilstream.errors import AccountingError

__all__ = ["discrete_gaussian", "subsampled_discrete_gaussian"]


def discrete_gaussian(scale: float, order: int, *, squared_sensitivity: int = 1) -> float:
    """Rényi divergence, in nats: exactly α·Δ²/(2σ²), rounded up, in any number of dimensions.

    Canonne, Kamath & Steinke, arXiv 2004.00010, Theorem 14 (½Δ²/σ²-concentrated).

    Args:
        scale: σ, in steps of the lattice (the noise's standard deviation is below it).
        squared_sensitivity: Δ², in squared steps; 0 is a person who changes nothing, and costs 0.

    σ = 0 is +∞.

    Raises:
        AccountingError: σ NaN, infinite or negative; Δ² not an integer from 0 up; a bad order.
    """
    check_order(order)
    multiplier = _multiplier(scale, squared_sensitivity)
    return 0.0 if multiplier is None else gaussian(multiplier, order)


def subsampled_discrete_gaussian(
    sampling_rate: float, scale: float, order: int, *, squared_sensitivity: int = 1
) -> float:
    """Rényi divergence, in nats, of one Poisson-subsampled step: the sum of `rdp.subsampled_gaussian`.

    Its terms are the moments above, which the lattice leaves as they are; they grow with ‖s‖₂, so the worst
    neighbour is one of norm Δ. That removing is the worse direction is Theorem 5 of arXiv 1908.10530, which
    needs a measure-preserving involution that swaps p(x) and p(x − s): x ↦ s − x, which maps the lattice onto
    itself.

    Raises:
        AccountingError: q outside [0, 1] or NaN, and as `discrete_gaussian`.
    """
    multiplier = _multiplier(scale, squared_sensitivity)
    if multiplier is None:
        return subsampled_gaussian(sampling_rate, 1.0, order) * 0.0  # 0, but a bad rate is told all the same
    return subsampled_gaussian(sampling_rate, multiplier, order)


def _multiplier(scale: float, squared_sensitivity: int) -> float | None:
    """σ/Δ, rounded down; None for Δ = 0."""
    check_positive(scale, "a noise scale")
    if type(squared_sensitivity) is not int or squared_sensitivity < 0:
        raise AccountingError("a squared sensitivity is an integer from 0 up, in steps of the lattice")
    if squared_sensitivity == 0:
        return None
    return scale / math.sqrt(squared_sensitivity) / SLACK if squared_sensitivity > 1 else scale
