"""What the alert topics say now: which alerts fire, which silences there are; and who may be told. Pure.

Records may come in any order between topics and more than once: of each key the one with the highest offset
counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from veilstream.alerting.silences import Inhibition, Silence

__all__ = ["Board", "Known", "Place", "Verdict"]

Verdict = Literal["silenced", "inhibited"]


class Place(NamedTuple):
    """Where a record stands. The alert topics have one partition each."""

    topic: str  # short name
    offset: int


@dataclass(frozen=True, slots=True)
class Known:
    """The last record of a fingerprint: a firing alert."""

    alert: dict[str, Any]
    place: Place


@dataclass
class Board:
    """The present state of the topics, as far as it was seen."""

    inhibitions: Sequence[Inhibition] = ()
    firing: dict[str, Known] = field(default_factory=dict)
    silences: dict[str, Silence] = field(default_factory=dict)
    changes: int = 0  # grows when a verdict may have become another
    _last: dict[tuple[str, str], int] = field(default_factory=dict)  # highest offset of each key
    _sources: dict[tuple[int, tuple[str, ...]], set[str]] = field(default_factory=dict)

    def see_alert(self, alert: dict[str, Any], place: Place) -> None:
        """Take note of an alert."""
        mark = alert["fingerprint"]
        if not self._newer(mark, place):
            return
        self._forget(mark)
        if alert["state"] == "firing":
            self.firing[mark] = Known(alert, place)
            for number in self._as_source(alert):
                key = (number, self.inhibitions[number].key(alert))
                self._sources.setdefault(key, set()).add(mark)

    def see_silence(self, silence: Silence, place: Place) -> None:
        """Take note of a silence, or of a new end of one."""
        if self._newer(f"silence/{silence.id}", place):
            self.silences[silence.id] = silence
            self.changes += 1

    def see_tombstone(self, key: str, place: Place) -> None:
        """Whatever had this key is gone."""
        if not self._newer(key, place):
            return
        if self.silences.pop(key.removeprefix("silence/"), None) is not None:
            self.changes += 1
        self._forget(key)

    def verdict(self, alert: Mapping[str, Any], now: float, place: Place | None = None) -> Verdict | None:
        """Why nobody is told of this alert at `now`, Unix seconds; None where they are.

        With the alert's place, only a source counts that stands before it or is of the same or an earlier
        event: so what is told does not depend on how far ahead of its deliveries a sink has read.
        """
        if any(silence.active(now) and silence.matcher.matches(alert) for silence in self.silences.values()):
            return "silenced"
        own = set(self._as_source(alert))
        for number, rule in enumerate(self.inhibitions):
            if not rule.target.matches(alert):
                continue
            for mark in self._sources.get((number, rule.key(alert)), ()):
                # An alert that is both is not inhibited by one that is both: the two would hide each other.
                source = self.firing[mark]
                both = number in own and rule.target.matches(source.alert)
                if mark != alert["fingerprint"] and not both and _before(source, alert, place):
                    return "inhibited"
        return None

    def next_edge(self, now: float) -> float | None:
        """When next a silence begins or ends, Unix seconds; None where none will."""
        edges = [t for s in self.silences.values() for t in (s.starts, s.ends) if t > now]
        return min(edges, default=None)

    def _as_source(self, alert: Mapping[str, Any]) -> list[int]:
        return [number for number, rule in enumerate(self.inhibitions) if rule.source.matches(alert)]

    def _forget(self, mark: str) -> None:
        known = self.firing.pop(mark, None)
        self.changes += 1
        if known is None:
            return
        for number in self._as_source(known.alert):
            key = (number, self.inhibitions[number].key(known.alert))
            marks = self._sources.get(key, set())
            marks.discard(mark)
            if not marks:
                self._sources.pop(key, None)

    def _newer(self, key: str, place: Place) -> bool:
        before = self._last.get((place.topic, key), -1)
        if place.offset <= before:
            return False
        self._last[(place.topic, key)] = place.offset
        return True


def _before(source: Known, alert: Mapping[str, Any], place: Place | None) -> bool:
    if place is None or source.place.topic != place.topic:
        return True
    same_budget = source.alert["budget"] == alert["budget"]
    return source.place.offset < place.offset or (same_budget and source.alert["seq"] <= alert["seq"])
