"""The operator's rules: a signal of `operator.signals` and a state in, alerts and the next state out. Pure.

| kind             | begins at                                  | ends at                                    |
|------------------|--------------------------------------------|--------------------------------------------|
| `ledger_differs` | signal `ledger_differs`                    | next `ledger_verified` of it, or of all    |
| `audit`          | `audit` with value > limit                 | next one of budget and model that is not   |
| `people_denied`  | `people_denied` with value / limit ≥ share | next one of budget and model that is below |

What is measured is inside the boundary, and so are these alerts: `audience` is `operator`, they are written
to `operator.signals` and never to `budget.alerts`.

A signal has no sequence number: its place in the topic (one partition) takes that part, and is the `seq` of
the alert. A signal whose place is below that of an alert on the topic has said all it had to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veilstream.alerting.clock import rfc3339
from veilstream.alerting.rules import fingerprint
from veilstream.alerting.ruleset import Audit, LedgerDiffers, PeopleDenied, Rule, RuleSet
from veilstream.alerting.state import State, Watch, WatchKey
from veilstream.alerting.wording import number, percent

__all__ = ["ANY_TENANT", "evaluate_signal"]

ANY_TENANT = "all"
"""Stands as the tenant of an alert whose signal names none."""

Signal = Mapping[str, Any]


def evaluate_signal(
    state: State, signal: Signal, rules: RuleSet, *, place: int, time: float
) -> tuple[list[dict[str, Any]], State]:
    """The alerts that a signal calls for, and the state after it.

    Args:
        signal: a checked value of type ai.veilstream.operator.signal.v1.
        place: its offset in the topic.
        time: Unix seconds: when it was said.
    """
    tenant, budget = signal.get("tenant", ANY_TENANT), signal.get("budget", "")
    alerts: list[dict[str, Any]] = []
    for rule in rules.of_signal(tenant, budget):
        begins = _begins(rule, signal)
        if begins is None:
            continue
        own = (rule.name, tenant, budget, signal.get("model", ""))
        keys = [own] if begins else _ended(state, rule, signal, own)
        for key in keys:
            watch = state.watches.get(key) or Watch()
            if place < watch.delivered or begins == (watch.alert is not None):
                continue
            mark = (
                fingerprint(key[2], rule.name, None, place, "operator", key[1], key[3])
                if watch.alert is None
                else watch.alert["fingerprint"]
            )
            if begins and mark in state.fired:
                continue
            alert = _alert(state, rule, key, mark, begins, signal, place, time)
            state = state.with_watch(key, Watch(place, alert if begins else None), [mark] if begins else [])
            alerts.append(alert)
    return alerts, state


def _begins(rule: Rule, signal: Signal) -> bool | None:
    """Whether the signal says that the condition holds; None where it says nothing of it."""
    kind, value, limit = signal["signal"], signal.get("value"), signal.get("limit")
    if isinstance(rule, LedgerDiffers) and kind in ("ledger_differs", "ledger_verified"):
        return bool(kind == "ledger_differs")
    if value is None or limit is None:
        return None
    if isinstance(rule, Audit) and kind == "audit":
        return bool(value > limit)
    if isinstance(rule, PeopleDenied) and kind == "people_denied" and limit > 0:
        return bool(value >= rule.share * limit)
    return None


def _ended(state: State, rule: Rule, signal: Signal, own: WatchKey) -> list[WatchKey]:
    """The open conditions that the signal ends; a ledger that was verified whole ends those of all."""
    if not isinstance(rule, LedgerDiffers):
        return [own]
    tenant, budget = signal.get("tenant"), signal.get("budget")
    return sorted(
        key
        for key, watch in state.watches.items()
        if key[0] == rule.name
        and watch.alert is not None
        and tenant in (None, key[1])
        and budget in (None, key[2])
    )


def _alert(
    state: State,
    rule: Rule,
    key: WatchKey,
    mark: str,
    firing: bool,
    signal: Signal,
    place: int,
    time: float,
) -> dict[str, Any]:
    _, tenant, budget, model = key
    shown = state.budget(budget).shown if budget else None
    summary, description = _words(rule, key, firing, signal)
    alert: dict[str, Any] = {
        "fingerprint": mark,
        "rule": rule.name,
        "severity": rule.severity or "critical",
        "state": "firing" if firing else "resolved",
        "tenant": tenant,
        "budget": budget,
        "seq": place,
        "time": rfc3339(round(time * 1000)),
        "summary": summary,
        "description": description,
        "runbook": rule.runbook,
        "epsilon": shown.epsilon if shown is not None else 0.0,
        "epsilon_spent": shown.epsilon_spent if shown is not None else 0.0,
        "fraction": shown.fraction if shown is not None else 0.0,
        "audience": "operator",
    }
    if shown is not None:
        alert["delta"] = shown.delta
    if model:
        alert["model"] = model
    if isinstance(rule, Audit | PeopleDenied):
        alert["value"] = signal["value"]
        alert["limit"] = signal["limit"] if isinstance(rule, Audit) else rule.share * signal["limit"]
    if rule.labels:
        alert["labels"] = dict(rule.labels)
    return alert


def _words(rule: Rule, key: WatchKey, firing: bool, signal: Signal) -> tuple[str, str]:
    _, tenant, budget, model = key
    whose = f"budget {budget}" if budget else "all budgets"
    owner = "" if tenant == ANY_TENANT else f" of tenant {tenant}"
    model_of = f" model {model}" if model else " a model"
    value, limit = signal.get("value", 0.0), signal.get("limit", 0.0)
    if isinstance(rule, LedgerDiffers):
        if not firing:
            return (
                f"Ledger: {whose} agrees with its journal again",
                "Store and journal were compared and are equal.",
            )
        detail = f" First difference: {signal['detail']}." if signal.get("detail") else ""
        return (
            f"Ledger: store and journal of {whose} differ",
            f"The journal is the truth, the store is not.{detail} Stop the trainers{owner}, keep both as "
            "they are, and find out who wrote to them.",
        )
    if isinstance(rule, Audit):
        measured = (
            f"An audit of{model_of} under {whose}{owner} measured ε ≥ {number(value)}; "
            f"the ledger claims ε ≤ {number(limit)}."
        )
        if firing:
            return (
                f"Audit: more privacy loss than {whose} claims",
                f"{measured} The claim is wrong, or the training is not what was paid for. Stop releasing.",
            )
        return f"Audit: {whose} is within its claim again", measured
    share = percent(value / limit)
    denied = f"In the last window of{model_of} under {whose}{owner} {share} of the people had no room left."
    if firing:
        return (
            f"{share} of the people have no room in {whose}",
            f"{denied} They are left out of training, which is as it should be; the model learns from "
            "fewer and fewer. Plan for the end of the budget.",
        )
    return f"Fewer people are left out in {whose}", denied
