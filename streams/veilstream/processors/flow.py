"""The lanes of a process: one for each partition that it is assigned.

It opens them when partitions come, settles and closes them when partitions go, shares one thread of work
between them, and keeps their batches so small that the work of one takes about 50 ms: a full batch of slow
work would hold up the other lanes, and a stop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from veilstream.processors.decoding import RawRecord
from veilstream.processors.delivery import Delivery
from veilstream.processors.lane import Hooks, Lane, Source
from veilstream.processors.pipeline import Outcome
from veilstream.processors.work import Work

__all__ = ["Flow"]

T = TypeVar("T")

_WORK_SECONDS = 0.05
_LEAST_RECORDS = 8
_CHEAP_SECONDS = 0.0002  # a record: a small batch of them is done in less than a transaction takes
_WEIGHT = 0.3  # of the newest batch in the running mean


class Flow:
    """Lanes by partition."""

    def __init__(
        self,
        *,
        work: Work,
        hooks: Hooks,
        source: Callable[[int], Source],
        delivery: Callable[[int], Delivery],
        waiting: Callable[[], None],
        batch_records: int,
        linger_seconds: float,
        fenced_seconds: float,
    ) -> None:
        """
        Args:
            source, delivery: a partition's reading and writing side.
            waiting: called while the work waits for the store.
        """
        self._work, self._hooks = work, hooks
        self._source, self._delivery, self._waiting = source, delivery, waiting
        self._batch_records = batch_records
        self._linger, self._fenced_seconds = linger_seconds, fenced_seconds
        self._lanes: dict[int, tuple[Lane, asyncio.Task[None]]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="work")
        self._seconds_a_record = 0.0
        self.working = 0  # batches whose work is under way

    @property
    def next_offsets(self) -> dict[int, int]:
        """The offset after the last delivered record of each partition that is open."""
        return {number: lane.next for number, (lane, _) in self._lanes.items() if lane.next is not None}

    def incarnation_of(self, partition: int) -> str:
        """The topic's id that a partition's offsets belong to."""
        return self._lanes[partition][0].incarnation

    def assign(self, partitions: Iterable[int]) -> None:
        """Open lanes for these partitions, and no others; each reads its committed offset anew."""
        for partition in partitions:
            lane = Lane(
                partition,
                source=self._source(partition),
                delivery=partial(self._delivery, partition),
                work=self._do,
                hooks=self._hooks,
                set_incarnation=self._work.set_incarnation,
                room=self._room,
                cheap=self._cheap,
                linger_seconds=self._linger,
                fenced_seconds=self._fenced_seconds,
            )
            self._lanes[partition] = lane, asyncio.create_task(lane.run(), name=f"lane-{partition}")

    async def drain(self) -> None:
        """End every lane once what it delivers is delivered; `next_offsets` still says how far each came."""
        tasks = [task for _, task in self._lanes.values()]
        for lane, task in self._lanes.values():
            if not lane.ending:
                lane.ending = True
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Drain, and forget the partitions."""
        await self.drain()
        self._lanes.clear()

    def _room(self) -> int:
        """Most records of the next batch."""
        if not self._seconds_a_record:
            return min(self._batch_records, 64)
        return max(_LEAST_RECORDS, min(self._batch_records, int(_WORK_SECONDS / self._seconds_a_record)))

    def _cheap(self) -> bool:
        return 0 < self._seconds_a_record < _CHEAP_SECONDS

    async def _do(self, records: Sequence[RawRecord]) -> Sequence[Outcome]:
        busy = 0.0

        async def run(job: Callable[[], T]) -> T:
            # In a thread, so that heartbeats, health and the producers go on meanwhile.
            def timed() -> tuple[T, float]:
                began = time.thread_time()
                return job(), time.thread_time() - began

            nonlocal busy
            result, seconds = await asyncio.get_running_loop().run_in_executor(self._thread, timed)
            busy += seconds
            return result

        self.working += 1
        try:
            outcomes = await self._work.batch(records, run, self._waiting)
        finally:
            self.working -= 1
        seconds = busy / len(records)
        if not self._seconds_a_record:
            self._seconds_a_record = seconds
        self._seconds_a_record += _WEIGHT * (seconds - self._seconds_a_record)
        return outcomes
