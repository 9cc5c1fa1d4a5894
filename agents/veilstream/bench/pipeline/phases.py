"""What a soak does to the stream, phase after phase: a plan by shares of the whole time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FLOOD", "Phase", "plan"]

FLOOD = "flood"

Fault = Literal["none", "slow", "broker", "store", "hot"]


@dataclass(frozen=True, slots=True)
class Phase:
    """`rate` in parts of the maximum rate; the fault lasts for `fault_seconds` from the phase's beginning."""

    name: str
    seconds: float
    rate: float
    fault: Fault = "none"
    fault_seconds: float = 0.0


_DEAD_SECONDS = 20.0
_STEADY, _FLOOD = 0.5, 10.0


def plan(minutes: float) -> list[Phase]:
    """The phases: steady at half rate between the faults, so that each ends in one that is like the first."""
    whole = minutes * 60

    def phase(name: str, share: float, rate: float = _STEADY, fault: Fault = "none") -> Phase:
        seconds = share * whole
        dead = min(_DEAD_SECONDS, seconds / 3) if fault in ("broker", "store") else seconds
        return Phase(name, seconds, rate, fault, 0.0 if fault == "none" else dead)

    return [
        phase("steady", 0.25),
        phase(FLOOD, 0.10, _FLOOD),
        phase("after_flood", 0.10),
        phase("slow_engine", 0.10, fault="slow"),
        phase("after_slow_engine", 0.10),
        phase("broker_paused", 0.10, fault="broker"),
        phase("store_paused", 0.10, fault="store"),
        phase("hot_partition", 0.05, fault="hot"),
        phase("steady_again", 0.10),
    ]
