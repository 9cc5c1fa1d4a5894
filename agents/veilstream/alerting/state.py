"""What alerting remembers: which alerts have fired, which are open, and where each budget stands.

The first two come from the compacted topic `budget.alerts` (the last alert of each fingerprint), the third
from the budget events that were handled before. Nothing is kept elsewhere, so nothing can disagree with the
topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["LIMIT_EVENTS", "Budget", "Condition", "State"]

LIMIT_EVENTS = frozenset({"created", "raised", "refreshed", "corrected"})
"""Events after which a budget's room is another: each begins an epoch, in which a rule may fire once."""

Condition = tuple[str, float | None]
"""A rule and its threshold (None where the rule has none): what is true while an alert is open."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Where one budget stands after the events seen so far."""

    seq: int = 0
    epoch: int = 0  # sequence number of the last event of LIMIT_EVENTS; 0 before the first
    delivered: int = 0  # sequence number of the last event that the topic has an alert of
    open: Mapping[Condition, dict[str, Any]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class State:
    """All budgets, and every fingerprint that has ever fired. Immutable; `rules` returns a new one."""

    budgets: Mapping[str, Budget] = field(default_factory=lambda: MappingProxyType({}))
    fired: frozenset[str] = frozenset()

    @classmethod
    def from_alerts(cls, alerts: Iterable[Mapping[str, Any]]) -> State:
        """The state that these alerts leave: for each fingerprint the last one counts."""
        last = {alert["fingerprint"]: dict(alert) for alert in alerts}
        opened: dict[str, dict[Condition, dict[str, Any]]] = {}
        delivered: dict[str, int] = {}
        for alert in last.values():
            name = alert["budget"]
            delivered[name] = max(alert["seq"], delivered.get(name, 0))
            opened.setdefault(name, {})
            if alert["state"] == "firing":
                opened[name][(alert["rule"], alert.get("threshold"))] = alert
        budgets = {
            name: Budget(delivered=seq, open=MappingProxyType(opened[name]))
            for name, seq in delivered.items()
        }
        return cls(MappingProxyType(budgets), frozenset(last))

    def budget(self, name: str) -> Budget:
        return self.budgets.get(name, Budget())

    def with_budget(self, name: str, budget: Budget, fired: Iterable[str] = ()) -> State:
        return State(MappingProxyType({**self.budgets, name: budget}), self.fired.union(fired))
