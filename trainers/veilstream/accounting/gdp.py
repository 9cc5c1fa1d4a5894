"""Gaussian differential privacy: the exact (ε, δ) curve of a Gaussian mechanism, and μ.

A mechanism is μ-GDP when telling neighbours apart from its output is no easier than telling N(0, 1) from
N(μ, 1) (Dong, Roth & Su, arXiv 1905.02383). Only unsampled Gaussians have a μ of their own. For a sampled one
a "μ" from a central limit theorem is an approximation from either side and no bound: `certified` makes one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from veilstream.accounting.conversion import check_delta
from veilstream.accounting.rounding import SLACK, check_positive
from veilstream.errors import AccountingError

__all__ = ["gaussian_delta", "gaussian_epsilon", "gaussian_mu", "mu_at"]

_ERROR = 2.0**-44  # of one Mills ratio, relative


def gaussian_mu(noise_multipliers: Iterable[float]) -> float:
    """μ of the composition of unsampled Gaussians: √Σ 1/σ², exact, rounded up.

    Dong, Roth & Su, arXiv 1905.02383, Corollary 3.3. The σ must be fixed beforehand or chosen within a filter
    (a sum of 1/σ² that stays below a public bound is one: Smith & Thakurta, arXiv 2210.17520).
    None at all is 0; a σ of 0 is +∞.

    Raises:
        AccountingError: a σ NaN, infinite or negative.
    """
    total = 0.0
    for noise in noise_multipliers:
        check_positive(noise, "a noise multiplier")
        total += math.inf if noise * noise == 0.0 else 1.0 / (noise * noise)
    return math.sqrt(total) * SLACK


def gaussian_delta(mu: float, epsilon: float) -> float:
    """δ at `epsilon` of N(0, 1) against N(μ, 1): Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ), rounded up.

    Balle & Wang, "Improving the Gaussian Mechanism", arXiv 1805.06530, Theorem 8. Computed by Mills ratios,
    so that e^ε does not overflow and the tails keep their digits. μ = 0 is 0, μ = +∞ is 1.

    Raises:
        AccountingError: μ or ε NaN or negative, ε infinite.
    """
    value, error = _delta(mu, epsilon)
    return min(1.0, value + error)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least ε ≥ 0 at which N(0, 1) against N(μ, 1) has δ: exact, rounded up. Some 50 µs.

    μ = 0 is 0, μ = +∞ is +∞.

    Raises:
        AccountingError: μ NaN or negative, δ outside (0, 1).
    """
    check_delta(delta)
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    if math.isinf(mu):
        return math.inf
    # At ε = μ²/2 + μ·t the first term is Φ(−t), which alone is at most δ.
    low, high = 0.0, mu * mu / 2 + mu * (math.sqrt(-2.0 * math.log(delta)) + 1.0)
    while high - low > high * 2.0**-46:
        middle = (low + high) / 2
        low, high = (low, middle) if gaussian_delta(mu, middle) <= delta else (middle, high)
    return high


def mu_at(epsilon: float, delta: float) -> float:
    """The least μ whose curve goes through or above (ε, δ), rounded up: ε_μ(δ) ≥ ε.

    ε = 0 is 0: every curve is there or above.

    Raises:
        AccountingError: ε NaN, infinite or negative, δ outside (0, 1).
    """
    check_delta(delta)
    check_positive(epsilon, "ε")
    if epsilon == 0.0:
        return 0.0
    low, high = 0.0, 1.0
    while not _reaches(high, epsilon, delta):
        low, high = high, high * 2.0
    while high - low > high * 2.0**-40:
        middle = (low + high) / 2
        low, high = (low, middle) if _reaches(middle, epsilon, delta) else (middle, high)
    return high


def _reaches(mu: float, epsilon: float, delta: float) -> bool:
    value, error = _delta(mu, epsilon)
    return value - error >= delta


def _delta(mu: float, epsilon: float) -> tuple[float, float]:
    """δ, and a bound on its error."""
    if math.isnan(mu) or mu < 0.0:
        raise AccountingError("μ is a number from 0 up")
    check_positive(epsilon, "ε")
    if mu == 0.0 or math.isinf(epsilon / mu):
        return 0.0, 0.0
    if math.isinf(mu):
        return 1.0, 0.0
    above, below = epsilon / mu - mu / 2, epsilon / mu + mu / 2
    density = math.exp(-above * above / 2) / math.sqrt(2 * math.pi)  # and e^ε·φ(below) is the same
    if density == 0.0 and above > 0.0:
        return 0.0, math.ulp(0.0)
    # ε/μ and μ/2 are off by an ulp each, which the exponent multiplies by `above`.
    error = density * _mills(below) * (_ERROR + 2.0**-50 * abs(above) * below)
    if above <= 0.0:
        return 0.5 * math.erfc(above / math.sqrt(2)) - density * _mills(below), error + _ERROR
    first = _mills(above)
    error += density * first * (_ERROR + 2.0**-50 * above * below)
    return density * (first - _mills(below)), error


def _mills(x: float) -> float:
    """Mills ratio (1 − Φ(x))/φ(x), x ≥ 0; from 5 up its continued fraction, Abramowitz & Stegun 26.2.14."""
    if x < 5.0:
        return 0.5 * math.erfc(x / math.sqrt(2)) * math.exp(x * x / 2) * math.sqrt(2 * math.pi)
    tail = x
    for n in range(60, 0, -1):
        tail = x + n / tail
    return 1.0 / tail
