"""Faults of our own processes: killed, frozen, stopped, more and fewer of them."""

from __future__ import annotations

import asyncio
import random
from typing import ClassVar

from veilstream.bench.chaos.faults.base import Basic
from veilstream.bench.chaos.roles import ALERTING, TRAIN, processor
from veilstream.bench.chaos.world import World

__all__ = [
    "KillAlerting",
    "KillProcessor",
    "KillRelay",
    "KillWorker",
    "RollingRestart",
    "Scale",
    "Terminate",
    "Zombie",
]

START_SECONDS = 25.0


class KillProcessor(Basic):
    """SIGKILL of a processor, in the middle of whatever it does."""

    name: ClassVar[str] = "kill_processor"

    async def apply(self, world: World, rng: random.Random) -> None:
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        role = rng.choice(world.roles.processors)
        await world.roles.kill_surely(role)


class _KillRole(Basic):
    role: ClassVar[str]

    async def apply(self, world: World, rng: random.Random) -> None:
        await asyncio.sleep(rng.uniform(0.0, 2.0))
        await world.roles.kill_surely(self.role)

    async def recovered(self, world: World, seconds: float) -> bool:
        """When it says that it works again. (Loading the training libraries alone may take half a minute.)"""
        return await world.roles.until_started(self.role, 2 * seconds)


class KillWorker(_KillRole):
    """SIGKILL of the training worker, wherever its window is."""

    name: ClassVar[str] = "kill_worker"
    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    role: ClassVar[str] = TRAIN


class KillAlerting(_KillRole):
    """SIGKILL of alerting."""

    name: ClassVar[str] = "kill_alerting"
    needs: ClassVar[frozenset[str]] = frozenset({"alerting"})
    role: ClassVar[str] = ALERTING


class KillRelay(_KillRole):
    """SIGKILL of the process that the relay lives in, at a moment when the ledger's outbox holds an entry."""

    name: ClassVar[str] = "kill_relay"
    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    role: ClassVar[str] = TRAIN
    _PATIENCE_SECONDS = 20.0

    async def apply(self, world: World, rng: random.Random) -> None:
        deadline = asyncio.get_running_loop().time() + self._PATIENCE_SECONDS
        outbox = f"veil:ledger:{{{world.settings.worker.budget}}}:outbox"
        while not await world.ledger.client.xlen(outbox):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.003)
        await world.roles.kill_surely(TRAIN)


class Zombie(Basic):
    """SIGSTOP until the session has timed out and others have the partitions; then it wakes up."""

    name: ClassVar[str] = "zombie"
    _role = ""

    async def apply(self, world: World, rng: random.Random) -> None:
        self._role = rng.choice(world.roles.processors)
        world.roles.freeze(self._role)
        await asyncio.sleep(world.settings.processor.session_seconds + rng.uniform(2.0, 5.0))

    async def heal(self, world: World) -> None:
        world.roles.thaw(self._role)


class Terminate(Basic):
    """SIGTERM of a processor, which ends in order; then it is started again."""

    name: ClassVar[str] = "sigterm"
    _role = ""

    async def apply(self, world: World, rng: random.Random) -> None:
        self._role = rng.choice(world.roles.processors)
        await world.roles.stop(self._role)

    async def heal(self, world: World) -> None:
        await world.roles.start(self._role)


class RollingRestart(Basic):
    """Every processor in turn: SIGTERM, started again, and the next when it works."""

    name: ClassVar[str] = "rolling_restart"

    async def apply(self, world: World, rng: random.Random) -> None:
        for role in world.roles.processors:
            await world.roles.stop(role)
            await world.roles.start(role)
            await world.roles.until_started(role, START_SECONDS)


class Scale(Basic):
    """One processor, then four, then as many as before."""

    name: ClassVar[str] = "scale"
    seconds: ClassVar[float] = 90.0

    async def apply(self, world: World, rng: random.Random) -> None:
        before = world.roles.processors
        for role in before[1:]:
            await world.roles.stop(role)
        await asyncio.sleep(rng.uniform(1.0, 3.0))
        four = [processor(number) for number in range(1, 5)]
        added = [role for role in four if role not in world.roles.processors]
        for role in added:
            await world.roles.start(role)
        await asyncio.gather(*(world.roles.until_started(role, START_SECONDS) for role in added))
        await asyncio.sleep(rng.uniform(0.0, 2.0))
        for role in world.roles.processors:
            if role not in before:
                await world.roles.stop(role)
