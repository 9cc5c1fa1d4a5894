"""The schedule, and which window is next."""

from __future__ import annotations

from veilstream.worker.windows import Schedule, Window, next_window

HOURLY = Schedule.from_seconds(origin=0.0, length=3600.0, grace=2.0)


def test_the_first_window_reaches_back_to_the_beginning() -> None:
    now = 10_000_000
    window = next_window(HOURLY, None, now)
    assert window == Window(0, 10_800_000)
    assert window.public() == {"start": 0.0, "end": 10_800.0}


def test_before_the_origin_it_is_the_schedules_first() -> None:
    later = Schedule.from_seconds(origin=1000.5, length=10.0, grace=0.0)
    assert next_window(later, None, 5) == Window(0, 1_010_500)


def test_windows_go_on_where_the_last_ended_whatever_the_time() -> None:
    assert next_window(HOURLY, 7_200_000, 10**12) == Window(7_200_000, 10_800_000)


def test_a_changed_schedule_leaves_no_gap_and_no_overlap() -> None:
    changed = Schedule.from_seconds(origin=0.0, length=5000.0, grace=0.0)
    window = next_window(changed, 7_200_000, 0)
    assert window == Window(7_200_000, 10_000_000)
    assert next_window(changed, window.end_ms, 0) == Window(10_000_000, 15_000_000)


def test_it_is_sealed_after_the_grace() -> None:
    assert HOURLY.sealed_at_ms(Window(0, 3_600_000)) == 3_602_000
