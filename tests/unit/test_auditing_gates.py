"""The gates against scipy, and at their edges."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from veilstream.auditing.gates import (
    _chi2_quantile,
    correlation_gate,
    samples_needed,
    scale_gate,
    sensitivity_gate,
)


@pytest.mark.parametrize("degrees", [1, 38, 5264, 221_009])
@pytest.mark.parametrize("probability", [1e-12, 5e-10, 0.1])
def test_the_quantiles_are_scipys(degrees: int, probability: float) -> None:
    low, high = stats.chi2.ppf(probability, degrees), stats.chi2.isf(probability, degrees)
    assert _chi2_quantile(probability, degrees) == pytest.approx(low, rel=1e-9)
    assert _chi2_quantile(1 - probability, degrees) == pytest.approx(high, rel=1e-6)


def test_enough_samples_separate_two_percent() -> None:
    """By the exact distribution: at n the power against 2 % is 1 - 1e-9, as derived."""
    n = samples_needed(0.02)
    low, high = stats.chi2.ppf(5e-10, n), stats.chi2.isf(5e-10, n)
    assert stats.chi2.cdf(high / 1.02**2, n) < 1e-9
    assert stats.chi2.sf(low / 0.98**2, n) < 1e-9


def test_nothing_and_nan_are_refused() -> None:
    assert not scale_gate(torch.zeros(0), 1.0).passed
    assert not scale_gate(torch.tensor([0.1, float("nan"), 0.3]), 1.0).passed
    assert not correlation_gate(torch.zeros(0), torch.zeros(0), 1.0).passed


def test_sensitivity_has_two_sides() -> None:
    base = torch.zeros(3)
    assert sensitivity_gate(torch.tensor([0.95, 0.0, 0.0]), base, 1.0).passed
    assert not sensitivity_gate(torch.tensor([1.01, 0.0, 0.0]), base, 1.0).passed
    assert not sensitivity_gate(torch.tensor([0.5, 0.0, 0.0]), base, 1.0).passed
