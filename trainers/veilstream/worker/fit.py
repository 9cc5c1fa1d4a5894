"""From the people of a window to the parameters of a head: encode, then train privately.

Runs in a thread of its own beside the loop, which keeps the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from veilstream.dp.noise import SecureGenerator
from veilstream.dp.params import StepParams
from veilstream.dp.train import train
from veilstream.worker.encoder import DIMENSIONS, MiniLM
from veilstream.worker.tasks import Example

__all__ = ["Fitted", "fit", "linear_head", "tensors_of"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained head. `private_loss` is for operators alone."""

    state: dict[str, torch.Tensor]
    private_loss: float


def linear_head(labels: int, parent: Mapping[str, torch.Tensor] | None = None) -> nn.Linear:
    """A linear head: of zeros, or a parent's. Either is public or paid for."""
    head = nn.Linear(DIMENSIONS, labels)
    if parent is None:
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    else:
        head.load_state_dict(dict(parent))
    return head


def tensors_of(
    rows: Sequence[Sequence[Example]], k: int, encode: Callable[[Sequence[str]], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features [people, k, d], mask [people, k] and labels [people, k], a row of at most k examples a
    person.
    """
    features = torch.zeros(len(rows), k, DIMENSIONS)
    mask = torch.zeros(len(rows), k, dtype=torch.bool)
    labels = torch.zeros(len(rows), k, dtype=torch.long)
    places = [(person, place) for person, row in enumerate(rows) for place in range(len(row))]
    if places:
        people, place = (torch.tensor(values) for values in zip(*places, strict=True))
        features[people, place] = encode([example.text for row in rows for example in row])
        mask[people, place] = True
        labels[people, place] = torch.tensor([example.label for row in rows for example in row])
    return features, mask, labels


def fit(
    rows: Sequence[Sequence[Example]],
    *,
    k: int,
    encoder: MiniLM,
    labels: int,
    parent: Mapping[str, torch.Tensor] | None,
    params: StepParams,
    check: Callable[[], None],
    progress: Callable[[int], None],
) -> Fitted:
    """Train on the people admitted, a row each; `check` is called often, and what it raises ends the work."""
    features, mask, targets = tensors_of(rows, k, lambda texts: encoder.encode(texts, check=check))

    # The steps' tensors are small: threads that wait for each other cost more than they do, most of all on a
    # machine that has other work (measured: 10 times the time). Of this thread alone.
    torch.set_num_threads(1)

    def step_done(number: int) -> None:
        check()
        progress(number)

    losses: list[float] = []
    state = train(
        linear_head(labels, parent),
        features,
        mask,
        targets,
        params,
        SecureGenerator(),
        progress=step_done,
        private_loss=losses.append,
    )
    return Fitted(state, losses[-1])
