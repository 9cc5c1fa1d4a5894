"""χ² and correlation gates on the noise of empty batches, and the mutants that they must catch.

A step on an empty batch moves the head by -lr/(qN) times pure noise: Z ~ N(0, σ²C²·I). The head here has two
parameters of 1,024 coordinates, and 216 steps give 221,184 values of each, above the 221,009 that
`samples_needed(0.02)` derives: a scale that is off by 2 % either way is refused, of each parameter by itself.
False alarms: 1e-9 a gate (exact χ², or a proved tail bound), some 20 gates a run.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from veilstream.auditing.gates import coordinate_gate, correlation_gate, samples_needed, scale_gate
from veilstream.dp.noise import SecureGenerator
from veilstream.dp.params import StepParams
from veilstream.dp.step import PersonOptimizer, PrivateStep

STEPS = 216
OUTPUTS = 1024
PARAMS = StepParams(
    sampling_rate=0.1,
    population=300,
    noise_multiplier=1.7,
    clip_norm=0.3,
    steps=STEPS,
    learning_rate=1.0,
)
SCALE = PARAMS.noise_multiplier * PARAMS.clip_norm


def empty_noise(kind: type[PersonOptimizer] = PersonOptimizer) -> dict[str, torch.Tensor]:
    """What empty batches add to each parameter's sum: [steps, coordinates]."""
    head = nn.Linear(1, OUTPUTS)
    step = PrivateStep(head, PARAMS, SecureGenerator(), optimizer_type=kind)
    features, mask = torch.zeros(0, 2, 1), torch.zeros(0, 2, dtype=torch.bool)
    labels = torch.zeros(0, 2, dtype=torch.long)
    found: dict[str, list[torch.Tensor]] = {name: [] for name, _ in head.named_parameters()}
    for _ in range(STEPS):
        before = {name: p.detach().clone() for name, p in head.named_parameters()}
        step.step(features, mask, labels)
        for name, p in head.named_parameters():
            found[name].append((before[name] - p.detach()).flatten() * PARAMS.expected_batch)
    step.close()
    return {name: torch.stack(steps) for name, steps in found.items()}


def faults(kind: type[PersonOptimizer]) -> set[str]:
    """The gates that refuse this optimiser."""
    noise, again = empty_noise(kind), empty_noise(kind)
    found = set()
    if not scale_gate(torch.cat(list(noise.values()), dim=1), SCALE).passed:
        found.add("scale")
    for name, values in noise.items():
        assert values.numel() >= samples_needed(0.02)
        if not scale_gate(values, SCALE).passed:
            found.add(f"scale of {name}")
        if not coordinate_gate(values, SCALE).passed:
            found.add(f"coordinates of {name}")
        if not all(correlation_gate(values[lag:], values[:-lag], SCALE).passed for lag in (1, 2, 3)):
            found.add("steps")
        if not correlation_gate(values, again[name], SCALE).passed:
            found.add("runs")
    if not correlation_gate(noise["weight"], noise["bias"], SCALE).passed:
        found.add("parameters")
    return found


def test_the_noise_is_what_it_claims_to_be() -> None:
    assert faults(PersonOptimizer) == set()


class NoNoise(PersonOptimizer):
    def add_noise(self) -> None:
        for p in self.params:
            p.grad = p.summed_grad


class HalfNoise(PersonOptimizer):
    def add_noise(self) -> None:
        self.noise_multiplier = PARAMS.noise_multiplier / 2
        super().add_noise()


class TwoPercentLess(PersonOptimizer):
    def add_noise(self) -> None:
        self.noise_multiplier = PARAMS.noise_multiplier * 0.98
        super().add_noise()


class TwoPercentMore(PersonOptimizer):
    def add_noise(self) -> None:
        self.noise_multiplier = PARAMS.noise_multiplier * 1.02
        super().add_noise()


class NoiseDividedByTheBatch(PersonOptimizer):
    """As if the noise were added to the mean and scaled like a sum."""

    def add_noise(self) -> None:
        super().add_noise()
        for p in self.params:
            p.grad = p.summed_grad + (p.grad - p.summed_grad) / self.divisor


class RealBatch(PersonOptimizer):
    """Divides by who was there (1 for nobody, as code that avoids a division by zero does)."""

    def scale_grad(self) -> None:
        self.divisor = max(1, len(self.grad_samples[0]))
        super().scale_grad()


class OneParameterWithout(PersonOptimizer):
    def add_noise(self) -> None:
        super().add_noise()
        self.params[-1].grad = self.params[-1].summed_grad


class OneCoordinateWithout(PersonOptimizer):
    def add_noise(self) -> None:
        super().add_noise()
        gradient: Any = self.params[0].grad
        gradient[7] = self.params[0].summed_grad[7]


class FixedSeed(PersonOptimizer):
    """The same generator anew for each step."""

    def add_noise(self) -> None:
        self.noise = SecureGenerator(lambda count: bytes(count))
        super().add_noise()


class FixedSeedOfARun(PersonOptimizer):
    """Fresh within a run, the same in every run."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.noise = SecureGenerator(lambda count: b"\x01" * count)


class OneNoiseForAllParameters(PersonOptimizer):
    def add_noise(self) -> None:
        one = self.noise.normals((OUTPUTS,))
        for p in self.params:
            p.grad = p.summed_grad + SCALE * one.reshape(p.shape)


@pytest.mark.parametrize(
    ("mutant", "gate"),
    [
        (NoNoise, "scale"),
        (HalfNoise, "scale"),
        (TwoPercentLess, "scale of bias"),
        (TwoPercentMore, "scale of bias"),
        (NoiseDividedByTheBatch, "scale"),
        (RealBatch, "scale"),
        (OneParameterWithout, "scale of bias"),
        (OneCoordinateWithout, "coordinates of weight"),
        (FixedSeed, "steps"),
        (FixedSeedOfARun, "runs"),
        (OneNoiseForAllParameters, "parameters"),
    ],
)
def test_a_fault_is_caught_by_its_gate(mutant: type[PersonOptimizer], gate: str) -> None:
    assert gate in faults(mutant)
