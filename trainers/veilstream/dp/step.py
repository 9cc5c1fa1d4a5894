"""One private step, with Opacus as the engine.

Opacus computes the gradients by sample (`GradSampleModule`) and holds the discipline of the optimiser (no
gradient is used twice); **a sample is a person**: a row of `[people, k, d]`, whose loss is the mean over the
person's records, so that the gradient by sample is the average of the person's gradients.

Ours are the three places where a guarantee is made or lost: what a person may contribute
(`PersonOptimizer.clip_and_accumulate`), the noise (`add_noise`) and the divisor (`scale_grad`). Opacus's own
take their noise from torch's generator, let one NaN reach every parameter, and clip in the parameters' type.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import _check_processed_flag, _mark_as_processed
from torch import nn

from veilstream.dp.noise import SecureGenerator
from veilstream.dp.params import StepParams

__all__ = ["MARGIN", "PersonOptimizer", "PrivateStep", "person_losses"]

MARGIN = 1e-6
"""Contributions are clipped to C·(1 - MARGIN): rounding in float64 (some 1e-12) cannot reach C."""

# The head's input needs no gradient, which torch finds worth a warning where there are hooks.
warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)

_PEOPLE_AT_ONCE = 256  # gradients by person are large: people × parameters × 8 bytes are held at a time


def person_losses(logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each person over their own records.

    Args:
        logits: [people, k, labels].
        labels: [people, k], int64; anything valid where the mask is false.
        mask: [people, k], bool: which of the k places hold a record.

    Returns:
        [people]. A person without records has loss 0, and so gradient 0. Nobody's loss depends on anybody
        else's records.
    """
    by_record = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    by_record = torch.where(mask, by_record.reshape(labels.shape), 0.0)
    return by_record.sum(dim=1) / mask.sum(dim=1).clamp(min=1)


class PersonOptimizer(DPOptimizer):
    """Flat clipping by person, noise from a `SecureGenerator` on every parameter, a public divisor.

    **Guarantee.** Let g_i be the gradient of person i's loss over all parameters together, and
    c(g) = g · min(1, C(1 - MARGIN)/|g|₂), with c(g) = 0 where g has a NaN or an infinity. A step releases
    (Σ c(g_i) + Z)/(qN), Z ~ N(0, σ²C²·I), coordinates independent. Adding or removing a person changes the
    sum by at most C in L2 norm, so a step is a Gaussian mechanism of noise multiplier σ; on a Poisson sample
    of rate q, the subsampled one. In real arithmetic: see `veilstream.dp.noise`.

    Edge cases: an empty batch releases Z/(qN), by the same path; a gradient of zero stays zero; a non-finite
    one, or one whose norm overflows (above 1e154), contributes nothing, silently, since an error would tell
    the world about one person. Norms, clipping and sums are float64 whatever the model's type; the cast back
    to it is post-processing.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, params: StepParams, noise: SecureGenerator) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=params.noise_multiplier,
            max_grad_norm=params.clip_norm,
            expected_batch_size=1,  # Opacus takes an integer; ours is `divisor`, see `scale_grad`
            loss_reduction="mean",
        )
        self.noise = noise
        self.divisor = params.expected_batch

    def clip_and_accumulate(self) -> None:
        """Add each person's clipped contribution to `p.summed_grad` (float64)."""
        for p in self.params:
            _check_processed_flag(p.grad_sample)
        by_person = [self._get_flat_grad_sample(p).to(torch.float64).flatten(1) for p in self.params]
        factors = self._factors(by_person)
        for p, gradients in zip(self.params, by_person, strict=True):
            if not bool((factors > 0).all()):  # 0 · NaN is NaN
                gradients = torch.where((factors > 0).unsqueeze(1), gradients, 0.0)
            total = (factors @ gradients).reshape(p.shape)
            p.summed_grad = total if p.summed_grad is None else p.summed_grad + total
            _mark_as_processed(p.grad_sample)

    def _factors(self, by_person: list[torch.Tensor]) -> torch.Tensor:
        """What each person's gradient is multiplied by: [people], float64; 0 where its norm is not finite."""
        squares = torch.stack([torch.einsum("ij,ij->i", g, g) for g in by_person], dim=1)
        norms = squares.sum(dim=1).sqrt()
        factors = (self.max_grad_norm * (1 - MARGIN) / norms).clamp(max=1.0)  # norm 0: inf, clamped to 1
        return torch.where(torch.isfinite(norms), factors, 0.0)

    def add_noise(self) -> None:
        """Noise of standard deviation σC on the sum of every parameter."""
        for p in self.params:
            _check_processed_flag(p.summed_grad)
            scale = self.noise_multiplier * self.max_grad_norm
            p.grad = p.summed_grad + scale * self.noise.normals(p.shape)
            _mark_as_processed(p.summed_grad)

    def scale_grad(self) -> None:
        """Divide by the expected batch q·N, never by who was there."""
        for p in self.params:
            p.grad = p.grad / self.divisor


class PrivateStep:
    """A head with its optimiser: `step` after `step` on batches of people.

    The head is moved to float64 for the training. It must be a module that treats the rows of its input
    independently (no batch statistics); Opacus refuses those that do not.

    Args:
        head: maps [people, k, d] to [people, k, labels]; trained in place.
        optimizer_type: for tests that put a fault in and see whether it is caught.
    """

    def __init__(
        self,
        head: nn.Module,
        params: StepParams,
        noise: SecureGenerator,
        *,
        optimizer_type: type[PersonOptimizer] = PersonOptimizer,
    ) -> None:
        self.head = head.to(torch.float64)
        self._engine: Any = GradSampleModule(self.head, loss_reduction="sum")
        sgd = torch.optim.SGD(self.head.parameters(), lr=params.learning_rate)
        self._optimizer: Any = optimizer_type(sgd, params, noise)

    def step(self, features: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> float:
        """One step on a batch of people; an empty batch does the same, on noise alone.

        Args:
            features: [people, k, d].
            mask: [people, k], bool.
            labels: [people, k], int64.

        Returns:
            The sum of the people's losses before the step. **Private**: for operators alone.
        """
        loss_sum = 0.0
        chunks = list(_chunks(len(features)))
        for number, rows in enumerate(chunks):
            last = number == len(chunks) - 1
            self._optimizer.signal_skip_step(do_skip=not last)
            logits = self._engine(features[rows].to(torch.float64))
            loss = person_losses(logits, labels[rows], mask[rows]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._optimizer.zero_grad()
            loss_sum += float(loss.detach())
        return loss_sum

    def learning_rate(self, rate: float) -> None:
        """Set the step size, from a public schedule."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def close(self) -> None:
        """Take Opacus's hooks off the head."""
        self._engine.to_standard_module()


def _chunks(people: int) -> Iterator[slice]:
    """Slices of at most `_PEOPLE_AT_ONCE` rows; one empty slice for no people."""
    for start in range(0, max(people, 1), _PEOPLE_AT_ONCE):
        yield slice(start, start + _PEOPLE_AT_ONCE)
