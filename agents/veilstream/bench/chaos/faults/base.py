"""What a fault is."""

from __future__ import annotations

import random
from typing import ClassVar, Protocol

from veilstream.bench.chaos.world import World

__all__ = ["Basic", "Fault"]


class Fault(Protocol):
    """One instance for each time that it happens.

    `apply` puts it in and returns within `seconds`; `heal` takes it away. Recovery is timed from there, until
    all that the raw topic held has come out and `recovered` is true.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    """Of `network`, `disks`, `clock`, `train`, `alerting`, `exactly_once`: without one it is left out."""
    seconds: ClassVar[float]
    """How long `apply` and `heal` may take together, a bound."""

    async def apply(self, world: World, rng: random.Random) -> None: ...
    async def heal(self, world: World) -> None: ...
    async def recovered(self, world: World, seconds: float) -> bool: ...


class Basic:
    """The usual: needs nothing, is over by itself, and is recovered from when the outputs are through."""

    needs: ClassVar[frozenset[str]] = frozenset()
    seconds: ClassVar[float] = 60.0

    async def heal(self, world: World) -> None:
        return

    async def recovered(self, world: World, seconds: float) -> bool:
        return True
