"""A trainer that was refused: when it waits, for what, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

import veilstream.worker.loop as loop
from veilstream.ledger.budget import Budget, define
from veilstream.settings import WorkerSettings
from veilstream.worker.loop import Worker

FULL = replace(define("b", "acme", 3.0, 1e-6, [12], "odometer"), spent=(10**15,))


class Paths:
    """A ledger whose budget is another at each look; the last one for ever."""

    def __init__(self, *looks: Budget) -> None:
        self.looks = list(looks)

    async def path(self, name: str) -> list[Budget]:
        return [self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]]


def refused(ledger: Paths, now: float = 0.0) -> Worker:
    worker = Worker.__new__(Worker)
    found: Any = worker
    found._worker, found._ledger, found._clock = WorkerSettings(budget="b"), ledger, lambda: now
    found._stop, found._fenced = asyncio.Event(), asyncio.Event()

    async def patiently(work: Callable[[], Awaitable[Any]]) -> Any:
        return await work()

    found._patiently = patiently
    return worker


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_ROOM_SECONDS", 0.01)


async def test_a_budget_for_a_lifetime_that_is_full_is_the_end() -> None:
    assert await refused(Paths(FULL))._room_again() is False


async def test_a_frozen_one_is_waited_for() -> None:
    open_again = replace(FULL, spent=(0,))
    ledger = Paths(*[replace(open_again, frozen=True)] * 3, open_again)
    assert await refused(ledger)._room_again() is True
    assert len(ledger.looks) == 1


async def test_a_period_is_waited_for_until_the_next_is_due() -> None:
    periodic = replace(FULL, refresh_seconds=60.0, period=5)
    assert await refused(Paths(periodic), now=6 * 60.0)._room_again() is True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await refused(Paths(periodic), now=6 * 60.0 - 1)._room_again()


async def test_a_stop_ends_the_wait() -> None:
    worker = refused(Paths(replace(FULL, frozen=True)))
    asyncio.get_running_loop().call_later(0.05, worker._stop.set)
    assert await worker._room_again() is False
