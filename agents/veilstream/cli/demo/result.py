"""What a demo run found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Result"]


@dataclass(slots=True)
class Result:
    """Figures for `--json`, and what the summary shows besides."""

    records_in: int = 0
    records_protected: int = 0
    records_quarantined: int = 0
    releases: list[dict[str, Any]] = field(default_factory=list)
    budget_events: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    planted: int = 0
    leaked: int | None = None
    seconds: float = 0.0
    broker: str = ""
    restarts: int = 0
    data: Path = Path()
    example: tuple[dict[str, Any], dict[str, Any]] | None = None  # one record before and after

    @property
    def epsilon_max(self) -> float:
        """The largest ε that the public odometer reached: it bounds what was spent on anyone."""
        return max((event["epsilon_spent"] for event in self.budget_events), default=0.0)

    def figures(self) -> dict[str, Any]:
        return {
            "records_in": self.records_in,
            "records_protected": self.records_protected,
            "records_quarantined": self.records_quarantined,
            "releases": len(self.releases),
            "budget_events": len(self.budget_events),
            "alerts": len(self.alerts),
            "epsilon_max": self.epsilon_max,
            "planted": self.planted,
            "leaked": self.leaked,
            "seconds": round(self.seconds, 1),
            "broker": self.broker,
        }
