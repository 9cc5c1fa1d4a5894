"""Faults of the brokers: restarted, killed, gone for a while, slow, out of disk."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import ClassVar

from veilstream.bench.chaos.cluster import NODES
from veilstream.bench.chaos.faults.base import Basic
from veilstream.bench.chaos.world import World

__all__ = ["FullDisk", "KillBroker", "LoseBroker", "RestartBroker", "SlowBroker"]


class KillBroker(Basic):
    """SIGKILL of a broker, started again at once."""

    name: ClassVar[str] = "kill_broker"
    _node = 0

    async def apply(self, world: World, rng: random.Random) -> None:
        self._node = rng.choice(NODES)
        world.cluster.kill_node(self._node)

    async def heal(self, world: World) -> None:
        await world.cluster.start_node(self._node)


class RestartBroker(KillBroker):
    """A broker stopped in order, and started again."""

    name: ClassVar[str] = "restart_broker"

    async def apply(self, world: World, rng: random.Random) -> None:
        self._node = rng.choice(NODES)
        await world.cluster.stop_node(self._node)


class LoseBroker(KillBroker):
    """One broker of three killed, and gone for a while: two carry on."""

    name: ClassVar[str] = "lose_broker"

    async def apply(self, world: World, rng: random.Random) -> None:
        await super().apply(world, rng)
        await asyncio.sleep(rng.uniform(8.0, 12.0))


class SlowBroker(Basic):
    """A broker that answers late: it is stopped for most of each third of a second.

    (Delays in the network itself would want the kernel's `sch_netem`, which many kernels do not have.)
    """

    name: ClassVar[str] = "slow_broker"
    _node = 0

    async def apply(self, world: World, rng: random.Random) -> None:
        self._node = rng.choice(NODES)
        end = asyncio.get_running_loop().time() + rng.uniform(8.0, 12.0)
        try:
            while asyncio.get_running_loop().time() < end:
                world.cluster.pause_node(self._node, True)
                await asyncio.sleep(0.22)
                world.cluster.pause_node(self._node, False)
                await asyncio.sleep(0.11)
        finally:
            with suppress(ProcessLookupError):
                world.cluster.pause_node(self._node, False)


class FullDisk(Basic):
    """A broker's disk is filled to the last byte; it fails its log and ends. Then there is room again."""

    name: ClassVar[str] = "full_disk"
    needs: ClassVar[frozenset[str]] = frozenset({"disks"})
    _node = 0

    async def apply(self, world: World, rng: random.Random) -> None:
        self._node = rng.choice(NODES)
        await asyncio.to_thread(world.cluster.disks[self._node].fill)
        end = asyncio.get_running_loop().time() + rng.uniform(8.0, 12.0)
        while asyncio.get_running_loop().time() < end:
            if not world.cluster.node_runs(self._node):
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(1.0)

    async def heal(self, world: World) -> None:
        world.cluster.disks[self._node].empty()
        # One that is still there may have a log that is offline: it would stay so until it is restarted.
        world.cluster.kill_node(self._node)
        await world.cluster.start_node(self._node)
