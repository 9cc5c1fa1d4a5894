"""What a budget spent, and when: a running total of the public odometer's fraction.

A *row* is a charge: its instant, and the total after it. A window of length `w` that ends at `t` is the
half-open interval (t − w, t]: a charge that is exactly `w` old is out of it. Instants and windows are whole
milliseconds (Unix time), so that this is exact.

Versions are immutable and share their rows: appending to the newest version is O(1), appending to an older
one copies it first. Rows that no window reaches any more are dropped (`pruned`), amortised O(1).
"""

from __future__ import annotations

from bisect import bisect_right
from math import inf

__all__ = ["History"]

_COMPACT_ROWS = 1024


class History:
    """The charges of one budget, or of one model under it. Immutable from outside."""

    __slots__ = ("_base", "_first", "_last", "_times", "_totals", "since")

    def __init__(self, since: int = 0) -> None:
        """`since`: the instant from which on charges are known; before it, nothing was spent."""
        self.since = since
        self._times: list[int] = []
        self._totals: list[float] = []
        self._first = self._last = 0  # this version's rows are those in between
        self._base = 0.0  # the total before the first of them

    def add(self, time: int, amount: float) -> History:
        """With one more charge; never before the last one (the caller's clock sees to that)."""
        after = self._copy(share=len(self._times) == self._last)
        after._times.append(max(time, self.last_time))
        after._totals.append(self.total + amount)
        after._last += 1
        return after

    def pruned(self, before: int) -> History:
        """Without the rows at or before an instant; sums of windows that begin there stay as they were."""
        first = bisect_right(self._times, before, self._first, self._last)
        if first == self._first:
            return self
        after = self._copy(share=True)
        after._base, after._first = self._totals[first - 1], first
        return after._copy(share=False) if first > _COMPACT_ROWS and first * 2 > self._last else after

    def scaled(self, ratio: float) -> History:
        """As shares of another cap: after a raise, what was spent is a smaller part of it."""
        after = self._copy(share=False)
        after._base *= ratio
        after._totals = [total * ratio for total in after._totals]
        return after

    def retimed(self, latest: int) -> History:
        """With no row after an instant: what a clock that ran ahead put later counts as spent then."""
        if self.last_time <= latest:
            return self
        after = self._copy(share=False)
        after._times = [min(time, latest) for time in after._times]
        after.since = min(after.since, latest)
        return after

    @property
    def oldest(self) -> float:
        """The instant of the oldest charge that is remembered; infinite without one."""
        return self._times[self._first] if self._last > self._first else inf

    @property
    def base(self) -> float:
        """The total before the first charge that is remembered."""
        return self._base

    @property
    def last_time(self) -> int:
        """The instant of the last charge, or since when there was none."""
        return self._times[self._last - 1] if self._last > self._first else self.since

    @property
    def total(self) -> float:
        return self._totals[self._last - 1] if self._last > self._first else self._base

    def total_at(self, time: int) -> float:
        """The total after every charge up to and at an instant."""
        place = bisect_right(self._times, time, self._first, self._last)
        return self._totals[place - 1] if place > self._first else self._base

    def spent(self, time: int, window: int) -> float:
        """What was spent in the `window` up to `time`, which no charge is after."""
        return self.total - self.total_at(time - window)

    def charges(self, time: int, window: int) -> int:
        """How many charges those are."""
        return self._last - bisect_right(self._times, time - window, self._first, self._last)

    def changes_at(self, time: int, window: int) -> float:
        """When the oldest charge leaves that window: until then its sum stays. Infinite where it is empty."""
        place = bisect_right(self._times, time - window, self._first, self._last)
        return self._times[place] + window if place < self._last else inf

    def __len__(self) -> int:
        return self._last - self._first

    def _copy(self, *, share: bool) -> History:
        after = History(self.since)
        after._base = self._base
        if share:
            after._times, after._totals = self._times, self._totals
            after._first, after._last = self._first, self._last
        else:
            after._times = self._times[self._first : self._last]
            after._totals = self._totals[self._first : self._last]
            after._last = len(after._times)
        return after
