"""The rules: a budget event and a state in, alerts and the next state out. Pure.

Theory of operation. Each rule is a *condition* on the public odometer:

| rule               | holds                                  | severity                               |
|--------------------|----------------------------------------|----------------------------------------|
| `budget-threshold` | while `fraction` ≥ threshold           | info < 0.8 ≤ warning < 0.95 ≤ critical |
| `budget-exhausted` | from `exhausted` to the next new limit | critical                               |
| `budget-refused`   | from `refused` to the next new limit   | critical                               |

A new limit is an event of `state.LIMIT_EVENTS` (a raise, say); it begins an *epoch*, named by its sequence
number. The fingerprint of an alert hashes budget, rule, threshold and epoch. Hence:

* a fingerprint fires once, however often its event or a later one is seen;
* an alert is resolved when its condition no longer holds, which only a new limit can bring about, since an
  odometer never runs backwards within an epoch;
* after a raise that frees a threshold, the next epoch may fire it again under a new fingerprint; while an
  alert stays open (the raise was too small), its condition does not fire a second time.

Alerts are delivered in the order of their events, each acknowledged before the next. So an event whose
sequence number is below that of an alert on the topic has said all it had to say: in a replay (the offset was
not yet committed at a kill) it is only taken note of. An event whose sequence number was seen is dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson

from veilstream.alerting.state import LIMIT_EVENTS, Budget, Condition, State
from veilstream.alerting.wording import describe

__all__ = ["EXHAUSTED", "REFUSED", "RULES", "THRESHOLD", "evaluate", "fingerprint", "observe", "severity"]

THRESHOLD = "budget-threshold"
EXHAUSTED = "budget-exhausted"
REFUSED = "budget-refused"

RULES = (THRESHOLD, EXHAUSTED, REFUSED)
"""Every rule; its name is also the anchor of its runbook in docs/operations.md."""

WARNING_FRACTION = 0.8
CRITICAL_FRACTION = 0.95

_BY_EVENT = {"exhausted": EXHAUSTED, "refused": REFUSED}


def severity(condition: Condition) -> str:
    """How bad a condition is: by its threshold, or critical where learning has stopped."""
    threshold = condition[1]
    if threshold is None or threshold >= CRITICAL_FRACTION:
        return "critical"
    return "warning" if threshold >= WARNING_FRACTION else "info"


def fingerprint(budget: str, rule: str, threshold: float | None, epoch: int) -> str:
    """Stable name of an alert: 128 bits of SHA-256 over a JSON array, so fields cannot run together."""
    fields = orjson.dumps(["ai.veilstream.alert.v1", budget, rule, threshold, epoch])
    return hashlib.sha256(fields).hexdigest()[:32]


def observe(state: State, event: Mapping[str, Any]) -> State:
    """Take note of an event whose alerts were delivered before: only where the budget stands changes."""
    before = state.budget(event["budget"])
    if event["seq"] <= before.seq:
        return state
    return state.with_budget(event["budget"], _step(before, event))


def evaluate(
    state: State,
    event: Mapping[str, Any],
    *,
    thresholds: Iterable[float],
    runbook_base: str,
    time: str,
) -> tuple[list[dict[str, Any]], State]:
    """The alerts that one budget event calls for, resolved ones first, and the state after it.

    Args:
        event: a checked value of type ai.veilstream.budget.event.v1.
        thresholds: fractions in (0, 1]; order and repetition do not matter.
        runbook_base: prefix of the runbook's link; the rule's name is the anchor.
        time: RFC 3339, the time that the alerts carry.

    Returns:
        Alerts of type ai.veilstream.alert.v1. Empty for an event that was seen before.
    """
    name, seq = event["budget"], event["seq"]
    before = state.budget(name)
    if seq <= before.seq or seq < before.delivered:
        return [], observe(state, event)
    budget = _step(before, event)
    wanted = sorted(set(thresholds))
    open_alerts = dict(budget.open)
    alerts: list[dict[str, Any]] = []

    def say(condition: Condition, mark: str, alert_state: str, severity_: str) -> dict[str, Any]:
        rule, threshold = condition
        words = describe(rule, alert_state, threshold, event, wanted)
        alert: dict[str, Any] = {
            "fingerprint": mark,
            "rule": rule,
            "severity": severity_,
            "state": alert_state,
            "tenant": event["tenant"],
            "budget": name,
            "seq": seq,
            "time": time,
            "summary": words.summary,
            "description": words.description,
            "runbook": runbook_base + rule,
            "epsilon": event["epsilon"],
            "epsilon_spent": event["epsilon_spent"],
            "delta": event["delta"],
            "fraction": event["fraction"],
        }
        if threshold is not None:
            alert["threshold"] = threshold
        alerts.append(alert)
        return alert

    for condition, opened in budget.open.items():
        if not _holds(condition, event):
            say(condition, opened["fingerprint"], "resolved", opened["severity"])
            del open_alerts[condition]

    fired = set()
    for condition in _begins(event, wanted):
        mark = fingerprint(name, condition[0], condition[1], budget.epoch)
        if condition not in open_alerts and mark not in state.fired:
            open_alerts[condition] = say(condition, mark, "firing", severity(condition))
            fired.add(mark)

    return alerts, state.with_budget(name, replace(budget, open=MappingProxyType(open_alerts)), fired)


def _step(before: Budget, event: Mapping[str, Any]) -> Budget:
    epoch = event["seq"] if event["event"] in LIMIT_EVENTS else before.epoch
    return replace(before, seq=event["seq"], epoch=epoch)


def _begins(event: Mapping[str, Any], thresholds: list[float]) -> list[Condition]:
    """The conditions that this event shows to hold."""
    conditions: list[Condition] = [(THRESHOLD, t) for t in thresholds if event["fraction"] >= t]
    if event["event"] in _BY_EVENT:
        conditions.append((_BY_EVENT[event["event"]], None))
    return conditions


def _holds(condition: Condition, event: Mapping[str, Any]) -> bool:
    rule, threshold = condition
    if rule == THRESHOLD and threshold is not None:
        return bool(event["fraction"] >= threshold)
    return event["event"] not in LIMIT_EVENTS
