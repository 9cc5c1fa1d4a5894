"""What a sink was told of an alert, what to tell it next, how long to wait after a failure. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from veilstream.alerting.delivery_board import Place

__all__ = ["LONGEST_PAUSE_SECONDS", "Action", "Outcome", "Told", "pause_seconds"]

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


def pause_seconds(attempt: int, jitter: float = 1.0) -> float:
    """How long to wait after failure number `attempt` (from 1): 1, 2, 4 … 60 seconds, times half to whole.

    `jitter` in [0, 1] is what spreads many senders that failed at once.
    """
    # The exponent is bounded too: 2.0 ** 1024 is an OverflowError.
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 10), LONGEST_PAUSE_SECONDS)
    return longest * (0.5 + 0.5 * jitter)


Outcome = Literal["trying", "delivered", "refused"]


@dataclass(frozen=True, slots=True)
class Told:
    """What the sink was last told of a fingerprint, or refused."""

    state: Literal["firing", "resolved"]
    outcome: Outcome
    place: Place
    started: str | None  # RFC 3339: when it began to fire

    @property
    def fires(self) -> bool:
        """Whether the sink believes that it fires."""
        return self.state == "firing" and self.outcome == "delivered"

    def settles(self, place: Place) -> bool:
        """Whether an alert of this fingerprint that stands there is behind it: a lane is told in order."""
        if self.place.topic != place.topic:
            return False
        return place.offset < self.place.offset or (place == self.place and self.outcome != "trying")

    @property
    def may_fire(self) -> bool:
        """Whether the sink may believe that it fires: it has to hear of the end."""
        return self.state == "firing" and self.outcome != "refused"


@dataclass(frozen=True, slots=True)
class Action:
    """Tell the sink this. `kind` says where it comes from."""

    kind: Literal["lane", "held", "again"]
    alert: dict[str, Any]
    place: Place

    @property
    def mark(self) -> str:
        return str(self.alert["fingerprint"])

    @property
    def intended(self) -> bool:
        """Whether it is noted before it is done: the beginning of an alert."""
        return self.kind != "again" and self.alert["state"] == "firing"
