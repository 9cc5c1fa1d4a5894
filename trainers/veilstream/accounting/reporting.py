"""PLD, for reporting.

The privacy-loss-distribution accountant of `dp-accounting` is tighter than Rényi orders, and is a guarantee
only for a run whose parameters were *all* fixed before its first release. The ledger never decides by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from veilstream.accounting.conversion import check_delta
from veilstream.accounting.rdp import subsampled_gaussian
from veilstream.errors import AccountingError, MissingExtra

__all__ = ["PLD_LABEL", "PLDReport", "pld_epsilon"]

PLD_LABEL = "PLD; holds only for a run whose parameters were all fixed beforehand"


@dataclass(frozen=True, slots=True)
class PLDReport:
    """ε by the PLD accountant, with the condition under which it is a guarantee."""

    epsilon: float
    delta: float
    label: str = PLD_LABEL


def pld_epsilon(
    sampling_rate: float, noise_multiplier: float, steps: int, delta: float, *, interval: float = 1e-4
) -> PLDReport:
    """ε at `delta` of `steps` steps of the Poisson-subsampled Gaussian, add/remove, pessimistic estimate.

    Koskela, Jälkö & Honkela, arXiv 1906.03049; Doroshenko et al., arXiv 2207.04380 (the discretisation,
    `interval` nats). Takes 0.02–1.3 s. q = 0 is 0; σ = 0 is +∞.

    Raises:
        AccountingError: a parameter outside its domain.
        MissingExtra: dp-accounting is not installed.
    """
    check_delta(delta)
    if type(steps) is not int or steps < 1:
        raise AccountingError("steps is an integer from 1 up")
    subsampled_gaussian(sampling_rate, noise_multiplier, 2)  # the parameters' domains
    if sampling_rate == 0.0:
        return PLDReport(0.0, delta)
    if noise_multiplier == 0.0:
        return PLDReport(float("inf"), delta)
    try:
        import dp_accounting
        from dp_accounting.pld import PLDAccountant
    except ImportError:
        raise MissingExtra(
            "dp-accounting is not installed", hint="pip install 'veilstream[trainers]'"
        ) from None
    accountant = PLDAccountant(
        dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=interval
    )
    step = dp_accounting.PoissonSampledDpEvent(sampling_rate, dp_accounting.GaussianDpEvent(noise_multiplier))
    accountant.compose(step, steps)
    return PLDReport(float(accountant.get_epsilon(delta)), delta)
