"""The public parameters of private training. Every one is a public value, fixed before the data are read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from veilstream.errors import AccountingError

__all__ = ["StepParams"]


@dataclass(frozen=True, slots=True)
class StepParams:
    """Parameters of T Poisson-subsampled Gaussian steps.

    Attributes:
        sampling_rate: q in (0, 1], the chance of each person to enter a step.
        population: public estimate N of the people in a window; never counted from the data.
        noise_multiplier: σ > 0; the noise has standard deviation σ·C.
        clip_norm: C > 0, the L2 bound on one person's contribution to a step.
        steps: T >= 1.
        learning_rate: size > 0 of the first step; see `train`.

    Raises:
        AccountingError: a value is not finite or outside its domain; it says which.
    """

    sampling_rate: float
    population: int
    noise_multiplier: float
    clip_norm: float
    steps: int
    learning_rate: float

    def __post_init__(self) -> None:
        for name in (
            "sampling_rate",
            "population",
            "noise_multiplier",
            "clip_norm",
            "steps",
            "learning_rate",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise AccountingError(f"{name} must be finite and above 0, got {value}")
        if self.sampling_rate > 1:
            raise AccountingError(f"sampling_rate is a probability, got {self.sampling_rate}")

    @property
    def expected_batch(self) -> float:
        """q·N, what a noisy sum is divided by: public, so that the divisor says nothing of who was there."""
        return self.sampling_rate * self.population
