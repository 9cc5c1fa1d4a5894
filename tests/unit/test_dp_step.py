"""The private step: against a naive oracle, and at its edges."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from veilstream.dp import step as step_module
from veilstream.dp.noise import SecureGenerator
from veilstream.dp.params import StepParams
from veilstream.dp.step import MARGIN, PrivateStep, person_losses
from veilstream.dp.train import train
from veilstream.errors import AccountingError

K, D, LABELS = 3, 6, 5
PARAMS = StepParams(
    sampling_rate=0.5, population=20, noise_multiplier=0.7, clip_norm=0.4, steps=4, learning_rate=1.0
)


def people(count: int, *, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(count)
    features = scale * torch.randn(count, K, D, generator=draw)
    mask = torch.rand(count, K, generator=draw) < 0.7
    return features, mask, torch.randint(0, LABELS, (count, K), generator=draw)


def head() -> nn.Linear:
    made = nn.Linear(D, LABELS)
    torch.nn.init.normal_(made.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.normal_(made.bias, generator=torch.Generator().manual_seed(2))
    return made


def fixed(count: int) -> bytes:
    return b"\x05" * count


def clipped_sum(features: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What a step adds to the noise: its release less that of an empty batch under the same noise."""

    def released(rows: int) -> torch.Tensor:
        trained = head()
        before = nn.utils.parameters_to_vector(trained.to(torch.float64).parameters()).detach().clone()
        private = PrivateStep(trained, PARAMS, SecureGenerator(fixed))
        private.step(features[:rows], mask[:rows], labels[:rows])
        return (before - nn.utils.parameters_to_vector(trained.parameters()).detach()) * PARAMS.expected_batch

    return released(len(features)) - released(0)


def naive(features: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One person after the other, by autograd alone."""
    total = torch.zeros(LABELS * D + LABELS, dtype=torch.float64)
    for person in range(len(features)):
        model = head().to(torch.float64)
        own = mask[person]
        if not own.any():
            continue
        logits = model(features[person][own].to(torch.float64))
        loss = nn.functional.cross_entropy(logits, labels[person][own])
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
        total += gradient * min(1.0, PARAMS.clip_norm * (1 - MARGIN) / float(gradient.norm()))
    return total


@pytest.mark.parametrize("count", [1, 2, 17])
@pytest.mark.parametrize("scale", [0.01, 5.0])
def test_the_sum_is_the_naive_one(count: int, scale: float) -> None:
    data = people(count, scale=scale)
    torch.testing.assert_close(clipped_sum(*data), naive(*data), rtol=1e-9, atol=1e-11)


def test_large_batches_are_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    data = people(17)
    whole = clipped_sum(*data)
    monkeypatch.setattr(step_module, "_PEOPLE_AT_ONCE", 5)
    torch.testing.assert_close(clipped_sum(*data), whole, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_a_person_who_is_not_finite_contributes_nothing(value: float) -> None:
    features, mask, labels = people(6)
    mask[:] = True
    without = clipped_sum(*(t[[0, 1, 3, 4, 5]] for t in (features, mask, labels)))
    broken = features.clone().to(torch.float64)
    broken[2, 1, 3] = value
    if math.isfinite(value):
        broken[2] = value * torch.sign(broken[2])  # the logits overflow
    torch.testing.assert_close(clipped_sum(broken, mask, labels), without, rtol=1e-9, atol=1e-11)


def test_a_person_without_records_contributes_nothing() -> None:
    features, mask, labels = people(4)
    mask[:] = True
    mask[3] = False
    without = clipped_sum(features[:3], mask[:3], labels[:3])
    torch.testing.assert_close(clipped_sum(features, mask, labels), without, rtol=1e-9, atol=1e-11)


def test_a_masked_place_does_not_matter() -> None:
    features, mask, labels = people(5)
    other = torch.where(mask.unsqueeze(-1), features, 99.0)
    torch.testing.assert_close(clipped_sum(other, mask, labels), clipped_sum(features, mask, labels))


def test_the_loss_is_a_mean_over_a_persons_own_records() -> None:
    logits = torch.randn(2, K, LABELS)
    labels = torch.tensor([[0, 1, 2], [3, 0, 0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    found = person_losses(logits, labels, mask)
    assert found[0] == pytest.approx(float(nn.functional.cross_entropy(logits[0], labels[0])), rel=1e-5)
    assert found[1] == pytest.approx(
        float(nn.functional.cross_entropy(logits[1, :1], labels[1, :1])), rel=1e-5
    )


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_training_looks_the_same_for_any_number_of_people(count: int) -> None:
    steps: list[int] = []
    losses: list[float] = []
    state = train(
        head(),
        *people(count),
        PARAMS,
        SecureGenerator(),
        progress=steps.append,
        private_loss=losses.append,
    )
    assert steps == [1, 2, 3, 4]
    assert len(losses) == 1
    assert {name: (tuple(t.shape), t.dtype) for name, t in state.items()} == {
        "weight": ((LABELS, D), torch.float32),
        "bias": ((LABELS,), torch.float32),
    }
    assert all(bool(torch.isfinite(t).all()) for t in state.values())


def test_what_the_progress_raises_ends_the_training() -> None:
    def stop(number: int) -> None:
        if number == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(head(), *people(3), PARAMS, SecureGenerator(), progress=stop)


def test_a_head_can_be_trained_again() -> None:
    trained = head()
    for _ in range(2):
        train(trained, *people(3), PARAMS, SecureGenerator())
    assert not any(
        hasattr(module, "_forward_hooks") and module._forward_hooks for module in trained.modules()
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.1},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": math.nan},
        {"clip_norm": math.inf},
        {"steps": 0},
        {"population": -1},
    ],
)
def test_parameters_outside_their_domain_are_refused(wrong: dict[str, float]) -> None:
    good = {
        "sampling_rate": 0.5,
        "population": 20,
        "noise_multiplier": 0.7,
        "clip_norm": 0.4,
        "steps": 4,
        "learning_rate": 1.0,
    }
    make: Callable[..., StepParams] = StepParams
    with pytest.raises(AccountingError, match=next(iter(wrong))):
        make(**{**good, **wrong})
