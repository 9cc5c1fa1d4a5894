"""A law of windows: they partition time, and following one another they leave no gap, over restarts too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from veilstream.worker.windows import Schedule, next_window

schedules = st.builds(
    Schedule.from_seconds,
    origin=st.floats(0, 2e9),
    length=st.floats(0.0004, 1e6),
    grace=st.floats(0, 100),
)
times = st.integers(0, 4 * 10**12)


@given(schedule=schedules, time_ms=times)
def test_every_time_is_in_one_window(schedule: Schedule, time_ms: int) -> None:
    index = schedule.index_at(time_ms)
    window = schedule.window(index)
    assert window.start_ms <= time_ms < window.end_ms
    assert schedule.window(index + 1).start_ms == window.end_ms
    assert schedule.window(index - 1).end_ms == window.start_ms


@given(schedules=st.lists(schedules, min_size=2, max_size=6), now=times)
def test_windows_lie_side_by_side_also_when_the_schedule_changes(schedules: list[Schedule], now: int) -> None:
    window = next_window(schedules[0], None, now)
    assert window.start_ms == 0
    assert window.end_ms > 0
    for schedule in schedules[1:]:
        following = next_window(schedule, window.end_ms, now)
        assert following.start_ms == window.end_ms
        assert 0 < following.end_ms - following.start_ms <= schedule.length_ms
        window = following


@given(schedule=schedules, now=times, later=times)
def test_what_comes_next_does_not_hang_on_the_clock(schedule: Schedule, now: int, later: int) -> None:
    end = next_window(schedule, None, now).end_ms
    assert next_window(schedule, end, now) == next_window(schedule, end, later)
