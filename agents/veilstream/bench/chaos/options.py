"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Delivery", "Options"]

Delivery = Literal["exactly_once", "at_least_once"]


@dataclass(frozen=True, slots=True)
class Options:
    """The command line.

    Args:
        seed: of the schedule, of what each fault chooses, and of the load.
        minutes: wall time, from the start of the brokers to the last fault's end; the verdict follows.
        faults: names; empty for all.
        delivery: setting of the processors; None leaves it to them.
        keep: folder for the logs of everything.
        upgrade_from: an older checkout (with or without its own `.venv`), for the upgrade in the middle.
        rate: good records a second.
        people: how many there are.
    """

    seed: int = 1
    minutes: float = 5.0
    faults: tuple[str, ...] = ()
    delivery: Delivery | None = None
    keep: Path | None = None
    upgrade_from: Path | None = None
    rate: float = 120.0
    people: int = 40
    processors: int = 2
    most_faults: int = 0
    """Stop after so many; 0 for as many as the minutes allow."""
    recovery_seconds: float = 60.0
    """A fault that is not recovered from after so long counts as broken."""
    extra: dict[str, str] = field(default_factory=dict)
    """Settings of every role, as environment variables."""
