"""PLD, for calibrating and reporting.

The privacy-loss-distribution accountant of `dp-accounting` is tighter than Rényi orders, and is a guarantee
only for a run whose parameters were *all* fixed before its first release. The ledger never decides by it.

Koskela, Jälkö & Honkela, arXiv 1906.03049; Doroshenko et al., "Connect the Dots", arXiv 2207.04380. Rounded
up (`pessimistic`) it is an upper bound on ε, rounded down a lower bound, both by dominance and not on
average: the two hold the exact value between them, whatever the interval of discretisation. In real
arithmetic: the convolutions are in doubles, and dp-accounting does not count their rounding (`prv` does).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from veilstream.accounting.certified import CertifiedMu, certified_mu
from veilstream.accounting.conversion import check_delta
from veilstream.accounting.gdp import gaussian_mu
from veilstream.accounting.rdp import subsampled_gaussian
from veilstream.accounting.rounding import SLACK
from veilstream.errors import AccountingError, MissingExtra

__all__ = [
    "PLD_LABEL",
    "PLDReport",
    "Stage",
    "certified_mu_of",
    "pld_bracket",
    "pld_curve",
    "pld_epsilon",
    "pld_epsilons",
]

PLD_LABEL = "PLD; holds only for a run whose parameters were all fixed beforehand"

_TAIL = 1e-15  # mass that a composition may move to +∞ (pessimistic) or drop from the bottom


@dataclass(frozen=True, slots=True)
class PLDReport:
    """ε by the PLD accountant, with the condition under which it is a guarantee."""

    epsilon: float
    delta: float
    label: str = PLD_LABEL


@dataclass(frozen=True, slots=True)
class Stage:
    """`steps` steps of the Poisson-subsampled Gaussian with the same parameters."""

    sampling_rate: float
    noise_multiplier: float
    steps: int


def pld_epsilon(
    sampling_rate: float, noise_multiplier: float, steps: int, delta: float, *, interval: float = 1e-4
) -> PLDReport:
    """ε at `delta` of `steps` steps of the Poisson-subsampled Gaussian, add/remove, pessimistic estimate.

    Takes 0.02–1.3 s at this `interval` (nats). q = 0 is 0; σ = 0 is +∞.

    Raises:
        AccountingError: a parameter outside its domain.
        MissingExtra: dp-accounting is not installed.
    """
    check_delta(delta)
    stage = Stage(sampling_rate, noise_multiplier, steps)
    return PLDReport(pld_curve([stage], interval=interval)(delta), delta)


def pld_bracket(stages: Sequence[Stage], delta: float, *, interval: float = 1e-3) -> tuple[float, float]:
    """A lower and an upper bound on the exact ε at `delta` of a run of these stages.

    The bounds are those of PLD rounded down and up; they close in on each other as `interval` falls. The
    lower one loses up to an interval a step: for thousands of steps `prv.prv_bracket` is much closer. Holds
    under the condition of `PLD_LABEL`.

    Raises:
        AccountingError: a parameter outside its domain, or no stage.
        MissingExtra: dp-accounting is not installed.
    """
    check_delta(delta)
    lower = pld_curve(stages, interval=interval, pessimistic=False)
    # A composition moves up to a tail's mass to +∞, which only an upper bound may keep.
    moved = 2 * len(stages) * _TAIL
    return lower(delta + moved), pld_curve(stages, interval=interval)(delta)


def pld_curve(
    stages: Sequence[Stage], *, interval: float = 1e-4, pessimistic: bool = True
) -> Callable[[float], float]:
    """ε as a function of δ, of a run of these stages one after the other; +∞ below the mass at +∞.

    Stages of q = 0 cost nothing; a stage of σ = 0 makes ε +∞ at every δ.

    Raises:
        AccountingError: a parameter outside its domain, or no stage.
        MissingExtra: dp-accounting is not installed.
    """
    if not stages:
        raise AccountingError("a run has at least one stage")
    for stage in stages:
        _check(stage)
    costly = [stage for stage in stages if stage.sampling_rate > 0.0]
    if not costly:
        return lambda delta: 0.0
    if any(stage.noise_multiplier == 0.0 for stage in costly):
        return lambda delta: float("inf")
    whole: Any = None
    for stage in costly:
        part = _distribution(stage, interval, pessimistic).self_compose(stage.steps, _TAIL)
        whole = part if whole is None else whole.compose(part, _TAIL)
    return lambda delta: float(whole.get_epsilon_for_delta(delta))


def pld_epsilons(
    stage: Stage, delta: float, windows: Sequence[int], *, interval: float = 1e-3
) -> tuple[float, ...]:
    """ε at `delta` after each of these numbers of windows, each window one `stage`: pessimistic estimate.

    Raises:
        AccountingError: a parameter outside its domain, or a number of windows below 1.
        MissingExtra: dp-accounting is not installed.
    """
    check_delta(delta)
    _check(stage)
    if any(type(count) is not int or count < 1 for count in windows):
        raise AccountingError("windows are integers from 1 up")
    if stage.sampling_rate == 0.0 or stage.noise_multiplier == 0.0:
        return tuple(0.0 if stage.sampling_rate == 0.0 else float("inf") for _ in windows)
    step = _distribution(stage, interval, True)
    return tuple(
        float(step.self_compose(stage.steps * count, _TAIL).get_epsilon_for_delta(delta)) for count in windows
    )


def certified_mu_of(
    stages: Sequence[Stage], low_delta: float, high_delta: float, *, interval: float = 1e-3
) -> CertifiedMu:
    """The certified μ of a run of these stages: bounds its (pessimistic) PLD at every δ of the range.

    0.1–2 s. Where no stage is sampled it is exact, at every δ, and dp-accounting is not asked.

    Raises:
        AccountingError: as `pld_curve` and `certified_mu`.
        MissingExtra: dp-accounting is not installed.
    """
    for stage in stages:
        _check(stage)
    if stages and all(stage.sampling_rate in (0.0, 1.0) for stage in stages):
        noises = [s.noise_multiplier for s in stages for _ in range(s.steps) if s.sampling_rate == 1.0]
        exact = gaussian_mu(noises)
        return CertifiedMu(exact, exact / SLACK, low_delta, high_delta)
    return certified_mu(pld_curve(stages, interval=interval), low_delta, high_delta)


def _check(stage: Stage) -> None:
    if type(stage.steps) is not int or stage.steps < 1:
        raise AccountingError("steps is an integer from 1 up")
    subsampled_gaussian(stage.sampling_rate, stage.noise_multiplier, 2)  # the parameters' domains


def _distribution(stage: Stage, interval: float, pessimistic: bool) -> Any:
    """The privacy loss distribution of one step, in both directions."""
    try:
        from dp_accounting.pld import privacy_loss_distribution
    except ImportError:
        raise MissingExtra(
            "dp-accounting is not installed", hint="pip install 'veilstream[trainers]'"
        ) from None
    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=stage.noise_multiplier,
        sampling_prob=stage.sampling_rate,
        value_discretization_interval=interval,
        pessimistic_estimate=pessimistic,
        use_connect_dots=pessimistic,  # the lower estimate is Privacy Buckets: rounded down, step by step
    )
