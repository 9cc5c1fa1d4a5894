"""Faults of the network: packets vanish, between namespaces of our own."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from typing import ClassVar

from veilstream.bench.chaos.cluster import NODES
from veilstream.bench.chaos.faults.base import Basic
from veilstream.bench.chaos.world import World

__all__ = ["CutAll", "CutBroker", "CutProcessor"]


class _Cut(Basic, ABC):
    needs: ClassVar[frozenset[str]] = frozenset({"network"})
    _names: tuple[str, ...] = ()

    @abstractmethod
    def choose(self, world: World, rng: random.Random) -> tuple[str, ...]:
        """Who is cut off."""

    async def apply(self, world: World, rng: random.Random) -> None:
        network = world.network
        if network is None:
            return
        self._names = self.choose(world, rng)
        for name in self._names:
            network.cut(name)
        await asyncio.sleep(world.settings.processor.session_seconds + rng.uniform(1.0, 5.0))

    async def heal(self, world: World) -> None:
        for name in self._names:
            if world.network is not None:
                world.network.join(name)


class CutProcessor(_Cut):
    """One processor loses brokers and store for longer than its session, while the others go on."""

    name: ClassVar[str] = "cut_processor"

    def choose(self, world: World, rng: random.Random) -> tuple[str, ...]:
        return (rng.choice(world.roles.processors),)


class CutAll(_Cut):
    """Every role loses the brokers and the store."""

    name: ClassVar[str] = "network_cut"

    def choose(self, world: World, rng: random.Random) -> tuple[str, ...]:
        return tuple(world.roles.running)


class CutBroker(_Cut):
    """One broker is cut off from the others and from everybody."""

    name: ClassVar[str] = "cut_broker"

    def choose(self, world: World, rng: random.Random) -> tuple[str, ...]:
        return (f"kafka-{rng.choice(NODES)}",)
