"""A workload: blocks that come, demands that come, and how often it is decided."""

from __future__ import annotations

from dataclasses import dataclass, field

from veilstream.contracts import BudgetBlock, Demand
from veilstream.ledger.allocation import Unlocking

__all__ = ["Workload"]


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything that a policy is shown, in order of time. Seconds from the start of the run."""

    name: str
    blocks: tuple[BudgetBlock, ...]  # by creation
    demands: tuple[Demand, ...]  # by arrival
    kinds: dict[str, str]  # demand id to kind: what the figures are grouped by
    weights: dict[str, float]  # model to its weight
    unlocking: Unlocking  # of all policies but first come
    fair_n: int  # a dominant share up to 1/N is no more than a fair one
    period_seconds: float  # from one pass of the allocator to the next
    end_seconds: float
    parameters: dict[str, object] = field(default_factory=dict)  # public, for the report
