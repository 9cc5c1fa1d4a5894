"""T private steps on the people of a window."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from veilstream.dp.noise import SecureGenerator
from veilstream.dp.params import StepParams
from veilstream.dp.sampling import sample_people
from veilstream.dp.step import PersonOptimizer, PrivateStep

__all__ = ["train"]


def train(
    head: nn.Module,
    features: torch.Tensor,
    mask: torch.Tensor,
    labels: torch.Tensor,
    params: StepParams,
    generator: SecureGenerator,
    *,
    progress: Callable[[int], None] | None = None,
    private_loss: Callable[[float], None] | None = None,
    optimizer_type: type[PersonOptimizer] = PersonOptimizer,
) -> dict[str, torch.Tensor]:
    """Train the head and return its parameters, float32 on the CPU.

    **Guarantee.** The sequence of all T iterates, the result among them, is the adaptive composition of T
    Poisson-subsampled Gaussian mechanisms (rate q, noise multiplier σ) under adding or removing one person, a
    row of the three tensors. It holds for any starting point and any head that do not depend on these people,
    or only through releases that were charged. The number of steps, the divisor and the noise do not depend
    on how many people there are: nobody, or one, trains on noise and returns the same kind of thing.

    The step size falls linearly, to learning_rate/T in the last step: the noise of late steps is not averaged
    away by later ones. A public schedule, so post-processing.

    Args:
        head: maps [people, k, d] to [people, k, labels]; trained in place, in float64.
        features: [people, k, d].
        mask: [people, k], bool.
        labels: [people, k], int64.
        params: the public parameters.
        generator: split in two, for sampling and for noise.
        progress: gets the number of steps done, and nothing else. What it raises ends the training; the
            charge stays.
        private_loss: gets the mean loss of the last step's people (NaN for none). For operators alone.
        optimizer_type: for tests that put a fault in.
    """
    sampling, noise = generator.split(2)
    private = PrivateStep(head, params, noise, optimizer_type=optimizer_type)
    try:
        for number in range(1, params.steps + 1):
            private.learning_rate(params.learning_rate * (params.steps - number + 1) / params.steps)
            batch = sample_people(len(features), params.sampling_rate, sampling)
            loss = private.step(features[batch], mask[batch], labels[batch])
            if private_loss is not None and number == params.steps:
                private_loss(loss / len(batch) if len(batch) else float("nan"))
            if progress is not None:
                progress(number)
    finally:
        private.close()
    return {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in head.state_dict().items()
    }
