"""A run with correlated noise: its sensitivity against every set of rounds, tried one by one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from veilstream.accounting import (
    factorised,
    gaussian,
    sensitivity_bound,
    square_root_coefficients,
    toeplitz_sensitivity,
)


def patterns(rounds: int, participations: int, separation: int) -> list[tuple[int, ...]]:
    return [
        chosen
        for size in range(1, participations + 1)
        for chosen in itertools.combinations(range(rounds), size)
        if all(b - a >= separation for a, b in itertools.pairwise(chosen))
    ]


def brute(matrix: NDArray[np.float64], participations: int, separation: int, signs: bool) -> float:
    """The largest norm over all sets of rounds, with one vector throughout or with every choice of signs."""
    worst = 0.0
    for chosen in patterns(matrix.shape[1], participations, separation):
        part = matrix[:, chosen]
        for sign in itertools.product((1.0, -1.0), repeat=len(chosen)) if signs else [(1.0,) * len(chosen)]:
            worst = max(worst, float(np.linalg.norm(part @ np.array(sign))))
    return worst


def toeplitz(column: NDArray[np.float64]) -> NDArray[np.float64]:
    rounds = len(column)
    return np.array([[column[i - j] if i >= j else 0.0 for j in range(rounds)] for i in range(rounds)])


falling = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8).map(lambda c: sorted(c, reverse=True))


@given(falling, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_a_falling_toeplitz_factor_is_worst_at_the_start(column: list[float], k: int, b: int) -> None:
    ours, truth = toeplitz_sensitivity(column, k, b), brute(toeplitz(np.array(column)), k, b, signs=False)
    assert truth * (1 - 1e-12) <= ours <= truth * (1 + 1e-9)
    assert ours <= sensitivity_bound(toeplitz(np.array(column)), k, b) * (1 + 1e-9)


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_the_bound_covers_any_matrix_and_any_signs(seed: int, rounds: int, k: int, b: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rounds + 1, rounds))
    assert sensitivity_bound(matrix, k, b) >= brute(matrix, k, b, signs=True)


@given(st.integers(0, 10**6), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_the_bound_covers_vectors_and_is_exact_for_one_participation(seed: int, rounds: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rounds, rounds))
    one = float(np.max(np.linalg.norm(matrix, axis=0)))
    assert one <= sensitivity_bound(matrix, 1, 1) <= one * (1 + 1e-9)
    vectors = rng.normal(size=(rounds, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for chosen in patterns(rounds, 3, 2):
        moved = float(np.linalg.norm(matrix[:, chosen] @ vectors[list(chosen)]))
        assert moved <= sensitivity_bound(matrix, 3, 2)


@given(falling, st.integers(1, 4), st.integers(1, 4))
def test_more_participations_and_less_separation_cost_no_less(column: list[float], k: int, b: int) -> None:
    base = toeplitz_sensitivity(column, k, b)
    assert base <= toeplitz_sensitivity(column, k + 1, b)
    assert toeplitz_sensitivity(column, k, b + 1) <= base * (1 + 1e-12)
    assert base <= toeplitz_sensitivity([*column, column[-1]], k, b)


@given(st.integers(1, 40), st.floats(0.5, 1.0), st.floats(0.0, 0.4))
def test_the_root_is_a_root_of_the_workload(rounds: int, decay: float, momentum: float) -> None:
    column = square_root_coefficients(rounds, decay=decay, momentum=momentum)
    root = toeplitz(column)
    prefix = toeplitz(np.power(decay, np.arange(rounds)))
    averaged = toeplitz(np.power(momentum, np.arange(rounds)))
    assert np.allclose(root @ root, prefix @ averaged, atol=1e-9)
    assert np.all(np.diff(column) <= 0.0)
    assert np.all(column >= 0.0)


def test_the_published_root_of_prefix_sums() -> None:
    column = square_root_coefficients(5)
    assert np.allclose(column, [math.comb(2 * j, j) / 4**j for j in range(5)], rtol=1e-15)
    assert list(square_root_coefficients(5, bandwidth=2)[1:]) == [0.5, 0.0, 0.0, 0.0]


def test_a_band_of_the_separation_has_orthogonal_columns() -> None:
    """Where bands do not overlap, k participations cost √k of one: the point of banding."""
    column = square_root_coefficients(120, bandwidth=30)
    one = float(np.linalg.norm(column))
    assert toeplitz_sensitivity(column.tolist(), 4, 30) == pytest.approx(2 * one, rel=1e-8)


def test_a_year_charged_day_by_day_would_pay_3_5_times_too_little() -> None:
    """365 rounds, 12 participations 30 apart. Independent rounds would pay Σ‖C[:, jb]‖²."""
    column = square_root_coefficients(365)
    whole = toeplitz_sensitivity(column.tolist(), 12, 30)
    apart = sum(float(np.sum(column[: 365 - j * 30] ** 2)) for j in range(12))
    assert factorised(1.0, whole, 2) / gaussian(1 / math.sqrt(apart), 2) == pytest.approx(3.4955, abs=1e-3)


@given(st.floats(0.1, 100.0), st.floats(0.1, 100.0), st.integers(2, 64))
def test_the_run_is_one_gaussian(noise: float, sensitivity: float, order: int) -> None:
    ours = factorised(noise, sensitivity, order)
    truth = order * sensitivity**2 / (2 * noise**2)
    assert truth <= ours <= truth * (1 + 2e-9)
