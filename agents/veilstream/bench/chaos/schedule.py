"""Which faults come in which order: a function of the seed and the names alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Turn", "schedule"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One fault: its name, which round it is in, and the seed of what it chooses (whom, how long)."""

    fault: str
    round: int
    seed: int


def schedule(seed: int, faults: Sequence[str]) -> Iterator[Turn]:
    """Rounds without end; each has every fault once, in an order of its own.

    So two rounds that fit into the minutes give every fault twice. The order of `faults` does not matter.
    Nothing is yielded where there are none.
    """
    chosen = random.Random(f"veilstream chaos {seed}")  # noqa: S311  # reproducible, not secret
    number = 0
    while faults:
        number += 1
        order = sorted(set(faults))
        chosen.shuffle(order)
        for name in order:
            yield Turn(name, number, chosen.getrandbits(32))
