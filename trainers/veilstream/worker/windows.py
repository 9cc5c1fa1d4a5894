"""Windows of training, sealed by a public schedule on the broker's append time. Pure functions.

Window n of a schedule is [origin + n·L, origin + (n + 1)·L), in whole milliseconds, as the broker stamps its
records: a partition of time, whatever arrives. Never a count of records or people, and never a time that a
record brings along: with those, one person less would move every later boundary.

In the topic a window is, for each partition, the offsets from where the window before it ended to the first
record with a timestamp at or after its end. A record that becomes readable only after the sealing belongs to
the next window.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Schedule", "Window", "next_window"]


@dataclass(frozen=True, slots=True)
class Window:
    """[start_ms, end_ms), Unix milliseconds of broker append time."""

    start_ms: int
    end_ms: int

    def public(self) -> dict[str, float]:
        """As budget events and model cards write it: Unix seconds."""
        return {"start": self.start_ms / 1000, "end": self.end_ms / 1000}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Public parameters: where the windows start, how long each is, and how long after its end it is
    sealed.
    """

    origin_ms: int
    length_ms: int
    grace_ms: int

    @classmethod
    def from_seconds(cls, *, origin: float, length: float, grace: float) -> Schedule:
        """Rounded to the broker's milliseconds; a length of at least one."""
        return cls(round(origin * 1000), max(1, round(length * 1000)), round(grace * 1000))

    def index_at(self, time_ms: int) -> int:
        """Number of the window that a time falls in; negative before the origin."""
        return (time_ms - self.origin_ms) // self.length_ms

    def window(self, index: int) -> Window:
        start = self.origin_ms + index * self.length_ms
        return Window(start, start + self.length_ms)

    def sealed_at_ms(self, window: Window) -> int:
        """When the window may be read. The grace covers clocks that differ and records still on their way."""
        return window.end_ms + self.grace_ms


def next_window(schedule: Schedule, last_end_ms: int | None, now_ms: int) -> Window:
    """The window to train on next.

    After a committed window it is the one that follows, so that windows lie side by side also over an outage,
    and also where the schedule was changed in between. The first of all is the one that `now_ms` falls in, or
    the schedule's first; it reaches back to the beginning of the topic, and says so by starting at 0.
    """
    if last_end_ms is None:
        index = max(0, schedule.index_at(now_ms))
        return Window(0, schedule.window(index).end_ms)
    return Window(last_end_ms, schedule.window(schedule.index_at(last_end_ms)).end_ms)
