"""How much of a block may be spent by now: budget that is kept back is what later, smaller demands live on.

Luo et al., "Privacy Budget Scheduling" (PrivateKube, OSDI 2021), arXiv 2106.15335: DPF-N unlocks
1/N of a block with each demand that arrives for it, DPF-T as time goes by. Unlocking never takes back.
Amounts are rounded down; an order whose cap is not above 0 has nothing to unlock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from veilstream.contracts import BudgetBlock
from veilstream.errors import AccountingError

__all__ = ["AllAtOnce", "ByArrivals", "ByTime", "Unlocking"]


class Unlocking(Protocol):
    """The unlocked part of a block's capacity, in units at each order. Pure."""

    def unlocked(self, block: BudgetBlock, now: float) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True)
class AllAtOnce:
    """All of a block, from its creation on."""

    def unlocked(self, block: BudgetBlock, now: float) -> tuple[int, ...]:
        return block.capacity


@dataclass(frozen=True, slots=True)
class ByArrivals:
    """k/N of a block after k demands for it; all of it from N on. N from 1 up."""

    n: int

    def __post_init__(self) -> None:
        if type(self.n) is not int or self.n < 1:
            raise AccountingError("a fair share is one of N, an integer from 1 up")

    def unlocked(self, block: BudgetBlock, now: float) -> tuple[int, ...]:
        if block.arrivals >= self.n:
            return block.capacity
        return tuple(cap * block.arrivals // self.n if cap > 0 else cap for cap in block.capacity)


@dataclass(frozen=True, slots=True)
class ByTime:
    """Linearly over `seconds` from a block's creation, in `steps` equal steps (continuously where None).

    Nothing before the creation, or where the clock stands before it.
    """

    seconds: float
    steps: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise AccountingError("a block is unlocked over a finite number of seconds above 0")
        if self.steps is not None and (type(self.steps) is not int or self.steps < 1):
            raise AccountingError("steps is an integer from 1 up")

    def unlocked(self, block: BudgetBlock, now: float) -> tuple[int, ...]:
        part = Fraction(max(0.0, now - block.created)) / Fraction(self.seconds)
        if part >= 1:
            return block.capacity
        if self.steps is not None:
            part = Fraction(math.floor(part * self.steps), self.steps)
        return tuple(cap * part.numerator // part.denominator if cap > 0 else cap for cap in block.capacity)
