"""Is the sampling Poisson: each person by themselves with probability q, and a batch of varying size?

* Inclusion: each person's count over T draws is Binomial(T, q). By Hoeffding's inequality it is off by
  √(T·ln(2n/α)/2) or more for any of n people with probability at most α = 1e-9.
* Size: (size - nq)²/(nq(1 - q)), summed over T draws, is close to χ² with T degrees of freedom (n·q = 200, so
  the excess kurtosis of a draw is below 0.01). The gate takes quantiles at 1e-12, which leaves room for that.
* Rate: the number drawn in all is Binomial(nT, q); its quantiles at 1e-9 refuse a rate that is 2 % off from
  some 2 million coins on (2 % of the mean are then 14 standard deviations).

The last tests look at the batches that `train` makes, since that is where the coins are spent.
"""

from __future__ import annotations

import math
import sys

import pytest
import torch
from scipy import stats
from torch import nn

from veilstream.dp.noise import SecureGenerator
from veilstream.dp.params import StepParams
from veilstream.dp.sampling import sample_people
from veilstream.dp.train import train

PEOPLE, RATE, DRAWS = 1000, 0.2, 400


def inclusion(batches: list[torch.Tensor]) -> bool:
    counts = torch.bincount(torch.cat(batches), minlength=PEOPLE)
    bound = math.sqrt(DRAWS * math.log(2 * PEOPLE / 1e-9) / 2)
    return bool(((counts - RATE * DRAWS).abs() <= bound).all())


def sizes(batches: list[torch.Tensor]) -> bool:
    variance = PEOPLE * RATE * (1 - RATE)
    statistic = sum((len(batch) - PEOPLE * RATE) ** 2 for batch in batches) / variance
    return bool(stats.chi2.ppf(1e-12, DRAWS) <= statistic <= stats.chi2.isf(1e-12, DRAWS))


def test_people_are_sampled_independently() -> None:
    generator = SecureGenerator()
    batches = [sample_people(PEOPLE, RATE, generator) for _ in range(DRAWS)]
    assert inclusion(batches)
    assert sizes(batches)
    assert len({tuple(batch.tolist()) for batch in batches}) == DRAWS


def test_a_batch_of_fixed_size_is_refused() -> None:
    draw = torch.Generator().manual_seed(1)
    batches = [torch.randperm(PEOPLE, generator=draw)[: int(PEOPLE * RATE)] for _ in range(DRAWS)]
    assert inclusion(batches)
    assert not sizes(batches)


def test_a_shuffled_epoch_is_refused() -> None:
    draw = torch.Generator().manual_seed(1)
    epochs = [torch.randperm(PEOPLE, generator=draw).chunk(int(1 / RATE)) for _ in range(int(DRAWS * RATE))]
    assert not sizes([batch for epoch in epochs for batch in epoch])


def test_the_first_people_of_the_window_are_refused() -> None:
    batches = [torch.arange(len(sample_people(PEOPLE, RATE, SecureGenerator()))) for _ in range(DRAWS)]
    assert sizes(batches)
    assert not inclusion(batches)


def rate_holds(rate: float) -> bool:
    """Whether coins of a rate pass for coins of RATE."""
    generator, people, draws = SecureGenerator(), 20_000, 100
    drawn = sum(len(sample_people(people, rate, generator)) for _ in range(draws))
    low, high = (stats.binom.ppf(p, people * draws, RATE) for p in (1e-9, 1 - 1e-9))
    return bool(low <= drawn <= high)


@pytest.mark.parametrize(("factor", "passes"), [(0.98, False), (1.0, True), (1.02, False)])
def test_a_rate_that_is_two_per_cent_off_is_refused(factor: float, passes: bool) -> None:
    assert rate_holds(RATE * factor) is passes


def batches_of_training(generator: SecureGenerator) -> list[torch.Tensor]:
    """Who was in each step of a training: a person's only feature is their number."""
    params = StepParams(
        sampling_rate=RATE,
        population=PEOPLE,
        noise_multiplier=1.0,
        clip_norm=1.0,
        steps=DRAWS,
        learning_rate=1e-6,
    )
    head = nn.Linear(1, 2)
    found: list[torch.Tensor] = []
    head.register_forward_pre_hook(lambda _, given: found.append(given[0].flatten().long()))
    train(
        head,
        torch.arange(PEOPLE, dtype=torch.float64).reshape(PEOPLE, 1, 1),
        torch.ones(PEOPLE, 1, dtype=torch.bool),
        torch.zeros(PEOPLE, 1, dtype=torch.long),
        params,
        generator,
    )
    assert len(found) == DRAWS  # batches of 200 and some fit into one pass each
    return found


def poisson(batches: list[torch.Tensor]) -> bool:
    fresh = len({tuple(batch.tolist()) for batch in batches}) == len(batches)
    return fresh and inclusion(batches) and sizes(batches)


def test_training_samples_afresh_in_each_step_and_in_each_run() -> None:
    first, second = batches_of_training(SecureGenerator()), batches_of_training(SecureGenerator())
    assert poisson(first)
    assert poisson(second)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_that_tosses_the_same_coins_in_each_step_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def again(people: int, rate: float, _: SecureGenerator) -> torch.Tensor:
        return sample_people(people, rate, SecureGenerator(lambda count: b"1" * count))

    # By the module table: `veilstream.dp.train` as an attribute is the function of that name.
    monkeypatch.setattr(sys.modules["veilstream.dp.train"], "sample_people", again)
    assert not poisson(batches_of_training(SecureGenerator()))
