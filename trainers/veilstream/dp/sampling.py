"""Poisson sampling of people."""

from __future__ import annotations

import torch

from veilstream.dp.noise import SecureGenerator
from veilstream.errors import AccountingError

__all__ = ["sample_people"]


def sample_people(people: int, rate: float, generator: SecureGenerator) -> torch.Tensor:
    """Draw each of `people` persons independently with probability `rate`; int64 indices, ascending.

    This is the sampling that amplification by Poisson subsampling is proved for (Zhu & Wang, ICML 2019;
    Mironov, Talwar & Zhang, 1908.10530): independent for each person and each step, of variable size, and
    secret. A shuffle, a fixed-size draw or the order of arrival is not (Chua et al., 2403.17673).

    `rate` is met to 2^-53, always from above, so a rate below 2^-53 samples with 2^-53; 1 draws everyone.
    No people, or none drawn, gives an empty tensor: a step on it adds the same noise as any other.

    Raises:
        AccountingError: the rate is not in (0, 1], or the count is negative.
    """
    if not 0 < rate <= 1:
        raise AccountingError(f"a sampling rate is in (0, 1], got {rate}")
    if people < 0:
        raise AccountingError(f"a number of people is not negative, got {people}")
    return torch.nonzero(generator.uniforms(people) < rate).reshape(-1)
