"""Statistical gates: is this noise what it claims to be, and does one person move the sum by at most C?

Every gate has a false-alarm probability of at most `ALPHA` on a correct mechanism; every bound is exact or a
proved tail bound, not a normal approximation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

__all__ = [
    "ALPHA",
    "Verdict",
    "coordinate_gate",
    "correlation_gate",
    "samples_needed",
    "scale_gate",
    "sensitivity_gate",
]

ALPHA = 1e-9
"""Chance that a gate refuses a correct mechanism: about once in a project's life, at a thousand runs a day
for a thousand days."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate found: `passed`, the statistic, and the interval it had to lie in."""

    passed: bool
    statistic: float
    low: float
    high: float


def samples_needed(tolerance: float = 0.02, alpha: float = ALPHA) -> int:
    """How many normals `scale_gate` needs to refuse a scale that is off by `tolerance` either way.

    The mean square of n normals of scale s is s²·χ²_n/n, and χ²_n has tails no heavier than (Laurent &
    Massart, Ann. Stat. 28, 2000, lemma 1, L = ln(2/alpha)): above n + 2√(nL) + 2L, and below n - 2√(nL), each
    with probability at most alpha/2. The gate's interval is inside [1 - 2√(L/n), 1 + 2√(L/n) + 2L/n]. A scale
    of 1 - t puts the mean square below (1 - t)²·(1 + 2√(L/n) + 2L/n) but for alpha/2, and one of 1 + t above
    (1 + t)²·(1 - 2√(L/n)): n must separate both from the interval. (For 2 % and 1e-9: some 221,000.)
    """
    tail = math.log(2 / alpha)
    n = 1
    while True:
        low, high = 1 - 2 * math.sqrt(tail / n), 1 + 2 * math.sqrt(tail / n) + 2 * tail / n
        if (1 - tolerance) ** 2 * high < low and (1 + tolerance) ** 2 * low > high:
            return n
        n = int(n * 1.02) + 1


def scale_gate(noise: torch.Tensor, scale: float, *, alpha: float = ALPHA) -> Verdict:
    """χ² on the scale: are these independent N(0, scale²)? Two-sided, exact.

    Σ(x/scale)² is χ² with n degrees of freedom, so it lies between its alpha/2 and 1 - alpha/2 quantiles but
    with probability alpha. With `samples_needed(t)` values it refuses a scale off by t with probability at
    least 1 - alpha/2. NaN or infinity is refused; no values at all are refused.
    """
    values = noise.to(torch.float64).flatten() / scale
    n = values.numel()
    statistic = float(values.square().sum())
    low, high = _chi2_quantile(alpha / 2, n), _chi2_quantile(1 - alpha / 2, n)
    return Verdict(n > 0 and low <= statistic <= high, statistic, low, high)


def coordinate_gate(noise: torch.Tensor, scale: float, *, alpha: float = ALPHA) -> Verdict:
    """The χ² of each coordinate over the steps: does every single one get its noise?

    Args:
        noise: [steps, coordinates].
        alpha: over all coordinates together (Bonferroni).

    Returns:
        The verdict on the worst coordinate.
    """
    steps, coordinates = noise.shape
    sums = (noise.to(torch.float64) / scale).square().sum(dim=0)
    low = _chi2_quantile(alpha / 2 / coordinates, steps)
    high = _chi2_quantile(1 - alpha / 2 / coordinates, steps)
    middle = (low + high) / 2
    worst = float(sums[(sums - middle).abs().argmax()])
    inside = bool(((sums >= low) & (sums <= high)).all())
    return Verdict(inside, worst, low, high)


def correlation_gate(a: torch.Tensor, b: torch.Tensor, scale: float, *, alpha: float = ALPHA) -> Verdict:
    """Are two noises of the same shape independent? For steps against later steps, and runs against runs.

    For independent standard normals S = Σ x_i y_i has ln E exp(tS) = -n/2·ln(1 - t²) <= n t²/(2(1 - |t|)).
    Where y is x some steps later, S is a quadratic form of trace 0, operator norm at most 1 and squared
    Frobenius norm n/2, and ln E exp(tS) <= n t²/(2(1 - 2|t|)). Both are sub-gamma of variance n and scale 2,
    so |S| <= √(2nL) + 2L, L = ln(2/alpha), but for alpha (Boucheron, Lugosi & Massart, Concentration
    Inequalities, 2.4). A noise that is used again gives S of about n: caught from n of some 130 on.
    """
    x, y = a.to(torch.float64).flatten() / scale, b.to(torch.float64).flatten() / scale
    tail = math.log(2 / alpha)
    bound = math.sqrt(2 * x.numel() * tail) + 2 * tail
    statistic = float(x @ y)
    return Verdict(x.numel() > 0 and abs(statistic) <= bound, statistic, -bound, bound)


def sensitivity_gate(
    with_person: torch.Tensor, without: torch.Tensor, clip_norm: float, *, reach: float = 0.9
) -> Verdict:
    """Two released sums of the same noise, with and without one person: at most C apart, and near to it.

    The person must be chosen so that the norm of their gradient is above C: then a correct step moves by C
    less the margin. A move above C breaks the guarantee; one below `reach`·C means that something other than
    the person was clipped, or that the sum was divided by who was there. Deterministic: no false alarms but
    for rounding, for which 1e-9·C is allowed.
    """
    moved = float((with_person.to(torch.float64) - without.to(torch.float64)).norm())
    low, high = reach * clip_norm, clip_norm * (1 + 1e-9)
    return Verdict(low <= moved <= high, moved, low, high)


def _chi2_quantile(probability: float, degrees: int) -> float:
    """The quantile of χ², by bisection on the regularised incomplete gamma function."""
    shape = torch.tensor(degrees / 2, dtype=torch.float64)
    upper = probability > 0.5
    target = 1 - probability if upper else probability
    spread = 40 * math.sqrt(2 * degrees) + 200
    low, high = max(0.0, degrees - spread), degrees + spread
    for _ in range(200):
        middle = (low + high) / 2
        half = torch.tensor(middle / 2, dtype=torch.float64)
        tail = torch.special.gammaincc(shape, half) if upper else torch.special.gammainc(shape, half)
        # The upper tail falls with the argument, the lower one rises.
        if (float(tail) > target) == upper:
            low = middle
        else:
            high = middle
    return (low + high) / 2
