"""Paired-seed sensitivity: with the same noise, one person more moves the released sum by C, and no further.

Twelve people whose gradients are many times C. For each of them two runs of one step under the same
keystream, with and without the person: the difference of the released sums is the person's clipped
contribution, whose norm is C·(1 - 1e-6). Deterministic, so there are no false alarms but rounding, some 1e-13
here.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from veilstream.auditing.gates import sensitivity_gate
from veilstream.dp.noise import SecureGenerator
from veilstream.dp.params import StepParams
from veilstream.dp.step import PersonOptimizer, PrivateStep
from veilstream.dp.train import train

PEOPLE, K, D, LABELS = 12, 3, 6, 5
PARAMS = StepParams(
    sampling_rate=1.0, population=30, noise_multiplier=1.0, clip_norm=0.05, steps=1, learning_rate=1.0
)


def same_noise(count: int) -> bytes:
    return b"\x07" * count


def people() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    features = 20 * torch.randn(PEOPLE, K, D, generator=draw)
    labels = torch.randint(0, LABELS, (PEOPLE, K), generator=draw)
    mask = torch.ones(PEOPLE, K, dtype=torch.bool)
    mask[::2, 2] = False
    return features, mask, labels


def zero_head() -> nn.Linear:
    head = nn.Linear(D, LABELS)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def released_sum(kind: type[PersonOptimizer], rows: torch.Tensor) -> torch.Tensor:
    """What one step releases, times the public divisor."""
    features, mask, labels = people()
    head = zero_head()
    step = PrivateStep(head, PARAMS, SecureGenerator(same_noise), optimizer_type=kind)
    step.step(features[rows], mask[rows], labels[rows])
    return -nn.utils.parameters_to_vector(head.parameters()).detach() * PARAMS.expected_batch


def refused(kind: type[PersonOptimizer]) -> int:
    """For how many of the people the gate refuses."""
    everyone = torch.arange(PEOPLE)
    with_all = released_sum(kind, everyone)
    return sum(
        not sensitivity_gate(with_all, released_sum(kind, everyone[everyone != i]), PARAMS.clip_norm).passed
        for i in range(PEOPLE)
    )


class NoClipping(PersonOptimizer):
    def _factors(self, by_person: list[torch.Tensor]) -> torch.Tensor:
        return torch.ones(len(by_person[0]), dtype=torch.float64)


class ClippedAsABatch(PersonOptimizer):
    """The norm of the sum is bounded in place of each person's."""

    def _factors(self, by_person: list[torch.Tensor]) -> torch.Tensor:
        norm = torch.cat([g.sum(dim=0) for g in by_person]).norm()
        return torch.full(
            (len(by_person[0]),), float(min(1.0, self.max_grad_norm / norm)), dtype=torch.float64
        )


class ClippedByParameter(PersonOptimizer):
    """Each parameter's norm is bounded by C, so that all together reach √2·C."""

    def clip_and_accumulate(self) -> None:
        for p in self.params:
            gradients = self._get_flat_grad_sample(p).to(torch.float64).flatten(1)
            p.summed_grad = (self._factors([gradients]) @ gradients).reshape(p.shape)


class RealBatch(PersonOptimizer):
    def scale_grad(self) -> None:
        self.divisor = max(1, len(self.grad_samples[0]))
        super().scale_grad()


class RecordsInPlaceOfPeople(PersonOptimizer):
    """Counts a person once for each record: what a cap without averaging would do."""

    def _factors(self, by_person: list[torch.Tensor]) -> torch.Tensor:
        return K * super()._factors(by_person)


def test_one_person_moves_the_sum_by_the_clipping_norm() -> None:
    assert refused(PersonOptimizer) == 0


@pytest.mark.parametrize(
    "mutant", [NoClipping, ClippedAsABatch, ClippedByParameter, RealBatch, RecordsInPlaceOfPeople]
)
def test_a_fault_is_refused_for_everyone(mutant: type[PersonOptimizer]) -> None:
    assert refused(mutant) == PEOPLE


def test_the_whole_training_loop_moves_no_further_in_one_step() -> None:
    """Through `train`: sampling at rate 1 leaves nobody out, and the noise does not depend on how many
    come.
    """
    features, mask, labels = people()
    ends = []
    for count in (PEOPLE, PEOPLE - 1):
        head = zero_head()
        train(head, features[:count], mask[:count], labels[:count], PARAMS, SecureGenerator(same_noise))
        vector = nn.utils.parameters_to_vector(head.parameters()).detach()
        ends.append(-vector * PARAMS.expected_batch)
    assert sensitivity_gate(ends[0], ends[1], PARAMS.clip_norm).passed
