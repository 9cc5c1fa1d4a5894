"""Budget moved between models by how useful they are, where *how useful* is itself a charged, noisy release.

    noisy = measure_utility(contributions, noise, ...)     # its price is in a demand, charged beforehand
    shares = reallocate(shares, noisy, rate=0.5, floor=0.05)
    allotments = split(units, shares)

**Formal statement.** `measure_utility` is one Gaussian mechanism without subsampling. A person contributes
one vector, a utility for each of the K models; it is clipped to L2 norm C and the sum over people gets noise
σ·C in each coordinate. Under adding or removing one person its L2 sensitivity is C, and its Rényi divergence
at order α is α/(2σ²) (Mironov, arXiv 1702.07476, Corollary 3): `utility_charges`. All else is
post-processing: `reallocate` sees noisy values and earlier shares alone, `split` and every later price,
schedule and allotment are functions of releases. Each later charge goes through the filter, whose orders
were fixed beforehand, so the whole is (ε, δ)-differentially private: fully adaptive composition, Feldman &
Zrnic, arXiv 2008.11193; Lécuyer, arXiv 2103.01379. There is no free look at private quality: a
`NoisyUtility` carries its price, and `reallocate` takes nothing else.

The guarantee is in real arithmetic: the noise that is handed in is floating point (Mironov, CCS 2012).

**Edge cases.** A contribution that is not finite becomes zero, silently from outside; no people at all gives
noise alone; noise of the wrong shape, C or σ not above 0: AccountingError.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from veilstream.accounting import window_charges
from veilstream.errors import AccountingError

__all__ = ["NoisyUtility", "measure_utility", "reallocate", "split", "utility_charges"]


@dataclass(frozen=True, slots=True)
class NoisyUtility:
    """A released utility of each model, the noise that is in it, and what it cost at each order."""

    values: Mapping[str, float]
    noise_multiplier: float
    charges: tuple[int, ...]


def utility_charges(orders: Sequence[int], noise_multiplier: float) -> tuple[int, ...]:
    """Units at each order of one measurement: charge them before it is made.

    Raises AccountingError for an order or a noise multiplier outside its domain.
    """
    return window_charges(orders, 1.0, noise_multiplier, 1)


def measure_utility(
    contributions: NDArray[np.float64],
    noise: NDArray[np.float64],
    models: Sequence[str],
    *,
    orders: Sequence[int],
    clip_norm: float,
    noise_multiplier: float,
    people: float,
) -> NoisyUtility:
    """The noisy mean utility of each model. The price must have been charged: it is not done here.

    Args:
        contributions: people × models, a person's utilities from their own records alone.
        noise: one standard normal value for each model, from the secret generator of `veilstream.dp`.
        people: the divisor: a *public* number of people, never the rows of `contributions`.

    Raises:
        AccountingError: see the module.
    """
    if contributions.ndim != 2 or contributions.shape[1] != len(models) or noise.shape != (len(models),):
        raise AccountingError("contributions are people × models, and the noise one number for each model")
    for what, value in (("clip_norm", clip_norm), ("noise_multiplier", noise_multiplier), ("people", people)):
        if not (math.isfinite(value) and value > 0):
            raise AccountingError(f"{what} is a finite number above 0")
    if not np.isfinite(noise).all():
        raise AccountingError("the noise is not finite")
    finite = np.isfinite(contributions).all(axis=1, keepdims=True)
    clean = np.where(finite, contributions, 0.0)
    # The norm by way of the largest entry: squares of huge entries would overflow.
    largest = np.maximum(np.abs(clean).max(axis=1, keepdims=True, initial=0.0), 1e-300)
    relative = clean / largest
    norms = np.sqrt((relative**2).sum(axis=1, keepdims=True))  # in units of `largest`: 0, or 1 to √K
    allowed = clip_norm * (1 - 2**-40) / np.maximum(norms, 1.0)  # a margin for the rounding
    clipped = relative * np.minimum(largest, allowed)
    noisy = (clipped.sum(axis=0) + noise * noise_multiplier * clip_norm) / people
    return NoisyUtility(
        dict(zip(models, map(float, noisy), strict=True)),
        noise_multiplier,
        utility_charges(orders, noise_multiplier),
    )


def reallocate(
    shares: Mapping[str, float], utility: NoisyUtility, *, rate: float, floor: float = 0.0
) -> dict[str, float]:
    """New shares, in proportion to share·exp(rate·utility): multiplicative weights (Hedge).

    Freund & Schapire, "A Decision-Theoretic Generalization of On-Line Learning", 1997; Arora, Hazan & Kale,
    "The Multiplicative Weights Update Method", 2012. For values in [−1, 1], rate at most 1 and floor 0, after
    R rounds the shares' average utility is at least any one model's less ln K/(rate·R) + rate. Values outside
    [−1, 1], which noise makes, are clipped to it. Every model keeps at least `floor`, so that one that was
    unlucky once can come back (Herbster & Warmuth, "Tracking the Best Linear Predictor", 2001).

    Raises:
        AccountingError: models that differ, shares that are negative or do not sum to 1, a value that is NaN,
            a rate or floor outside [0, 1] or [0, 1/K].
    """
    if set(shares) != set(utility.values) or not shares:
        raise AccountingError("shares and utilities are for the same models, one at least")
    if any(not share >= 0.0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1.0):
        raise AccountingError("shares are numbers from 0 up that sum to 1")
    if any(math.isnan(value) for value in utility.values.values()):
        raise AccountingError("a utility is NaN")
    if not 0.0 <= rate <= 1.0 or not 0.0 <= floor <= 1.0 / len(shares):
        raise AccountingError("a rate is from 0 to 1, and a floor from 0 to 1/K")
    grown = {
        model: share * math.exp(rate * min(1.0, max(-1.0, utility.values[model])))
        for model, share in sorted(shares.items())
    }
    return _at_least(grown, floor)


def _at_least(weights: Mapping[str, float], floor: float) -> dict[str, float]:
    """The nearest shares (in relative entropy) of which none is below `floor`: who is below gets it."""
    low: set[str] = set()
    while True:
        rest = sum(weight for model, weight in weights.items() if model not in low)
        spare = 1.0 - floor * len(low)
        shares = {m: floor if m in low else spare * weight / rest for m, weight in weights.items()}
        below = {model for model, share in shares.items() if share < floor and model not in low}
        if not below or len(low | below) == len(weights):
            return shares if not below else dict.fromkeys(weights, 1.0 / len(weights))
        low |= below


def split(units: Sequence[int], shares: Mapping[str, float]) -> dict[str, tuple[int, ...]]:
    """An allotment of units at each order for each model. Rounded down, so they never sum to more.

    Raises AccountingError for units or shares below 0, and for shares that are not finite or sum to 0.
    """
    if any(type(amount) is not int or amount < 0 for amount in units):
        raise AccountingError("units are integers from 0 up")
    if not shares or any(not (math.isfinite(share) and share >= 0.0) for share in shares.values()):
        raise AccountingError("shares are finite numbers from 0 up")
    exact = {model: Fraction(share) for model, share in shares.items()}
    total = sum(exact.values())
    if total == 0:
        raise AccountingError("one share at least is above 0")
    return {
        model: tuple(math.floor(amount * share / total) for amount in units) for model, share in exact.items()
    }
