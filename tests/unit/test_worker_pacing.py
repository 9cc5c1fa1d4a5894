"""A window's timetable does not depend on its records, as long as the work fits."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from veilstream.worker.pacing import Timetable, until

SECONDS = st.floats(0, 1e9)


@given(SECONDS, SECONDS, st.floats(0, 1e5))
def test_charge_before_commit_and_neither_before_the_seal(sealed: float, free: float, publish: float) -> None:
    times = Timetable.of(sealed, free, publish)
    assert max(sealed, free) <= times.charge_at <= times.commit_at


@given(st.lists(st.floats(0, 59), min_size=1, max_size=20))
def test_work_that_fits_does_not_show_in_any_later_window(work: list[float]) -> None:
    """A worker that is behind: each window was sealed long ago, and takes as long as it takes."""
    free, seen = 1000.0, []
    for seconds in work:
        times = Timetable.of(0.0, free, 60.0)
        done = max(times.commit_at, free + seconds)
        seen.append((times.charge_at, times.commit_at))
        free = times.free_at(done)
    assert seen == [(1030.0 + 60 * n, 1060.0 + 60 * n) for n in range(len(work))]


def test_work_that_does_not_fit_is_late_and_said_to_be() -> None:
    times = Timetable.of(1000.0, 0.0, 60.0)
    assert not times.is_late(1060.0)
    assert times.is_late(1075.0)
    assert times.free_at(1075.0) == 1075.0


async def test_until_waits_for_the_instant() -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.04
        return now

    await until(0.2, clock)
    assert 0.2 <= now < 0.3


async def test_until_does_not_wait_where_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(until(1e12, lambda: 0.0, stop), 1)
