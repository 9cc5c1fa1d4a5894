"""A matrix-factorised run (correlated noise): **one** Gaussian mechanism over the whole horizon.

The run releases B(Cx + z) = Ax + Bz, x the clipped sums of n rounds, z Gaussian of standard deviation σ times
the clipping bound. It is post-processing of Cx + z, a Gaussian mechanism whose sensitivity is that of C over
the *whole* horizon, for a person who takes part in at most `participations` rounds, any two of them at least
`separation` rounds apart, and contributes a vector of norm at most 1 to each. Rounds may be chosen after
seeing earlier ones (Denisov et al., "Improved Differential Privacy for SGD via Optimal Private Linear
Operators on Adaptive Streams", arXiv 2202.08312, Theorem 2.1: C lower triangular). Neighbours: add or remove
all records of one person.

The whole is paid at first participation: charged round by round, as if rounds were independent, a square-root
factorisation of 365 rounds pays several times too little for 12 participations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilstream.accounting.rdp import gaussian
from veilstream.accounting.rounding import SLACK, check_order, check_positive
from veilstream.errors import AccountingError

__all__ = [
    "factorised",
    "sensitivity_bound",
    "square_root_coefficients",
    "toeplitz_sensitivity",
]


def factorised(noise_multiplier: float, sensitivity: float, order: int) -> float:
    """Rényi divergence, in nats, of the whole run: α·s²/(2σ²), s from one of the two functions below.

    s = 0 (no round) is 0, σ = 0 is +∞. Never subsampled: amplification is not proved for this mechanism here.

    Raises:
        AccountingError: σ or s NaN, infinite or negative; a bad order.
    """
    check_order(order)
    check_positive(noise_multiplier, "a noise multiplier")
    check_positive(sensitivity, "a sensitivity")
    return gaussian(noise_multiplier / sensitivity / SLACK, order) if sensitivity else 0.0


def square_root_coefficients(
    rounds: int, *, decay: float = 1.0, momentum: float = 0.0, bandwidth: int | None = None
) -> NDArray[np.float64]:
    """First column of the square root of the workload, `rounds` numbers, positive and not increasing.

    For prefix sums r_j = C(2j, j)/4^j (Fichtenberger, Henzinger & Upadhyay, arXiv 2202.11205). For SGD with
    weight decay α and momentum β < α, c_j = Σ_i α^{j−i} r_{j−i} r_i β^i (Kalinin & Lampert, "Banded Square
    Root Matrix Factorization", arXiv 2405.13763, Theorem 1). A `bandwidth` of p zeroes all but the first p.

    Raises:
        AccountingError: rounds or bandwidth below 1; decay outside (0, 1], momentum outside [0, decay).
    """
    _check_count(rounds, "rounds")
    if not (0.0 < decay <= 1.0 and 0.0 <= momentum < decay):
        raise AccountingError("decay is in (0, 1], momentum in [0, decay)")
    index = np.arange(1, rounds)
    root = np.concatenate(([1.0], np.cumprod((2 * index - 1) / (2 * index))))
    powers = np.arange(rounds)
    column = np.convolve(root * decay**powers, root * momentum**powers)[:rounds]
    column = np.minimum.accumulate(column)  # equal neighbours may differ in their last digit
    if bandwidth is not None:
        _check_count(bandwidth, "a bandwidth")
        column[bandwidth:] = 0.0
    return column


def toeplitz_sensitivity(coefficients: Sequence[float], participations: int, separation: int) -> float:
    """Sensitivity of a lower-triangular Toeplitz C with this first column: exact, rounded up.

    Kalinin & Lampert, arXiv 2405.13763, Theorem 2: for coefficients c_0 ≥ c_1 ≥ … ≥ 0 the worst person takes
    part in rounds 0, b, 2b, … with the same vector each time, so s = ‖Σ_{j<k} C[:, jb]‖. O(k·n).

    Raises:
        AccountingError: coefficients that rise, are negative or not finite, or none; k or b below 1.
    """
    column = np.asarray(coefficients, dtype=np.float64)
    _check_count(participations, "participations")
    _check_count(separation, "a separation")
    if column.ndim != 1 or not len(column) or not np.all(np.isfinite(column)) or column[-1] < 0.0:
        raise AccountingError("coefficients are finite numbers from 0 up")
    if np.any(np.diff(column) > 0.0):
        raise AccountingError("coefficients do not rise", hint="sensitivity_bound takes any matrix")
    rounds = len(column)
    total = np.zeros(rounds)
    for start in range(0, min(rounds, participations * separation), separation):
        total[start:] += column[: rounds - start]
    return float(np.linalg.norm(total)) * SLACK


def sensitivity_bound(matrix: NDArray[np.float64], participations: int, separation: int) -> float:
    """An upper bound on the sensitivity of any C (rounds are columns), by dynamic programming. O(k·n²).

    With X = |CᵀC| and vectors of norm at most 1, ‖Σ_{i∈π} C_i uᵢᵀ‖² ≤ Σ_{i,j∈π} X_ij for each allowed set π
    of rounds (Choquette-Choo et al., arXiv 2306.08153, Section 3, take the same sum for C with CᵀC ≥ 0, where
    it is attained). For each i, the largest Σ_{j∈π} X_ij over π that hold i bounds the row; the largest sum
    of these over π bounds all. Equal to the exact value for one participation, and where one π is worst for
    every row. Memory k·n².

    Raises:
        AccountingError: not a finite matrix; k or b below 1.
    """
    _check_count(participations, "participations")
    _check_count(separation, "a separation")
    factor = np.asarray(matrix, dtype=np.float64)
    if factor.ndim != 2 or not np.all(np.isfinite(factor)):
        raise AccountingError("a factor is a matrix of finite numbers")
    if factor.shape[1] == 0:
        return 0.0
    gram = np.abs(factor.T @ factor)
    # Rounding of the products, relative to what is added up, so that a cancelled entry is bounded as well.
    gram += np.abs(factor).T @ np.abs(factor) * (len(factor) + 8) * 2.0**-52
    count = min(participations, -(-factor.shape[1] // separation))
    rows = _with_own_round(gram, count, separation)
    return math.sqrt(float(_best_by_end(rows[None, :], count, separation)[-1].max())) * SLACK


def _best_by_end(weights: NDArray[np.float64], count: int, separation: int) -> NDArray[np.float64]:
    """`best[m, r, i]`: the largest sum of row r over at most m rounds up to round i, `separation` apart."""
    best = np.zeros((count + 1, *weights.shape))
    for taken in range(1, count + 1):
        before = np.zeros_like(weights)
        before[:, separation:] = best[taken - 1][:, :-separation]
        best[taken] = np.maximum.accumulate(before + weights, axis=1)
    return best


def _with_own_round(gram: NDArray[np.float64], count: int, separation: int) -> NDArray[np.float64]:
    """For each i, the largest Σ_{j∈π} X_ij over π of at most `count` rounds that hold i."""
    rounds = len(gram)
    before = _best_by_end(gram, count - 1, separation)  # up to a round, from the left
    after = _best_by_end(gram[:, ::-1], count - 1, separation)[:, :, ::-1]
    own = np.zeros(rounds)
    for i in range(rounds):
        left = before[:, i, i - separation] if i >= separation else np.zeros(count)
        right = after[:, i, i + separation] if i + separation < rounds else np.zeros(count)
        own[i] = gram[i, i] + max(left[m] + right[count - 1 - m] for m in range(count))
    return own


def _check_count(value: int, what: str) -> None:
    if type(value) is not int or value < 1:
        raise AccountingError(f"{what} is an integer from 1 up")
