"""From rows of examples to a head: shapes, and noise that is drawn afresh for every window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from veilstream.auditing.gates import correlation_gate, scale_gate
from veilstream.dp.params import StepParams
from veilstream.worker.encoder import DIMENSIONS, MiniLM
from veilstream.worker.fit import fit
from veilstream.worker.tasks import Example

PARAMS = StepParams(
    sampling_rate=0.5, population=10, noise_multiplier=1.5, clip_norm=0.2, steps=1, learning_rate=1.0
)
LABELS = 64


class Encoder:
    """Says nothing of a text."""

    def encode(self, texts: Sequence[str], *, check: Callable[[], None] | None = None) -> torch.Tensor:
        return torch.zeros(len(texts), DIMENSIONS)


def released(rows: Sequence[Sequence[Example]]) -> torch.Tensor:
    """What a window of one step releases, times the public divisor."""

    def nothing(*_: Any) -> None:
        return None

    fitted = fit(
        rows,
        k=2,
        encoder=cast(MiniLM, Encoder()),
        labels=LABELS,
        parent=None,
        params=PARAMS,
        check=nothing,
        progress=nothing,
    )
    return fitted.state["weight"].flatten() * PARAMS.expected_batch


def test_each_window_draws_noise_of_its_own() -> None:
    """Two releases of an empty window are noise of the stated scale, and independent: false alarms 1e-9."""
    scale = PARAMS.noise_multiplier * PARAMS.clip_norm
    first, second = released([]), released([])
    assert scale_gate(first, scale).passed
    assert scale_gate(second, scale).passed
    assert correlation_gate(first, second, scale).passed


def test_a_window_of_people_has_the_same_noise() -> None:
    """The features are zero, so nobody moves a weight: what is left is noise, whoever was drawn."""
    rows = [[Example("a", 1, True), Example("b", 2, False)], [Example("c", 3, True)]] * 20
    assert scale_gate(released(rows), PARAMS.noise_multiplier * PARAMS.clip_norm).passed
