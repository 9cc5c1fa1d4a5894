"""What alerting's tests share: rules, a ledger that makes events at given times, and a replay of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from budget_story import budget_event
from veilstream.alerting.clock import parse_time, rfc3339
from veilstream.alerting.ruleparse import load_rules, parse_rules
from veilstream.alerting.rules import evaluate
from veilstream.alerting.ruleset import RuleSet
from veilstream.alerting.state import State
from veilstream.events import types
from veilstream.events.codec import check

START = 1_790_000_000.0  # Unix seconds
THRESHOLDS = (0.5, 0.8, 0.95, 1.0)
RUNBOOKS = "docs/operations.md#"

THREE = (Path(__file__).parent / "three_rules.toml").read_text()
"""The rules that need no clock."""


def rules(text: str = THREE, thresholds: tuple[float, ...] = THRESHOLDS) -> RuleSet:
    return parse_rules(text, source="test.toml", thresholds=thresholds, runbook_base=RUNBOOKS)


def built_in() -> RuleSet:
    return load_rules(None, thresholds=THRESHOLDS, runbook_base=RUNBOOKS)


class Ledger:
    """Budgets and their events, as the ledger makes them: `ledger.charge("acme", 0.1, at=3600)`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._seqs: dict[str, int] = {}
        self._spent: dict[str, float] = {}
        self._limits: dict[str, float] = {}
        self._frozen: set[str] = set()

    def say(self, budget: str, kind: str, at: float, **more: Any) -> dict[str, Any]:
        """An event of a kind, `at` seconds after START, about the budget as it is."""
        self._seqs[budget] = self._seqs.get(budget, 0) + 1
        limit = self._limits.setdefault(budget, 1.0)
        if kind == "frozen":
            self._frozen.add(budget)
        elif kind == "unfrozen":
            self._frozen.discard(budget)
        elif kind == "refreshed":
            self._spent[budget] = 0.0
        event = budget_event(
            self._seqs[budget],
            kind,
            self._spent.get(budget, 0.0) / limit,
            epsilon=limit,
            budget=budget,
            time=rfc3339(round((START + at) * 1000)),
            **({"frozen": True} if budget in self._frozen else {}),
            **more,
        )
        self.events.append(event)
        return event

    def charge(self, budget: str, amount: float, at: float, **more: Any) -> dict[str, Any]:
        """`amount` is a share of an ε of 1."""
        self._spent[budget] = self._spent.get(budget, 0.0) + amount
        return self.say(budget, "charged", at, **more)

    def limit(self, budget: str) -> float:
        return self._limits.get(budget, 1.0)

    def raise_to(self, budget: str, epsilon: float, at: float) -> dict[str, Any]:
        self._limits[budget] = epsilon
        return self.say(budget, "raised", at)


class Replay:
    """Alerting without Kafka: events and ticks in, alerts out. Every alert is checked against its schema."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.rules = rule_set
        self.state = State()
        self.alerts: list[dict[str, Any]] = []

    def event(self, event: dict[str, Any]) -> list[tuple[str, str, str | float | None]]:
        return self._took(event, seconds_of(event))

    def tick(self, at: float) -> list[tuple[str, str, str | float | None]]:
        """A tick `at` seconds after START."""
        return self._took(None, START + at)

    def _took(self, event: dict[str, Any] | None, time: float) -> list[tuple[str, str, str | float | None]]:
        alerts, self.state = evaluate(self.state, event, self.rules, time)
        for alert in alerts:
            check(types.ALERT, alert)
        self.alerts += alerts
        return [told(alert) for alert in alerts]


def told(alert: dict[str, Any]) -> tuple[str, str, str | float | None]:
    """Rule, state, and what tells its conditions apart."""
    apart = alert.get("threshold", alert.get("window", alert.get("model")))
    return alert["rule"], alert["state"], apart


def seconds_of(event: dict[str, Any]) -> float:
    """When an event happened, Unix seconds."""
    found = parse_time(event["time"])
    assert found is not None
    return found / 1000
