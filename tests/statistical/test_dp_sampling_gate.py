"""Is the sampling Poisson: each person by themselves with probability q, and a batch of varying size?

* Inclusion: each person's count over T draws is Binomial(T, q). By Hoeffding's inequality it is off by
  √(T·ln(2n/α)/2) or more for any of n people with probability at most α = 1e-9.
* Size: (size - nq)²/(nq(1 - q)), summed over T draws, is close to χ² with T degrees of freedom (n·q = 200, so
  the excess kurtosis of a draw is below 0.01). The gate takes quantiles at 1e-12, which leaves room for that.
"""

from __future__ import annotations

import math

import torch
from scipy import stats

from veilstream.dp.noise import SecureGenerator
from veilstream.dp.sampling import sample_people

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
