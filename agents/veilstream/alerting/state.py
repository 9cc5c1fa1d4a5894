"""What alerting remembers: which alerts have fired, which are open, and where each budget stands.

The first two come from the compacted topic `budget.alerts` (the last alert of each fingerprint), the third
from the budget events that were handled before. Nothing is kept elsewhere, so nothing can disagree with the
topic. Every value here is immutable; `rules` and `signals` return the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import Any, NamedTuple

from veilstream.alerting.clock import parse_time
from veilstream.alerting.history import History
from veilstream.alerting.persistent import Map

__all__ = ["LIMIT_EVENTS", "Budget", "Condition", "Odometer", "State", "Watch", "WatchKey"]

LIMIT_EVENTS = frozenset({"created", "raised", "refreshed"})
"""Events after which a budget's room is another: each begins an epoch, in which a rule may fire once."""

Condition = tuple[str, float | None, str | None]
"""A rule, its threshold, and its window or model (None without): what holds while an alert is open."""

WatchKey = tuple[str, str, str, str]
"""An operator rule, and the tenant, budget and model that it speaks of (empty where it speaks of none)."""

_NO_ALERTS: Mapping[Condition, dict[str, Any]] = MappingProxyType({})
_NO_MODELS: Map[str, History] = Map()


class Odometer(NamedTuple):
    """What the last event said of a budget; public."""

    tenant: str
    epsilon: float
    epsilon_spent: float
    delta: float
    fraction: float
    mode: str
    frozen: bool
    refresh_ms: int | None  # length of a period, where the budget refreshes
    refreshes_at: int | None  # when this period ends, Unix ms


@dataclass(frozen=True, slots=True)
class Budget:
    """Where one budget stands after the events seen so far. Times are Unix milliseconds."""

    seq: int = 0
    epoch: int = 0  # sequence number of the last event of LIMIT_EVENTS; 0 before the first
    delivered: int = 0  # sequence number of the last event that the topic has an alert of
    at: int = 0  # instant of the last alert
    clock: int = 0  # instant of the last event
    shown: Odometer | None = None
    charged: bool = False  # ever
    stopped: bool = False  # exhausted, and no new limit since
    open: Mapping[Condition, dict[str, Any]] = field(default_factory=lambda: _NO_ALERTS)
    history: History = field(default_factory=History)
    models: Map[str, History] = _NO_MODELS
    due: float = -inf  # nothing changes before this instant, but by an event


@dataclass(frozen=True, slots=True)
class Watch:
    """One condition of an operator rule. `delivered`: place in the topic of the signal last alerted on."""

    delivered: int = -1
    alert: Mapping[str, Any] | None = None  # the open one


@dataclass(frozen=True, slots=True)
class State:
    """All budgets, all operator conditions, and every fingerprint that has ever fired."""

    budgets: Map[str, Budget] = field(default_factory=Map)
    watches: Map[WatchKey, Watch] = field(default_factory=Map)
    fired: Map[str, bool] = field(default_factory=Map)
    ticked: int = 0  # the last tick, Unix ms

    @classmethod
    def from_alerts(cls, alerts: Iterable[Mapping[str, Any]]) -> State:
        """The state that these alerts leave: for each fingerprint the last one counts."""
        last = {alert["fingerprint"]: dict(alert) for alert in alerts}
        budgets: dict[str, Budget] = {}
        opened: dict[str, dict[Condition, dict[str, Any]]] = {}
        watches: dict[WatchKey, Watch] = {}
        for alert in last.values():
            if alert.get("audience") == "operator":
                key = (alert["rule"], alert["tenant"], alert["budget"], alert.get("model", ""))
                before = watches.get(key, Watch())
                watches[key] = Watch(
                    max(alert["seq"], before.delivered), alert if alert["state"] == "firing" else before.alert
                )
                continue
            name = alert["budget"]
            budget = budgets.get(name, Budget())
            budgets[name] = replace(
                budget,
                delivered=max(alert["seq"], budget.delivered),
                at=max(parse_time(alert["time"]) or 0, budget.at),
            )
            if alert["state"] == "firing":
                opened.setdefault(name, {})[condition_of(alert)] = alert
        found = {
            name: replace(budget, open=MappingProxyType(opened.get(name, {})))
            for name, budget in budgets.items()
        }
        return cls(Map(found), Map(watches), Map(dict.fromkeys(last, True)))

    def budget(self, name: str) -> Budget:
        return self.budgets.get(name) or Budget()

    def with_budget(self, name: str, budget: Budget, fired: Iterable[str] = ()) -> State:
        return replace(self, budgets=self.budgets.set(name, budget), fired=_marked(self.fired, fired))

    def with_watch(self, key: WatchKey, watch: Watch, fired: Iterable[str] = ()) -> State:
        return replace(self, watches=self.watches.set(key, watch), fired=_marked(self.fired, fired))


def condition_of(alert: Mapping[str, Any]) -> Condition:
    """The condition that an alert is about."""
    return (alert["rule"], alert.get("threshold"), alert.get("window") or alert.get("model"))


def _marked(fired: Map[str, bool], more: Iterable[str]) -> Map[str, bool]:
    for mark in more:
        fired = fired.set(mark, True)
    return fired
