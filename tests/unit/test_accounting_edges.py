"""Edges of the mechanisms: what is 0, what is infinite, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from veilstream.accounting import (
    Stage,
    certified_mu_of,
    discrete_gaussian,
    factorised,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_mu,
    laplace,
    laplace_epsilon,
    mu_at,
    pld_bracket,
    pld_curve,
    pld_epsilons,
    prv_bracket,
    sensitivity_bound,
    skellam,
    square_root_coefficients,
    subsampled_discrete_gaussian,
    toeplitz_sensitivity,
)
from veilstream.errors import AccountingError

BAD_ORDERS = [1, 0, -3, 2.5, 2.0, True, None]


@pytest.mark.parametrize("order", BAD_ORDERS)
@pytest.mark.parametrize(
    "curve",
    [
        lambda a: laplace(1.0, a),
        lambda a: discrete_gaussian(1.0, a),
        lambda a: subsampled_discrete_gaussian(0.1, 1.0, a),
        lambda a: skellam(1.0, a, l1_sensitivity=1, squared_l2_sensitivity=1),
        lambda a: factorised(1.0, 1.0, a),
    ],
    ids=["laplace", "discrete", "sampled discrete", "skellam", "factorised"],
)
def test_only_integers_from_2_are_orders(curve: Callable[[object], float], order: object) -> None:
    with pytest.raises(AccountingError, match="order"):
        curve(order)


def test_no_noise_is_infinite_and_no_person_is_nothing() -> None:
    assert laplace(0.0, 2) == laplace(5e-324, 2) == laplace_epsilon(0.0, 0.1) == math.inf
    assert discrete_gaussian(0.0, 2) == math.inf
    assert discrete_gaussian(1.0, 2, squared_sensitivity=0) == 0.0
    assert subsampled_discrete_gaussian(0.3, 1.0, 2, squared_sensitivity=0) == 0.0
    assert subsampled_discrete_gaussian(0.0, 1.0, 2) == 0.0
    assert subsampled_discrete_gaussian(0.3, 0.0, 2) == math.inf
    assert skellam(0.0, 2, l1_sensitivity=1, squared_l2_sensitivity=1) == math.inf
    assert skellam(1e-200, 2, l1_sensitivity=1, squared_l2_sensitivity=1) > 1e199
    assert skellam(1.0, 2, l1_sensitivity=0, squared_l2_sensitivity=9) == 0.0
    assert factorised(0.0, 1.0, 2) == math.inf
    assert factorised(1.0, 0.0, 2) == 0.0
    assert sensitivity_bound(np.zeros((0, 0)), 1, 1) == 0.0


def test_enormous_noise_still_costs_something() -> None:
    assert laplace(1e200, 2) > 0.0
    assert discrete_gaussian(1e170, 2) > 0.0
    assert skellam(1e300, 2, l1_sensitivity=1, squared_l2_sensitivity=1) > 0.0


def test_laplace_at_delta_0_is_its_pure_epsilon() -> None:
    assert laplace_epsilon(2.0, 0.0) == pytest.approx(0.5, rel=1e-9)
    assert laplace_epsilon(2.0, 0.9) == 0.0
    assert laplace(1e-3, 256) <= 1000 * (1 + 1e-9)


def test_the_ends_of_the_gaussians_curve() -> None:
    assert gaussian_mu([]) == 0.0
    assert gaussian_mu([3.0, 0.0]) == math.inf
    assert gaussian_delta(0.0, 0.0) == gaussian_delta(0.0, 1.0) == 0.0
    assert gaussian_delta(math.inf, 3.0) == 1.0
    assert 0.0 <= gaussian_delta(1e-300, 1.0) < 1e-300
    assert gaussian_epsilon(0.0, 1e-6) == 0.0
    assert gaussian_epsilon(math.inf, 1e-6) == math.inf
    assert gaussian_epsilon(1e-9, 1e-6) == 0.0
    assert mu_at(0.0, 1e-6) == 0.0
    assert gaussian_epsilon(1e4, 1e-6) == pytest.approx(5e7 + 4.7534e4, rel=1e-6)


def test_runs_that_look_at_nobody_or_add_no_noise() -> None:
    nobody, bare = Stage(0.0, 1.0, 5), Stage(0.1, 0.0, 5)
    assert pld_curve([nobody])(1e-6) == 0.0
    assert pld_curve([nobody, bare])(1e-6) == math.inf
    assert pld_bracket([nobody], 1e-6) == (0.0, 0.0)
    assert pld_epsilons(nobody, 1e-6, [1, 2]) == (0.0, 0.0)
    assert pld_epsilons(bare, 1e-6, [1]) == (math.inf,)
    assert prv_bracket(0.0, 1.0, 5, 1e-6) == (0.0, 0.0)
    assert prv_bracket(0.1, 0.0, 5, 1e-6) == (math.inf, math.inf)
    assert certified_mu_of([nobody], 1e-9, 1e-3).mu == 0.0


def test_stages_of_a_run_add_up() -> None:
    two = pld_curve([Stage(0.1, 2.0, 2), Stage(0.1, 2.0, 3)], interval=1e-3)
    one = pld_curve([Stage(0.1, 2.0, 5)], interval=1e-3)
    assert two(1e-6) == pytest.approx(one(1e-6), abs=1e-4)
    mixed = pld_curve([Stage(0.1, 2.0, 2), Stage(0.3, 3.0, 1)], interval=1e-3)
    assert mixed(1e-6) > pld_curve([Stage(0.1, 2.0, 2)], interval=1e-3)(1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: laplace(math.nan, 2),
        lambda: laplace(-1.0, 2),
        lambda: laplace(math.inf, 2),
        lambda: laplace_epsilon(1.0, 1.0),
        lambda: laplace_epsilon(1.0, math.nan),
        lambda: discrete_gaussian(math.nan, 2),
        lambda: discrete_gaussian(1.0, 2, squared_sensitivity=-1),
        lambda: discrete_gaussian(1.0, 2, squared_sensitivity=1.5),  # type: ignore[arg-type]
        lambda: subsampled_discrete_gaussian(1.5, 1.0, 2),
        lambda: subsampled_discrete_gaussian(1.5, 1.0, 2, squared_sensitivity=0),
        lambda: skellam(-1.0, 2, l1_sensitivity=1, squared_l2_sensitivity=1),
        lambda: skellam(math.nan, 2, l1_sensitivity=1, squared_l2_sensitivity=1),
        lambda: skellam(1.0, 2, l1_sensitivity=-1, squared_l2_sensitivity=1),
        lambda: skellam(1.0, 2, l1_sensitivity=1, squared_l2_sensitivity=True),
        lambda: factorised(math.nan, 1.0, 2),
        lambda: factorised(1.0, -1.0, 2),
        lambda: toeplitz_sensitivity([1.0, 2.0], 1, 1),
        lambda: toeplitz_sensitivity([], 1, 1),
        lambda: toeplitz_sensitivity([1.0, -0.5], 1, 1),
        lambda: toeplitz_sensitivity([math.nan], 1, 1),
        lambda: toeplitz_sensitivity([1.0], 0, 1),
        lambda: toeplitz_sensitivity([1.0], 1, 0),
        lambda: sensitivity_bound(np.array([[math.inf]]), 1, 1),
        lambda: sensitivity_bound(np.zeros(3), 1, 1),
        lambda: sensitivity_bound(np.eye(3), 1, 0),
        lambda: square_root_coefficients(0),
        lambda: square_root_coefficients(3, decay=0.5, momentum=0.5),
        lambda: square_root_coefficients(3, decay=1.5),
        lambda: square_root_coefficients(3, bandwidth=0),
        lambda: gaussian_mu([math.nan]),
        lambda: gaussian_delta(-1.0, 1.0),
        lambda: gaussian_delta(1.0, math.inf),
        lambda: gaussian_epsilon(1.0, 0.0),
        lambda: mu_at(math.inf, 1e-6),
        lambda: pld_curve([]),
        lambda: pld_curve([Stage(2.0, 1.0, 1)]),
        lambda: pld_bracket([Stage(0.1, 1.0, 1)], 1.0),
        lambda: pld_epsilons(Stage(0.1, 1.0, 1), 1e-6, [0]),
        lambda: prv_bracket(0.1, 1.0, 1, 1e-12),
        lambda: prv_bracket(0.1, 1.0, 0, 1e-6),
        lambda: prv_bracket(0.1, 1.0, 1, 1e-6, error=0.0),
        lambda: prv_bracket(1.0, 1e-4, 1000, 1e-6),
        lambda: certified_mu_of([Stage(0.1, 1.0, 1)], 1e-3, 1e-9),
    ],
)
def test_what_is_outside_its_domain_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(AccountingError):
        call()
