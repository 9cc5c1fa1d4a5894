"""When what a window does becomes visible: at instants that do not depend on its records.

Reading and encoding take longer the more records there are, and `budget.events` carries times. So a window
has a public timetable: it is charged at `charge_at` and committed at `commit_at`, both fixed before the first
of its records is read. The next window's timetable begins where it was sealed or where this one ended, so by
induction every instant is a function of the schedule and of settings.

What is late is published late, and what follows it as well: `worker.publish_seconds` has to be longer than
the work takes (the log event `window_late` says when it was not). A stop, a crash, a lost lease are visible.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Timetable", "until"]

_LATE_SECONDS = 1.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Timetable:
    """Unix seconds at which a window is charged and committed."""

    charge_at: float
    commit_at: float

    @classmethod
    def of(cls, sealed_at: float, free_at: float, publish_seconds: float) -> Timetable:
        """For a window that was sealed at `sealed_at`, by a worker that has been free since `free_at`."""
        begin = max(sealed_at, free_at)
        return cls(begin + publish_seconds / 2, begin + publish_seconds)

    def is_late(self, now: float) -> bool:
        """Whether the commit missed its instant."""
        return now > self.commit_at + _LATE_SECONDS

    def free_at(self, now: float) -> float:
        """Where the next window's timetable may begin: a public instant, unless this one was late."""
        return now if self.is_late(now) else self.commit_at


async def until(at: float, clock: Callable[[], float], *events: asyncio.Event) -> None:
    """Return at an instant (Unix seconds), or within a tenth of a second of one of the events being set."""
    while (left := at - clock()) > 0 and not any(event.is_set() for event in events):  # noqa: ASYNC110
        await asyncio.sleep(min(left, _LOOK_SECONDS))
