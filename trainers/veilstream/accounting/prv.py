"""PRV: the exact ε of a sampled run between two bounds, by convolving its privacy loss random variable.

A second opinion beside PLD, after Gopi, Lee & Wutschitz, "Numerical Composition of Differential Privacy",
arXiv 2106.02848: losses are rounded to the *nearest* point of a grid and recentred, so that rounding errors
average out over the steps instead of adding up, and the grid can be coarse. The error is bounded in
probability; `prv_bracket` says how. Like PLD it is a guarantee only for parameters fixed beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilstream.accounting.conversion import check_delta
from veilstream.accounting.rdp import subsampled_gaussian
from veilstream.errors import AccountingError, MissingExtra

__all__ = ["prv_bracket"]

LEAST_DELTA = 1e-10
"""Below it the rounding errors of a Fourier transform decide."""

_MOST_POINTS = 2**25
_ORDERS = tuple(range(2, 129))


def prv_bracket(
    sampling_rate: float, noise_multiplier: float, steps: int, delta: float, *, error: float = 0.01
) -> tuple[float, float]:
    """A lower and an upper bound, 2·`error` apart or a little more, on the exact ε at `delta`.

    Of `steps` steps of the Poisson-subsampled Gaussian, add/remove. 10–500 ms. q = 0 is (0, 0); σ = 0 is +∞.

    Why it is so. Let Y be the sum of the steps' losses Yᵢ. Outputs beyond ±X have probability at most η a
    step. For the rest Zᵢ is Yᵢ rounded to the grid of width h, moved by the mean rounding error: the
    differences Yᵢ − Zᵢ are independent, of mean 0 and inside an interval of length h, so by Hoeffding
    |Y − ΣZᵢ| ≤ `error` but for a probability of 2·exp(−2·error²/(steps·h²)). ΣZᵢ is computed modulo a window
    that it leaves with a small probability (Chernoff, by the Rényi divergences). δ(ε) = E[(1 − e^{ε−Y})₊] has
    values in [0, 1] and rises with Y, so δ_Z(ε + error) − p ≤ δ_Y(ε) ≤ δ_Z(ε − error) + p, p the sum of these
    probabilities, here δ/1000, and of the rounding errors of the transform. Both
    directions are computed; the larger counts.

    Raises:
        AccountingError: a parameter outside its domain, δ below 1e-10 (or so small that rounding errors reach
            half of it: many steps), or a run too wide for the grid.
        MissingExtra: scipy, which dp-accounting brings, is not installed.
    """
    check_delta(delta)
    if delta < LEAST_DELTA:
        raise AccountingError("PRV takes δ from 1e-10 up", hint="PLD goes further down")
    if type(steps) is not int or steps < 1:
        raise AccountingError("steps is an integer from 1 up")
    if not (math.isfinite(error) and error > 0.0):
        raise AccountingError("an error of ε is a finite number above 0")
    curve = [subsampled_gaussian(sampling_rate, noise_multiplier, order) * steps for order in _ORDERS]
    if sampling_rate == 0.0 or noise_multiplier == 0.0:
        exact = 0.0 if sampling_rate == 0.0 else math.inf
        return exact, exact
    share = delta / 1000 / 8
    plan = _Grid(
        steps=steps,
        width=error * math.sqrt(2.0 / (steps * math.log(2.0 / share))),
        error=error,
        outside=share / steps,
        top=min((-math.log(share) + (a - 1) * d) / (a - 1) for a, d in zip(_ORDERS, curve, strict=True)),
        bottom=min(
            -math.log(share),
            *((-math.log(share) + (a - 1) * d) / a for a, d in zip(_ORDERS, curve, strict=True)),
        ),
    )
    bounds = [
        _one_direction(sampling_rate, noise_multiplier, plan, delta, removing) for removing in (True, False)
    ]
    return max(low for low, _ in bounds), max(high for _, high in bounds)


@dataclass(frozen=True, slots=True)
class _Grid:
    steps: int
    width: float  # h, nats
    error: float
    outside: float  # η
    top: float  # Y is above with probability at most δ/8000
    bottom: float  # and below its negative


def _one_direction(q: float, sigma: float, grid: _Grid, delta: float, removing: bool) -> tuple[float, float]:
    masses, first, mean = _rounded_loss(q, sigma, grid, removing)
    shift = grid.steps * mean
    start = math.floor((-grid.bottom - grid.error - shift) / grid.width) - 1
    stop = math.ceil((grid.top + grid.error - shift) / grid.width) + 1
    size = max(stop - start, len(masses))
    if size > _MOST_POINTS:
        raise AccountingError("this run's losses are too wide for PRV", hint="raise the error, or use PLD")
    size = 1 << (size - 1).bit_length()
    padded = np.zeros(size)
    padded[: len(masses)] = masses
    summed = np.fft.irfft(np.fft.rfft(padded) ** grid.steps, size)
    summed = np.roll(summed, (grid.steps * first - start) % size)  # index 0 is the grid point `start`
    loss: NDArray[np.float64] = (np.arange(size, dtype=np.float64) + start) * grid.width + shift
    keep = loss > 0.0
    probability, loss = np.maximum(summed[keep], 0.0), loss[keep]
    spare = delta / 1000 + _rounding(summed, grid.steps)
    if spare >= delta / 2:
        raise AccountingError("this δ is below what PRV computes for so many steps", hint="use PLD")
    low = _epsilon(probability, loss, grid.width, delta + spare) - grid.error
    high = _epsilon(probability, loss, grid.width, delta - spare) + grid.error
    return max(0.0, low), max(0.0, high)


def _rounding(summed: NDArray[np.float64], steps: int) -> float:
    """What floating point may add to δ or take from it.

    A transform is off by some log₂ N units in the last place, its power by `steps` times as many, relative to
    the norm of the sum (Parseval); over any set of points that is at most √N times the norm (Cauchy-Schwarz).
    The distribution functions are off by a unit a step.
    """
    size = len(summed)
    units = 2.0**-52 * steps * (4.0 + math.log2(size))
    return units * (1.0 + math.sqrt(size) * float(np.linalg.norm(summed)))


def _rounded_loss(
    q: float, sigma: float, grid: _Grid, removing: bool
) -> tuple[NDArray[np.float64], int, float]:
    """Probabilities of the grid points from `first` on, and the mean of Y minus the grid point."""
    try:
        from scipy.special import ndtr, ndtri
    except ImportError:
        raise MissingExtra("scipy is not installed", hint="pip install 'veilstream[trainers]'") from None
    reach = float(-ndtri(grid.outside / 2)) * sigma
    low, high = -reach, reach + (1.0 if removing else 0.0)  # outputs: N(0, σ²), or that and N(1, σ²) mixed
    weight = q if removing else 0.0

    def mass_below(x: NDArray[np.float64]) -> NDArray[np.float64]:
        below: NDArray[np.float64] = (1.0 - weight) * ndtr(x / sigma) + weight * ndtr((x - 1.0) / sigma)
        return below

    def loss(x: NDArray[np.float64]) -> NDArray[np.float64]:
        """log of mixture over Gaussian: rises with x."""
        exponent = (2.0 * x - 1.0) / (2.0 * sigma * sigma)
        with np.errstate(divide="ignore"):
            value: NDArray[np.float64] = np.logaddexp(np.log1p(-q), math.log(q) + exponent)
        return value

    # Adding has the loss −loss(x) under N(0, σ²): its grid is the mirror image.
    sign = 1.0 if removing else -1.0
    ends = loss(np.array([low, high]))
    first, last = round(ends[0] / grid.width), round(ends[1] / grid.width)
    if last - first > _MOST_POINTS:
        raise AccountingError("this run's losses are too wide for PRV", hint="raise the error, or use PLD")
    edges = (np.arange(first, last) + 0.5) * grid.width
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = sigma * sigma * (edges + np.log1p((q - 1.0) * np.exp(-edges)) - math.log(q)) + 0.5
    cuts = np.concatenate(([low], np.clip(np.nan_to_num(inverse, nan=low), low, high), [high]))
    masses = np.diff(mass_below(cuts))
    inside = float(masses.sum())
    # The integrand is smooth and vanishes at both ends, where the trapezoid rule converges beyond doubles.
    x = np.linspace(low, high, 200_001)
    density = (1.0 - weight) * np.exp(-(x**2) / (2 * sigma**2)) + weight * np.exp(
        -((x - 1.0) ** 2) / (2 * sigma**2)
    )
    mean = float(np.sum(density * loss(x)) / np.sum(density))
    points = np.arange(first, last + 1)
    centre = float(np.dot(masses, points)) / inside * grid.width
    if removing:
        return masses / inside, first, mean - centre
    return masses[::-1] / inside, -last, sign * (mean - centre)


def _epsilon(
    probability: NDArray[np.float64], loss: NDArray[np.float64], width: float, delta: float
) -> float:
    """The least ε ≥ 0 with Σ p·(1 − e^{ε−loss})₊ ≤ δ, of losses that rise from above 0 by `width`."""
    from scipy.signal import lfilter

    if not len(loss):
        return 0.0
    above = np.cumsum(probability[::-1])[::-1]
    # Σ_{i≥j} p_i·e^{loss_j − loss_i}: relative to each point, so that no loss is too large for a double.
    faded = lfilter([1.0], [1.0, -math.exp(-width)], probability[::-1])[::-1]
    at = int(np.argmax(above - faded <= delta))  # δ at each grid point; at the last it is 0
    if above[at] <= delta:
        return float(loss[at - 1]) if at else 0.0
    return max(0.0, float(loss[at]) + math.log((above[at] - delta) / faded[at]))
