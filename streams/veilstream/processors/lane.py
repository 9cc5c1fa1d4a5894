"""One source partition, from fetch to delivery.

    open ──▶ fetch ──▶ work ──▶ deliver ──▶ …
      ▲        (the next batch is worked on while this one is delivered, if that takes long)
      └── any error: close, wait, open again from the committed offset

1. **open**: the delivery is opened, which fences every earlier holder of the partition; only then is the
   committed offset read, and the reading place set to it. A committed offset of another incarnation of the
   topic says nothing about this one: it is read from its beginning.
2. **fetch**: records below the lane's own next offset are dropped: what was fetched before a rebalance, or
   before a jump back to the committed offset, comes again.
3. **work**: what the records become. It may wait (for the store); nothing is acknowledged meanwhile.
4. **deliver**: first the topic's incarnation is confirmed by a question asked after the fetch, so that no
   record of a recreated topic goes out under the old one's name; then outputs and offset are delivered.

A lane that is fenced lets the partition go, and asks for it again only if it is still assigned some seconds
later. The protocol is explored exhaustively in `protocol_model`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from veilstream.errors import Fenced
from veilstream.processors.decoding import RawRecord
from veilstream.processors.delivery import Delivery
from veilstream.processors.pipeline import Outcome

__all__ = ["Hooks", "Lane", "LogTruncated", "Source", "TopicRecreated", "WorkOn"]

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
_FETCH_SECONDS = 1.0
_SETTLE_SECONDS = 10.0
_TOP_UP_SECONDS = 0.002

WorkOn = Callable[[Sequence[RawRecord]], Awaitable[Sequence[Outcome]]]


class TopicRecreated(Exception):
    """The topic was deleted and made again while its records were under way."""


class LogTruncated(Exception):
    """The log ends before the place that was read: an unclean election, or a broker that was restored."""


def _from(offset: int, records: Sequence[Any]) -> list[Any]:
    """Those at or after `offset`; a fetch comes in the order of its offsets."""
    if not records or records[0].offset >= offset:
        return list(records)
    return [record for record in records if record.offset >= offset]


class Source(Protocol):
    """Where a lane reads: the consumer's side of one partition."""

    async def committed(self) -> tuple[int, str] | None:
        """The committed offset and the incarnation it belongs to ("" where none was written)."""

    async def seek(self, offset: int | None) -> int:
        """Read from `offset` on, or from the beginning; returns the offset.

        Raises:
            LogTruncated: the log ends before `offset`.
        """

    async def fetch(self, records: int, seconds: float) -> Sequence[Any]:
        """At most so many records, as soon as there is one; none after `seconds`."""

    async def incarnation(self, since: float) -> str:
        """The topic's id, by a question asked at or after `since` (monotonic seconds)."""


class Hooks(Protocol):
    """What a lane tells."""

    def opened(self, partition: int) -> None: ...
    def delivered(self, partition: int, outcomes: Sequence[Outcome], seconds: float) -> None: ...
    def failed(self, partition: int, error: BaseException, records: int) -> None: ...


class Lane:
    """Runs until it is cancelled. `next`: the offset after the last delivered record; None before `open`."""

    def __init__(
        self,
        partition: int,
        *,
        source: Source,
        delivery: Callable[[], Delivery],
        work: WorkOn,
        hooks: Hooks,
        set_incarnation: Callable[[str], None],
        room: Callable[[], int],
        cheap: Callable[[], bool],
        linger_seconds: float,
        fenced_seconds: float,
    ) -> None:
        """
        Args:
            room: most records of a batch, asked before each fetch.
            cheap: whether a batch's work takes less time than its delivery.
            linger_seconds: how long a batch that is not full waits for more.
            fenced_seconds: how long a fenced lane waits before it asks for the partition again.
        """
        self.partition = partition
        self.next: int | None = None
        self.incarnation = ""
        self.ending = False  # asked to end: a second cancellation would break off its settling
        self._source, self._new_delivery, self._work, self._hooks = source, delivery, work, hooks
        self._set_incarnation, self._room, self._cheap = set_incarnation, room, cheap
        self._linger, self._fenced_seconds = linger_seconds, fenced_seconds
        self._delivery: Delivery | None = None
        self._delivering: asyncio.Task[None] | None = None
        self._taken = 0  # the offset after the last fetched record
        self._under_way = 0
        self._progressed = False

    async def run(self) -> None:
        """Open, work, open again after any error; ends only by cancellation: settled, and closed."""
        wait = _FIRST_WAIT_SECONDS
        try:
            while True:
                try:
                    await self._flow(await self._open())
                except Exception as error:
                    if self._progressed:
                        wait = _FIRST_WAIT_SECONDS
                    self._hooks.failed(self.partition, error, self._under_way)
                    await self._close()
                    await asyncio.sleep(self._fenced_seconds if isinstance(error, Fenced) else wait)
                    wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        finally:
            try:
                await self._settle()
            finally:
                await self._close()

    async def _open(self) -> Delivery:
        self._progressed = False
        delivery = self._delivery = self._new_delivery()
        await delivery.open()
        # Not before: what an earlier holder had under way is decided now.
        incarnation = await self._source.incarnation(time.monotonic())
        self._set_incarnation(incarnation)
        committed = await self._source.committed()
        if committed is not None and committed[1] in ("", incarnation):
            start = await self._source.seek(committed[0])
        else:
            start = await self._source.seek(None)
        # Together: a commit in between would give the old topic's offset the new one's name.
        self.incarnation, self.next, self._taken = incarnation, start, start
        self._hooks.opened(self.partition)
        return delivery

    async def _flow(self, delivery: Delivery) -> None:
        while True:
            records = await self._fetch(self._room())
            if not records:
                if self._delivering is not None and self._delivering.done():
                    await self._delivered()
                continue
            # Asked now, so that the answer is there when the work is done.
            confirmed = asyncio.create_task(self._source.incarnation(time.monotonic()))
            confirmed.add_done_callback(lambda done: done.cancelled() or done.exception())
            began = time.monotonic()
            self._taken = records[-1].offset + 1
            self._under_way += len(records)
            outcomes = await self._work(
                [RawRecord(r.key, r.value, r.headers, r.timestamp, r.partition, r.offset) for r in records]
            )
            await self._delivered()
            self._delivering = asyncio.create_task(
                self._deliver(delivery, outcomes, self._taken, confirmed, began)
            )

    async def _fetch(self, room: int) -> list[Any]:
        """A batch of what is not below our own next offset; empty where nothing came in time."""
        fetched = await self._source.fetch(room, _FETCH_SECONDS)
        found = _from(self._taken, fetched)
        if fetched and not found:
            # Our place is beyond the log's end, and aiokafka went to its beginning by itself. To drop what
            # comes until it is back at our place would lose what was written meanwhile.
            same = await self._source.incarnation(time.monotonic()) == self.incarnation
            raise LogTruncated if same else TopicRecreated
        until = time.monotonic() + self._linger
        # Where work is cheap, what comes while a batch is delivered makes one batch, not many small ones.
        while found and len(found) < room and (time.monotonic() < until or self._busy()):
            await asyncio.sleep(self._linger or _TOP_UP_SECONDS)
            more = await self._source.fetch(room - len(found), 0.0)
            found += _from(found[-1].offset + 1, more)
        return found

    def _busy(self) -> bool:
        return self._delivering is not None and not self._delivering.done() and self._cheap()

    async def _deliver(
        self,
        delivery: Delivery,
        outcomes: Sequence[Outcome],
        upto: int,
        confirmed: asyncio.Task[str],
        began: float,
    ) -> None:
        if await confirmed != self.incarnation:
            raise TopicRecreated
        await delivery.deliver(outcomes, upto, self.incarnation)
        self.next, self._progressed = upto, True
        self._under_way -= len(outcomes)
        self._hooks.delivered(self.partition, outcomes, time.monotonic() - began)

    async def _delivered(self) -> None:
        """The delivery that is under way has ended well."""
        delivering = self._delivering
        if delivering is not None:
            # Not awaited itself: a stop would cancel it, and leave its transaction open for a minute.
            await asyncio.wait({delivering})
            self._delivering = None
            delivering.result()

    async def _settle(self) -> None:
        """What is being delivered is delivered, or has failed; what is only worked on will be read again."""
        if self._delivering is not None:
            await asyncio.wait({self._delivering}, timeout=_SETTLE_SECONDS)

    async def _close(self) -> None:
        delivering, self._delivering = self._delivering, None
        if delivering is not None:
            delivering.cancel()
            await asyncio.wait({delivering})
            _ = delivering.cancelled() or delivering.exception()
        self._under_way = 0
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            await delivery.close()
