"""The producer: a steady rate, in order, acknowledged by every replica, sent again until it is.

It keeps the client's contract (`acks=all`, idempotent). When the client library gives a delivery up, its fate
is unknown: everything that is not acknowledged is sent again, in order, by a new producer. So the raw topic
may hold a record twice; what it holds is the truth that outputs are judged by.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

from veilstream.bench.chaos.oracle import Place
from veilstream.bench.chaos.records import POISONS, Item, good, poison
from veilstream.errors import VeilstreamError
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import producing

__all__ = ["Load"]

_TICK_SECONDS = 0.05
_MOST_WAITING = 2000  # unacknowledged: with more, nothing new is made until the broker catches up
_SEND_SECONDS = 15.0


class Load:
    """Runs until `finish`.

    Args:
        rate: good records a second.
        people: how many take part.
        incarnation: of the raw topic; set anew, while paused, when the topic is made anew.
    """

    def __init__(
        self, kafka: KafkaSettings, *, seed: int, rate: float, people: int, incarnation: str
    ) -> None:
        self._kafka = kafka
        self._topic = topic_name(kafka, "interactions.raw")
        self._rng = random.Random(f"load {seed}")  # noqa: S311  # reproducible, not secret
        self._rate = rate
        self._people = people
        self._seq = [0] * people
        self._wanted: deque[str] = deque()
        self._waiting: dict[int, Item] = {}
        self._number = 0
        self._broken = False
        self._paused = False
        self._ended = False
        self._idle = asyncio.Event()
        self.incarnation = incarnation
        self.acknowledged: set[Place] = set()
        self.resent = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def poison(self, count: int) -> None:
        """Put a burst of poison among the good records, every kind in turn."""
        self._wanted.extend(POISONS[number % len(POISONS)] for number in range(count))

    async def pause(self) -> None:
        """Make no more, and wait until all is acknowledged."""
        self._idle.clear()
        self._paused = True
        await self._idle.wait()

    def resume(self) -> None:
        self._paused = False

    async def finish(self) -> None:
        """Pause for good."""
        await self.pause()
        self._ended = True

    async def run(self) -> None:
        """Until `finish` has ended. Whatever the broker does is waited for."""
        producer: Any = None
        try:
            while not self._ended:
                if self._paused and not self._waiting:
                    await self._drop(producer)  # a topic made anew: no state of the old one
                    producer = None
                    self._idle.set()
                elif producer is None or self._broken:
                    await self._drop(producer)
                    producer = await self._renew()
                if not self._paused and producer is not None:
                    await self._tick(producer)
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            await self._drop(producer)

    async def _tick(self, producer: Any) -> None:
        count = self._rate * _TICK_SECONDS
        whole = int(count) + (self._rng.random() < count % 1)
        for _ in range(whole):
            if len(self._waiting) >= _MOST_WAITING or self._broken:
                return
            person = self._rng.randrange(self._people)
            self._seq[person] += 1
            await self._send(producer, self._keep(good(person, self._seq[person], self._rng)))
        for _ in range(min(2, len(self._wanted))):
            person = self._rng.randrange(self._people)
            item = poison(self._wanted.popleft(), person, self._kafka.max_record_bytes, self._rng)
            await self._send(producer, self._keep(item))

    def _keep(self, item: Item) -> int:
        self._number += 1
        self._waiting[self._number] = item
        return self._number

    async def _send(self, producer: Any, number: int) -> None:
        item = self._waiting[number]
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                future = await producer.send(self._topic, item.value, key=item.key, headers=item.headers)
        except (KafkaError, TimeoutError, OSError):
            self._broken = True
            return
        future.add_done_callback(lambda done: self._settled(number, done))

    def _settled(self, number: int, done: Any) -> None:
        if done.cancelled() or done.exception() is not None:
            self._broken = True
            return
        answer = done.result()
        self._waiting.pop(number, None)
        self.acknowledged.add((self.incarnation, answer.partition, answer.offset))

    async def _renew(self) -> Any:
        """A new producer, and all that waits sent by it, oldest first; None where there is no broker."""
        try:
            producer = await producing.start(self._kafka, linger_ms=5)
        except VeilstreamError:
            return None
        self._broken = False
        for number in sorted(self._waiting):
            self.resent += 1
            await self._send(producer, number)
            if self._broken:
                break
        return producer

    async def _drop(self, producer: Any) -> None:
        if producer is not None:
            with suppress(KafkaError, OSError):
                await producing.stop(producer, self._kafka)
