"""What one sink has still to be told, and in which order. Pure: no clock, no client, no randomness.

Theory of operation. Alerts come from the topic in order (`offer`); each waits in the *lane* of its
fingerprint, and a lane is told in order. `next` says what to do now; the caller notes what `intend` says,
does it, and reports `succeeded`, `refused` or `failed`.

| head of a lane | the sink was told | then |
|---|---|---|
| firing | that it fires | nothing: repeated |
| firing | not | held where a silence or inhibition says so, else told |
| resolved | that it fires, or perhaps | told, whatever silences say |
| resolved | not | nothing: untold |

A *held* alert is looked at again when the board changes or a silence begins or ends; it is told when nothing
holds it back any more and it still fires. What a sink was told is given at the start (`told`, from the topic
`alerts.deliveries`), so that a restart repeats nothing. That a sink is *about* to be told is noted before it
is: killed in that moment, nobody knows whether it heard, and it must not be left with an alert without an end
because a silence began meanwhile. A firing alert below the start that the sink was not
told of (it was held, or refused, or the sink is new) is held at first, and so told as soon as it may be.

After a failure the sink is left alone for a growing pause. A lane that has failed `_PATIENCE` times stands
behind the others from then on: an alert that a receiver chokes on delays no other for long, and while the
receiver is down the alerts keep their order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from veilstream.alerting.delivery_board import Board, Place
from veilstream.alerting.delivery_told import Action, Told, pause_seconds

__all__ = ["SinkQueue"]

_PATIENCE = 3


@dataclass(slots=True)
class _Waiting:
    alert: dict[str, Any]
    place: Place


@dataclass(slots=True)
class _Lane:
    """The alerts of one fingerprint that wait, and how the first of them has failed."""

    items: deque[_Waiting] = field(default_factory=deque)
    attempts: int = 0
    not_before: float = 0.0


class SinkQueue:
    """One sink's. Times are Unix seconds."""

    def __init__(
        self,
        told: Mapping[str, Told],
        starts: Mapping[str, int],
        board: Board,
        *,
        resend_seconds: float | None = None,
    ) -> None:
        """
        Args:
            told: what the sink was told before, by fingerprint.
            starts: for each topic the offset from which alerts will be offered.
            board: what the topics say; kept up to date by the caller.
            resend_seconds: how often a firing alert is told again; None where a sink does not forget.
        """
        self.board = board
        self.told = dict(told)
        self.outcomes: list[str] = []  # of alerts that nothing was told of; the caller counts and clears
        self._next = dict(starts)
        self._outstanding: dict[str, dict[int, None]] = {topic: {} for topic in starts}  # ascending
        self._lanes: dict[str, _Lane] = {}
        self._row: dict[str, None] = {}  # lanes in the order of their alerts …
        self._behind: set[str] = set()  # … without those that have failed too often to stand in it
        self._held: dict[str, _Waiting] = {}
        self._before: dict[str, Told | None] = {}  # what was told before what it is about to be told
        self._held_later: dict[
            str, tuple[int, float]
        ] = {}  # attempts and not before, of held ones that failed
        self._looked: tuple[int, float] | None = None  # board's changes and next edge when last looked at
        self._resend_seconds = resend_seconds
        self._again: OrderedDict[str, tuple[float, _Waiting]] = OrderedDict()  # when last told, oldest first
        self._failures = 0
        self._paused_until = 0.0
        self._seen = 0.0  # the latest time
        # Fingerprints of which the sink need not be remembered any more.
        self._ended = [mark for mark, before in self.told.items() if before.state == "resolved"]
        for mark, known in board.firing.items():
            if known.place.topic not in starts or known.place.offset >= starts[known.place.topic]:
                continue
            before = self.told.get(mark)
            item = _Waiting(known.alert, known.place)
            if before is None or not before.fires:
                self._held[mark] = item
            elif resend_seconds is not None:
                self._again[mark] = (0.0, item)

    def offer(self, alert: dict[str, Any], place: Place) -> None:
        """An alert of the topic; what was settled before is passed over."""
        if place.offset < self._next[place.topic]:
            return
        self._next[place.topic] = place.offset + 1
        mark = alert["fingerprint"]
        before = self.told.get(mark)
        if before is not None and before.settles(place):
            self.outcomes.append("repeated")
            return
        self._outstanding[place.topic][place.offset] = None
        if mark not in self._lanes:
            self._lanes[mark] = _Lane()
            self._row[mark] = None
        self._lanes[mark].items.append(_Waiting(alert, place))

    def skip(self, place: Place) -> None:
        """A record of the topic that is no alert for this sink."""
        self._next[place.topic] = max(self._next[place.topic], place.offset + 1)

    def forget(self, mark: str) -> None:
        """The topic says that there is no such alert (a tombstone): it is not told, and not told again."""
        self._held.pop(mark, None)
        self._again.pop(mark, None)

    def next(self, now: float) -> Action | None:
        """What to tell the sink now; None where there is nothing, or it is too early."""
        self._mind_the_clock(now)
        if now < self._paused_until:
            return None
        self._look_at_held(now)
        action = self._from_lanes(now) or self._from_held(now)
        if action is None and self._again and self._resend_seconds is not None:
            when, item = next(iter(self._again.values()))
            if now - when >= self._resend_seconds:
                return Action("again", item.alert, item.place)
        return action

    def wait_seconds(self, now: float) -> float | None:
        """How long until `next` may have something without a new record; None where only a record can."""
        if now < self._paused_until:
            return self._paused_until - now
        times = [self._lanes[mark].not_before for mark in self._behind]
        times += [when for mark, (_, when) in self._held_later.items() if self._may_be_told(mark)]
        if self._held and (edge := self.board.next_edge(now)) is not None:
            times.append(edge)
        if self._again and self._resend_seconds is not None:
            times.append(next(iter(self._again.values()))[0] + self._resend_seconds)
        return max(0.0, min(times) - now) if times else None

    def intend(self, action: Action) -> Told | None:
        """To be noted before the sink is told; None where it is noted, or need not be."""
        mark = action.mark
        if not action.intended:
            return None
        before = self.told.get(mark)
        if before is not None and before.outcome == "trying" and before.place == action.place:
            return None
        self._before[mark] = before
        self.told[mark] = Told("firing", "trying", action.place, action.alert["time"])
        return self.told[mark]

    def succeeded(self, action: Action, now: float) -> Told | None:
        """The sink took it. Returns what is to be remembered of it, if anything."""
        self._failures, self._paused_until = 0, 0.0
        if action.kind == "again":
            self._again[action.mark] = (now, _Waiting(action.alert, action.place))
            self._again.move_to_end(action.mark)
            return None
        return self._settle(action, "delivered", now)

    def refused(self, action: Action, now: float) -> Told | None:
        """The sink will never take it. It has answered, so it lives."""
        self._failures, self._paused_until = 0, 0.0
        if action.kind == "again":
            return self.succeeded(action, now)
        return self._settle(action, "refused", now)

    def failed(
        self,
        action: Action,
        now: float,
        *,
        jitter: float = 1.0,
        after: float | None = None,
        unsure: bool = False,
    ) -> int:
        """The sink did not take it now. Returns how often it failed.

        Unless it is unsure, what `intend` had noted is taken back: `told` is as before, and is to be noted.

        Args:
            after: seconds for which it asks to be left alone.
            unsure: it may have taken it all the same (it did not answer in time, say).
        """
        if unsure and action.intended:
            # A later failure that is sure takes that attempt back, and not this one.
            self._before[action.mark] = self.told.get(action.mark)
        elif action.intended:
            before = self._before.pop(action.mark, None)
            if before is None:
                self.told.pop(action.mark, None)
            else:
                self.told[action.mark] = before
        self._failures += 1
        pause = pause_seconds(self._failures, jitter)
        self._paused_until = now + max(pause, after or 0.0)
        if action.kind == "lane":
            lane = self._lanes[action.mark]
            lane.attempts += 1
            if lane.attempts >= _PATIENCE:
                self._behind.add(action.mark)
                self._row.pop(action.mark, None)
                lane.not_before = now + pause_seconds(lane.attempts, jitter)
            return lane.attempts
        if action.kind == "held":
            attempts = self._held_later.get(action.mark, (0, 0.0))[0] + 1
            self._held_later[action.mark] = (attempts, now + pause_seconds(attempts, jitter))
            return attempts
        self._again.move_to_end(action.mark)
        return self._failures

    def committed(self) -> dict[str, int]:
        """For each topic the offset below which everything is settled."""
        return {
            topic: next(iter(self._outstanding[topic]), following) for topic, following in self._next.items()
        }

    def ended(self) -> list[str]:
        """Fingerprints whose end lies below `committed`: what was told of them need not be kept."""
        below = self.committed()
        done: list[str] = []
        left: list[str] = []
        for mark in dict.fromkeys(self._ended):
            told = self.told.get(mark)
            if told is not None and told.state == "resolved":
                (done if told.place.offset < below.get(told.place.topic, 0) else left).append(mark)
        self._ended = left
        for mark in done:
            del self.told[mark]
        return done

    @property
    def waiting(self) -> int:
        """Alerts that the sink has not yet taken."""
        return sum(map(len, self._outstanding.values())) + len(self._held_later)

    @property
    def held(self) -> int:
        return len(self._held)

    @property
    def given_up(self) -> int:
        """Firing alerts that the sink refused."""
        return sum(1 for told in self.told.values() if told.state == "firing" and told.outcome == "refused")

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def _from_lanes(self, now: float) -> Action | None:
        while (front := next(iter(self._row), None)) is not None:
            action = self._head(front, now)
            if action is not None:
                return action
        late = sorted((self._lanes[mark].not_before, mark) for mark in self._behind)
        for not_before, mark in late:
            if not_before <= now and (action := self._head(mark, now)) is not None:
                return action
        return None

    def _head(self, mark: str, now: float) -> Action | None:
        """What to tell of a lane; settles what need not be told."""
        while (lane := self._lanes.get(mark)) is not None:
            item = lane.items[0]
            before = self.told.get(mark)
            fires = before is not None and before.fires
            may_fire = before is not None and before.may_fire
            if item.alert["state"] == "firing":
                if fires:
                    self._pass_over(mark, item, "repeated")
                    continue
                verdict = self.board.verdict(item.alert, now, item.place)
                if verdict is None:
                    return Action("lane", item.alert, item.place)
                self._held[mark] = item
                self._looked = None
                self._pass_over(mark, item, verdict)
                continue
            if may_fire:
                started = before.started if before is not None else None
                known = {"started": started} if started is not None else {}
                return Action("lane", {**known, **item.alert}, item.place)
            self._held.pop(mark, None)
            self._held_later.pop(mark, None)
            if before is not None and before.state == "firing":  # refused
                self.told[mark] = Told("resolved", "refused", item.place, None)
                self._ended.append(mark)
            self._pass_over(mark, item, "untold")
        return None

    def _look_at_held(self, now: float) -> None:
        """Forget that held alerts were looked at, where something may be different now."""
        if self._looked is not None:
            changes, edge = self._looked
            if changes != self.board.changes or now >= edge:
                self._looked = None

    def _from_held(self, now: float) -> Action | None:
        if self._looked is not None:
            return None
        for mark, item in self._held.items():
            if not self._may_be_told(mark):
                continue
            if self._held_later.get(mark, (0, 0.0))[1] > now:
                continue
            if self.board.verdict(item.alert, now) is None:
                return Action("held", item.alert, item.place)
        edges = [when for mark, (_, when) in self._held_later.items() if self._may_be_told(mark)]
        edge = self.board.next_edge(now)
        edges += [edge] if edge is not None else []
        self._looked = (self.board.changes, min(edges, default=float("inf")))
        return None

    def _may_be_told(self, mark: str) -> bool:
        """Whether a held alert still fires, and no later record of it waits: that one decides."""
        return mark not in self._lanes and mark in self.board.firing

    def _mind_the_clock(self, now: float) -> None:
        """A clock that jumps back takes every waiting time with it: nothing waits an hour for a second."""
        back, self._seen = self._seen - now, now
        if back <= 0:
            return
        self._paused_until -= back
        self._looked = None
        for lane in self._lanes.values():
            lane.not_before -= back
        for mark, (attempts, when) in self._held_later.items():
            self._held_later[mark] = (attempts, when - back)
        for mark, (when, item) in self._again.items():
            self._again[mark] = (when - back, item)

    def _settle(self, action: Action, outcome: Literal["delivered", "refused"], now: float) -> Told:
        mark, state = action.mark, action.alert["state"]
        started = action.alert["time"] if state == "firing" else None
        told = Told(state, outcome, action.place, started)
        self.told[mark] = told
        self._before.pop(mark, None)
        self._held.pop(mark, None)
        self._held_later.pop(mark, None)
        if told.fires and self._resend_seconds is not None:
            self._again[mark] = (now, _Waiting(action.alert, action.place))
            self._again.move_to_end(mark)
        if state == "resolved":
            self._again.pop(mark, None)
            self._ended.append(mark)
        if action.kind == "lane":
            self._drop(mark, action.place)
        return told

    def _pass_over(self, mark: str, item: _Waiting, outcome: str) -> None:
        self.outcomes.append(outcome)
        self._drop(mark, item.place)

    def _drop(self, mark: str, place: Place) -> None:
        self._outstanding[place.topic].pop(place.offset, None)
        lane = self._lanes[mark]
        lane.items.popleft()
        lane.attempts, lane.not_before = 0, 0.0
        if not lane.items:
            del self._lanes[mark]
            self._row.pop(mark, None)
            self._behind.discard(mark)
        elif mark in self._behind:
            self._behind.discard(mark)
            self._row[mark] = None
