"""The rules: a budget event or a tick, and a state, in; alerts and the next state out. Pure.

Theory of operation. Each rule is a *condition* on the public odometer (`conditions`), which begins and ends.
Beginning fires an alert, ending resolves it.

* **Fingerprints.** A new limit (an event of `state.LIMIT_EVENTS`, a raise, say) begins an *epoch*, named by
  its sequence number. The fingerprint of `threshold`, `exhausted` and `refused` hashes budget, rule,
  threshold and epoch: once in an epoch. That of the others hashes the sequence number of the event at which
  they began: once for an event. A fingerprint fires once, however often its event or a later one is seen.
* **Time** is an argument. An event is judged at the instant that it happened, not when it is read: an event
  that is read again, or hours late, gives the same alerts. A *tick* (no event) drives what only the passing
  of time begins or ends: absence, and the ends of burn rates, shares and projections. A tick that says
  nothing leaves no trace, so nothing of it is lost in a restart; one that says something is on the topic,
  with its instant.
* **Replay.** Alerts are on the topic in the order of their events. So an event whose sequence number is
  below that of an alert on the topic has said all it had to say: in a replay (the offset was not yet
  committed at a kill) it is only taken note of. An event that was seen is dropped.
* **Clocks that jump back.** A tick before the last one is ignored. A tick before a budget's last event or
  alert passes that budget over. An event up to a minute before the budget's last one counts as simultaneous
  with it (clocks of several writers); one further back means that a clock was set right: the later word
  counts, and what was spent "in the future" counts as spent now. An event that comes late, after an alert
  that a tick fired, is judged at that alert's instant, unless it is more than a day older.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Any

import orjson

from veilstream.alerting import conditions
from veilstream.alerting.clock import rfc3339
from veilstream.alerting.conditions import model_of, severity
from veilstream.alerting.history import History
from veilstream.alerting.persistent import Map
from veilstream.alerting.ruleset import Rule, RuleSet
from veilstream.alerting.state import LIMIT_EVENTS, Budget, Condition, Odometer, State
from veilstream.alerting.wording import describe

__all__ = ["EXHAUSTED", "REFUSED", "RULES", "THRESHOLD", "evaluate", "fingerprint", "observe", "severity"]

THRESHOLD = "budget-threshold"
EXHAUSTED = "budget-exhausted"
REFUSED = "budget-refused"

RULES = (THRESHOLD, EXHAUSTED, REFUSED)
"""Built-in rules whose runbooks are in docs/operations.md; those of the others are in docs/alerts.md."""

_JITTER_MS = 60_000
_LATE_MS = 86_400_000

Alerts = list[dict[str, Any]]
Event = Mapping[str, Any]


def fingerprint(budget: str, rule: str, threshold: float | None, epoch: int, *more: str) -> str:
    """Stable name of an alert: 128 bits of SHA-256 over a JSON array, so fields cannot run together."""
    fields = orjson.dumps(["ai.veilstream.alert.v1", budget, rule, threshold, epoch, *more])
    return hashlib.sha256(fields).hexdigest()[:32]


def observe(state: State, event: Event, rules: RuleSet, time: float) -> State:
    """Take note of an event whose alerts were delivered before: only where the budget stands changes."""
    before = state.budget(event["budget"])
    if event["seq"] <= before.seq:
        return state
    budget, _ = _step(before, event, rules, round(time * 1000))
    return state.with_budget(event["budget"], budget)


def evaluate(state: State, event: Event | None, rules: RuleSet, time: float) -> tuple[Alerts, State]:
    """The alerts that a budget event or a tick calls for, resolved ones first, and the state after it.

    Args:
        event: a checked value of type ai.veilstream.budget.event.v1; None for a tick.
        time: Unix seconds (milliseconds count): when the event happened, or now.

    Returns:
        Alerts of type ai.veilstream.alert.v1. Empty for an event that was seen before. Costs the same however
        many budgets there are; a tick looks at each of them, and judges those where something is due.
    """
    moment = round(time * 1000)
    if event is None:
        return _tick(state, rules, moment)
    name, seq = event["budget"], event["seq"]
    before = state.budget(name)
    if seq <= before.seq or seq < before.delivered:
        return [], observe(state, event, rules, time)
    budget, charge = _step(before, event, rules, moment)
    at = max(budget.at, budget.clock)
    alerts, budget = _judge(state, name, budget, event, rules, charge, at)
    return alerts, state.with_budget(name, budget, _fired(alerts))


def _tick(state: State, rules: RuleSet, moment: int) -> tuple[Alerts, State]:
    if moment < state.ticked:
        return [], state
    alerts: Alerts = []
    due = [
        name
        for name, budget in state.budgets.items()
        if budget.due <= moment and moment >= budget.clock and moment >= budget.at
    ]
    for name in sorted(due):
        more, budget = _judge(state, name, state.budget(name), None, rules, 0.0, moment)
        state = state.with_budget(name, budget, _fired(more))
        alerts += more
    return alerts, replace(state, ticked=moment)


def _judge(
    state: State, name: str, budget: Budget, event: Event | None, rules: RuleSet, charge: float, at: int
) -> tuple[Alerts, Budget]:
    """What there is to say of a budget at an instant, and the budget with its open alerts after it."""
    shown = budget.shown
    if shown is None:  # only its alerts are known: no event of it can be read any more
        return [], replace(budget, due=inf)
    watching = rules.of_budget(shown.tenant, name)
    alerts: Alerts = []
    opened = dict(budget.open)

    def say(
        rule: Rule | None, condition: Condition, mark: str, state_: str, severity_: str, more: Event
    ) -> None:
        alert: dict[str, Any] = {
            "fingerprint": mark,
            "rule": condition[0],
            "severity": severity_,
            "state": state_,
            "tenant": shown.tenant,
            "budget": name,
            "seq": budget.seq,
            "time": rfc3339(at),
            "summary": "",
            "description": "",
            "runbook": rule.runbook if rule is not None else opened[condition]["runbook"],
            "epsilon": shown.epsilon,
            "epsilon_spent": shown.epsilon_spent,
            "delta": shown.delta,
            "fraction": shown.fraction,
            "audience": "public",
            **more,
        }
        labels = rule.labels if rule is not None else opened[condition].get("labels")
        if labels:
            alert["labels"] = dict(labels)
        alert["summary"], alert["description"] = describe(rule, alert, shown, event)
        alerts.append(alert)
        if state_ == "firing":
            opened[condition] = alert
        else:
            del opened[condition]

    for condition, alert in budget.open.items():
        rule = next((one for one in watching if one.name == condition[0]), None)
        if not conditions.holds(rule, condition, alert, budget, event, at):
            more = conditions.now(rule, condition, budget, at)
            say(rule, condition, alert["fingerprint"], "resolved", alert["severity"], more)
    fired: set[str] = set()
    for rule in watching:
        for found in conditions.begins(rule, budget, event, charge, at):
            if found.condition in opened:
                continue
            _, threshold, key = found.condition
            mark = fingerprint(
                name,
                rule.name,
                threshold,
                budget.epoch if found.by_epoch else budget.seq,
                *(() if key is None else (key,)),
            )
            if mark not in state.fired and mark not in fired:
                say(rule, found.condition, mark, "firing", found.severity, found.fields)
                fired.add(mark)
    if alerts:
        budget = replace(budget, open=MappingProxyType(opened), at=at)
    due = min((conditions.due(rule, budget, at) for rule in watching), default=inf)
    return alerts, replace(budget, due=due)


def _fired(alerts: Alerts) -> list[str]:
    return [alert["fingerprint"] for alert in alerts if alert["state"] == "firing"]


def _step(before: Budget, event: Event, rules: RuleSet, moment: int) -> tuple[Budget, float]:
    """The budget after an event, and the share of it that the event spent."""
    kind, seq, fraction = event["event"], event["seq"], float(event["fraction"])
    limit = kind in LIMIT_EVENTS
    history, models = before.history, before.models
    clock, at = max(before.clock, moment), before.at
    if before.clock - moment > _JITTER_MS:
        clock = moment
        history = history.retimed(clock)
        models = Map((model, one.retimed(clock)) for model, one in models.items())
    if seq > before.delivered and (clock < before.clock or at - moment > _LATE_MS):
        at = clock  # the instant of the last alert was of a clock that ran ahead
    charge = 0.0
    if before.seq == 0 or kind in ("created", "refreshed"):
        history, models = History(clock), Map()
        known = seq == 1 and not limit  # no event before it: all that it shows was spent by it
        charge = fraction if known else 0.0
    elif before.shown is not None:
        if kind == "raised" and before.shown.fraction > 0:
            ratio = fraction / before.shown.fraction
            history = history.scaled(ratio)
            models = Map((model, one.scaled(ratio)) for model, one in models.items())
        elif not limit and kind != "corrected":  # entered by hand: no pace
            charge = max(0.0, fraction - before.shown.fraction)
    if charge > 0:
        history = history.add(clock, charge)
        model = model_of(event)
        models = models.set(model, (models.get(model) or History(clock)).add(clock, charge))
    if history.oldest < clock - rules.reach_ms:
        history = history.pruned(clock - rules.reach_ms)
        models = _pruned(models, clock - rules.reach_ms)
    budget = Budget(
        seq=seq,
        epoch=seq if limit else before.epoch,
        delivered=before.delivered,
        at=at,
        clock=clock,
        shown=_shown(event),
        charged=before.charged or charge > 0 or kind == "charged",
        stopped=kind == "exhausted" or (before.stopped and not limit and kind != "charged"),
        open=before.open,
        history=history,
        models=models,
    )
    return budget, charge


def _shown(event: Event) -> Odometer:
    refresh = event.get("refresh_seconds")
    period = event.get("period")
    length = None if refresh is None else max(1, round(refresh * 1000))
    return Odometer(
        tenant=event["tenant"],
        epsilon=event["epsilon"],
        epsilon_spent=event["epsilon_spent"],
        delta=event["delta"],
        fraction=event["fraction"],
        mode=event["mode"],
        frozen=event.get("frozen") is True,
        refresh_ms=length,
        refreshes_at=None if length is None or period is None else (period + 1) * length,
    )


def _pruned(models: Map[str, History], before: int) -> Map[str, History]:
    """Models without the charges that no window reaches, and without the models that have none left."""
    stale = any(one.oldest <= before for _, one in models.items())
    if not stale:
        return models
    kept = ((model, one.pruned(before)) for model, one in models.items())
    return Map((model, one) for model, one in kept if len(one))
