"""Faults of what flows and of where it is kept: poison, a store that dies, a topic made anew."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import ClassVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from veilstream.bench.chaos.faults.base import Basic
from veilstream.bench.chaos.readers import read_raw
from veilstream.bench.chaos.world import World
from veilstream.errors import VeilstreamError
from veilstream.events.topics import topic_name
from veilstream.settings import kafka_options
from veilstream.transport import ensure_topics, incarnation

__all__ = ["KillStore", "Poison", "RecreateTopic"]


class Poison(Basic):
    """A burst of records that belong in quarantine, among good ones of the same people."""

    name: ClassVar[str] = "poison"

    async def apply(self, world: World, rng: random.Random) -> None:
        count = rng.randint(40, 90)
        world.load.poison(count)
        await asyncio.sleep(count / 30)


class KillStore(Basic):
    """SIGKILL of the store, gone for some seconds."""

    name: ClassVar[str] = "kill_store"

    async def apply(self, world: World, rng: random.Random) -> None:
        world.cluster.store.kill()
        await asyncio.sleep(rng.uniform(1.0, 5.0))

    async def heal(self, world: World) -> None:
        await world.cluster.start_store()


class RecreateTopic(Basic):
    """The raw topic is deleted and made again: another incarnation, whose offsets start at 0.

    What the old one held was read in full before. In half of the cases the processors had it all before it
    goes; in the others an output that was not seen by then may be there or not, but not twice.
    """

    name: ClassVar[str] = "recreate_topic"
    _MOST_SECONDS = 30.0

    async def apply(self, world: World, rng: random.Random) -> None:
        drained = rng.random() < 0.5
        old = world.incarnations[-1]
        await world.load.pause()
        if drained:
            await world.follower.until_through(old, await world.raw_ends(), self._MOST_SECONDS)
        held = await read_raw(world.settings.kafka, old)
        await self._delete(world)
        world.deleted += held
        # What was owed already stays owed where the processors had the time for it.
        if not drained:
            world.optional |= {record.place for record in held if not world.follower.saw(record.place)}

    async def heal(self, world: World) -> None:
        kafka = world.settings.kafka
        deadline = asyncio.get_running_loop().time() + self._MOST_SECONDS
        while True:
            with suppress(VeilstreamError, KafkaError):
                await ensure_topics(kafka)
                made = await incarnation(kafka, topic_name(kafka, "interactions.raw"))
                if made != world.incarnations[-1]:
                    break
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError("the raw topic did not come back")
            await asyncio.sleep(0.3)
        world.incarnations.append(made)
        world.load.incarnation = made
        world.load.resume()

    async def recovered(self, world: World, seconds: float) -> bool:
        """When the first records of the new topic have come out: at its heal there were none."""
        new = world.incarnations[-1]
        ends = await world.raw_ends()
        while sum(ends.values()) < world.options.people:
            await asyncio.sleep(0.2)
            ends = await world.raw_ends()
        left = await world.follower.until_through(new, ends, seconds)
        if left:
            world.follower.forgive(new, ends)
        return not left

    async def _delete(self, world: World) -> None:
        admin = AIOKafkaAdminClient(**kafka_options(world.settings.kafka))
        await admin.start()
        try:
            await admin.delete_topics([topic_name(world.settings.kafka, "interactions.raw")])
        finally:
            await admin.close()
