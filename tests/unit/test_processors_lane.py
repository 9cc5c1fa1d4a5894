"""A lane against a broker in memory: what it drops, repeats, discards and lets go of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from veilstream.errors import BrokerUnavailable, Fenced
from veilstream.processors.decoding import RawRecord
from veilstream.processors.flow import Flow
from veilstream.processors.lane import Lane, LogTruncated
from veilstream.processors.pipeline import Outcome


class Broker:
    """One partition: its records, the committed offset, what was delivered, and faults to come."""

    def __init__(self, records: int) -> None:
        self.id, self.end = "one", records
        self.committed_offset: tuple[int, str] | None = None
        self.position = 0
        self.delivered: list[tuple[str, int]] = []
        self.faults: list[Exception] = []
        self.opened = 0
        self.stale: list[list[int]] = []  # fetches of before, that come first
        self.steps: list[str] = []
        self.on_fetch: Callable[[], None] = lambda: None

    # lane.Source
    async def committed(self) -> tuple[int, str] | None:
        self.steps.append("committed")
        return self.committed_offset

    async def seek(self, offset: int | None) -> int:
        if offset is not None and offset > self.end:
            raise LogTruncated
        self.position = offset or 0
        return self.position

    async def fetch(self, records: int, seconds: float) -> Sequence[Any]:
        self.on_fetch()
        if self.stale:
            return [_record(number) for number in self.stale.pop(0)]
        upto = min(self.end, self.position + records)
        if upto == self.position:
            await asyncio.sleep(0.001)
            return []
        found = [_record(number) for number in range(self.position, upto)]
        self.position = upto
        return found

    async def incarnation(self, since: float) -> str:
        await asyncio.sleep(0)
        return self.id

    # delivery.Delivery
    async def open(self) -> None:
        self.steps.append("open")
        self.opened += 1

    async def deliver(self, outcomes: Sequence[Outcome], upto: int, incarnation: str) -> None:
        await asyncio.sleep(0)
        if self.faults:
            raise self.faults.pop(0)
        self.delivered += [(incarnation, outcome.offset) for outcome in outcomes]
        self.committed_offset = upto, incarnation

    async def close(self) -> None:
        self.steps.append("close")


def _record(offset: int) -> Any:
    return SimpleNamespace(key=b"k", value=b"v", headers=(), timestamp=0, partition=0, offset=offset)


class Told:
    def __init__(self) -> None:
        self.errors: list[str] = []

    def opened(self, partition: int) -> None: ...
    def delivered(self, partition: int, outcomes: Sequence[Outcome], seconds: float) -> None: ...
    def failed(self, partition: int, error: BaseException, records: int) -> None:
        self.errors.append(type(error).__name__)


async def _work(records: Sequence[RawRecord]) -> Sequence[Outcome]:
    return [
        Outcome("interactions.protected", b"k", b"v", [], None, record.partition, record.offset)
        for record in records
    ]


def lane_of(
    broker: Broker,
    told: Told,
    *,
    fenced_seconds: float = 0.05,
    room: int = 3,
    linger_seconds: float = 0.0,
    cheap: bool = False,
) -> Lane:
    return Lane(
        0,
        source=broker,
        delivery=lambda: broker,
        work=_work,
        hooks=told,
        set_incarnation=lambda _: None,
        room=lambda: room,
        cheap=lambda: cheap,
        linger_seconds=linger_seconds,
        fenced_seconds=fenced_seconds,
    )


@asynccontextmanager
async def running(broker: Broker, **options: Any) -> AsyncIterator[Told]:
    told = Told()
    task = asyncio.create_task(lane_of(broker, told, **options).run())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert broker.steps[-1] == "close"


async def until(true: Callable[[], Any]) -> None:
    for _ in range(5000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("waited too long")


async def delivered(broker: Broker, count: int) -> None:
    await until(lambda: len(broker.delivered) >= count)
    await asyncio.sleep(0.02)  # and nothing more


def each_once(broker: Broker, first: int = 0) -> bool:
    return broker.delivered == [("one", number) for number in range(first, broker.end)]


def each_once_of(broker: Broker, records: int) -> bool:
    return broker.delivered == [("one", number) for number in range(records)]


@pytest.mark.parametrize("cheap", [False, True])
async def test_each_record_once_in_order_from_the_committed_offset(cheap: bool) -> None:
    broker = Broker(20)
    broker.committed_offset = 5, "one"
    async with running(broker, cheap=cheap):
        await delivered(broker, 15)
    assert each_once(broker, first=5)
    assert broker.steps == ["open", "committed", "close"]  # the fence first


async def test_an_offset_of_before_incarnations_is_taken() -> None:
    broker = Broker(8)
    broker.committed_offset = 5, ""
    async with running(broker):
        await delivered(broker, 3)
    assert each_once(broker, first=5)


async def test_what_was_fetched_before_is_dropped() -> None:
    broker = Broker(10)
    broker.committed_offset = 4, "one"
    broker.stale = [[0, 1, 2], [2, 3, 4, 5]]
    async with running(broker):
        await until(lambda: not broker.stale)
        broker.position = 3  # a jump back to somewhere below
        await delivered(broker, 6)
    assert each_once(broker, first=4)


async def test_a_jump_back_within_a_batch_is_dropped_too() -> None:
    broker = Broker(10)
    broker.stale = [[0, 1, 2], [1, 2, 3]]  # one batch: what came at once, and what came while it waited
    async with running(broker, room=8, linger_seconds=0.001):
        await delivered(broker, 4)
        broker.position = 4
        await delivered(broker, 10)
    assert each_once(broker)


@pytest.mark.parametrize("fault", [BrokerUnavailable("gone"), Fenced("fenced"), RuntimeError()])
async def test_after_any_error_it_starts_from_the_committed_offset(fault: Exception) -> None:
    broker = Broker(12)
    broker.faults = [fault]
    async with running(broker) as told:
        await delivered(broker, 12)
    assert each_once(broker)
    assert broker.opened == 2
    assert told.errors == [type(fault).__name__]


async def test_a_fenced_lane_lets_go() -> None:
    broker = Broker(6)
    broker.faults = [Fenced("another has it")]
    async with running(broker, fenced_seconds=60) as told:
        await until(lambda: told.errors)
        await asyncio.sleep(0.05)
        assert broker.opened == 1
        assert broker.steps[-1] == "close"
    assert broker.delivered == []


async def test_a_topic_that_is_made_again_is_read_from_its_beginning_under_its_own_name() -> None:
    broker = Broker(9)

    def make_again() -> None:
        if broker.position == 6 and broker.id == "one":
            broker.id, broker.end = "two", 8  # longer than what was read: nothing is out of range

    broker.on_fetch = make_again
    async with running(broker) as told:
        await delivered(broker, 14)
    old = [offset for name, offset in broker.delivered if name == "one"]
    assert old == list(range(len(old)))
    assert len(old) <= 6
    assert [offset for name, offset in broker.delivered if name == "two"] == list(range(8))
    assert told.errors == ["TopicRecreated"]


async def test_a_topic_that_is_made_again_and_is_shorter_is_read_at_once() -> None:
    broker = Broker(9)
    async with running(broker) as told:
        await delivered(broker, 9)
        broker.id, broker.end, broker.position = "two", 4, 0  # out of range: the client begins again
        await delivered(broker, 13)
    assert broker.delivered[9:] == [("two", number) for number in range(4)]
    assert told.errors == ["TopicRecreated"]


async def test_a_log_that_lost_its_end_is_not_passed_over_in_silence() -> None:
    broker = Broker(9)
    async with running(broker) as told:
        await delivered(broker, 9)
        broker.end, broker.position = 4, 0  # out of range: the client begins again
        await until(lambda: broker.opened >= 2)
    assert set(told.errors) == {"LogTruncated"}
    assert each_once_of(broker, 9)


async def test_a_second_request_to_end_does_not_break_off_a_delivery() -> None:
    broker, told = Broker(3), Told()
    slow, let = broker.deliver, asyncio.Event()

    async def deliver(outcomes: Sequence[Outcome], upto: int, incarnation: str) -> None:
        broker.steps.append("delivering")
        await let.wait()
        await slow(outcomes, upto, incarnation)

    class Passing:
        def set_incarnation(self, incarnation: str) -> None: ...
        async def batch(self, records: Sequence[RawRecord], run: Any, waiting: Any) -> Sequence[Outcome]:
            await run(lambda: None)
            return await _work(records)

    broker.deliver = deliver  # type: ignore[method-assign]
    flow = Flow(
        work=Passing(),
        hooks=told,
        source=lambda _: broker,
        delivery=lambda _: broker,
        waiting=lambda: None,
        batch_records=3,
        linger_seconds=0.0,
        fenced_seconds=1.0,
    )
    flow.assign([0])
    await until(lambda: "delivering" in broker.steps)
    ends = []
    for _ in range(2):
        ends.append(asyncio.create_task(flow.drain()))
        await asyncio.sleep(0.02)
    assert not any(end.done() for end in ends)
    let.set()
    await asyncio.gather(*ends)
    assert broker.delivered == [("one", number) for number in range(3)]
    assert flow.next_offsets == {0: 3}
    assert broker.steps[-1] == "close"


async def test_a_lane_that_is_cancelled_twice_is_closed() -> None:
    broker, told = Broker(3), Told()

    async def deliver(outcomes: Sequence[Outcome], upto: int, incarnation: str) -> None:
        broker.steps.append("delivering")
        await asyncio.Event().wait()

    broker.deliver = deliver  # type: ignore[method-assign]
    lane = lane_of(broker, told)
    task = asyncio.create_task(lane.run())
    await until(lambda: "delivering" in broker.steps)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0.02)
    await asyncio.wait({task}, timeout=5)
    assert broker.steps[-1] == "close"
    assert len(asyncio.all_tasks()) == 1  # the test's own


async def test_an_offset_is_never_told_under_the_name_of_another_topic() -> None:
    broker, told = Broker(9), Told()
    lane = lane_of(broker, told)
    pairs: set[tuple[str, int | None]] = set()
    ask = broker.committed

    async def committed() -> tuple[int, str] | None:
        pairs.add((lane.incarnation, lane.next))  # what a commit at this moment would say
        return await ask()

    broker.committed = committed  # type: ignore[method-assign]
    task = asyncio.create_task(lane.run())
    await delivered(broker, 9)
    broker.id, broker.end, broker.position = "two", 4, 0
    await delivered(broker, 13)
    task.cancel()
    await asyncio.wait({task})
    assert pairs == {("", None), ("one", 9)}


async def test_what_was_committed_for_another_incarnation_counts_for_nothing() -> None:
    broker = Broker(4)
    broker.committed_offset = 3, "older"
    async with running(broker):
        await delivered(broker, 4)
    assert each_once(broker)


@pytest.mark.parametrize("records", [3, 30])  # 30: the lane itself waits for the delivery when it is stopped
async def test_a_stop_waits_for_what_is_being_delivered(records: int) -> None:
    broker = Broker(records)
    slow = broker.deliver

    async def deliver(outcomes: Sequence[Outcome], upto: int, incarnation: str) -> None:
        broker.steps.append("delivering")
        await asyncio.sleep(0.1)
        await slow(outcomes, upto, incarnation)

    broker.deliver = deliver  # type: ignore[method-assign]
    async with running(broker):
        await until(lambda: "delivering" in broker.steps)
        await asyncio.sleep(0.03)
    assert broker.delivered == [("one", number) for number in range(3)]
