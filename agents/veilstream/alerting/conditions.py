"""What each kind of public rule asks of a budget: when it begins to hold, whether it still does, and until
when nothing can change without an event. Pure.

| kind         | begins                                          | ends                                    |
|--------------|-------------------------------------------------|-----------------------------------------|
| `threshold`  | fraction ≥ threshold                            | fraction < threshold                    |
| `exhausted`  | event `exhausted`                               | next new limit                          |
| `refused`    | event `refused`                                 | next new limit (see `_refused_holds`)   |
| `frozen`     | an event says so                                | an event no longer says so              |
| `burn_rate`  | a charge: both windows at or above the factor   | one window below it, `keep` ago         |
| `projection` | a charge: the early end is nearer than `within` | it is further than 1.2 `within`         |
| `share`      | a charge: the model's sum in the window ≥ share | the sum falls below it                  |
| `absence`    | a tick: the last event is `expected` old        | any event                               |

A rule that a budget is no longer under (removed, or its globs changed) holds no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf, isinf
from sys import float_info
from typing import Any, NamedTuple

from veilstream.alerting.history import History
from veilstream.alerting.projection import Forecast, forecast
from veilstream.alerting.ruleset import (
    Absence,
    BurnRate,
    Exhausted,
    Frozen,
    Projection,
    Refused,
    Rule,
    Share,
    Threshold,
    Window,
)
from veilstream.alerting.state import LIMIT_EVENTS, Budget, Condition

__all__ = ["Found", "begins", "due", "holds", "model_of", "now", "severity"]

WARNING_FRACTION = 0.8
CRITICAL_FRACTION = 0.95

_CLOSE = 1 - 1e-9  # sums of floats: 0.1 + 0.2 of a budget is three tenths of it
_CLEAR = 1.2  # a projection must move away by so much before it is called off
_LOOK_AGAIN = 240  # parts of the lookback in which an open projection is looked at again

Event = Mapping[str, Any]


class Found(NamedTuple):
    """A condition that holds."""

    condition: Condition
    severity: str
    by_epoch: bool  # fires once in an epoch; else once for each event
    fields: dict[str, Any]  # further fields of the alert


def severity(condition: tuple[Any, ...]) -> str:
    """How bad a condition is: by its threshold, or critical where learning has stopped."""
    threshold = condition[1]
    if threshold is None or threshold >= CRITICAL_FRACTION:
        return "critical"
    return "warning" if threshold >= WARNING_FRACTION else "info"


def begins(rule: Rule, budget: Budget, event: Event | None, charge: float, time: int) -> Iterator[Found]:
    """The conditions of a rule that hold now.

    Args:
        budget: as it is after the event.
        event: None at a tick.
        charge: share of the budget that the event spent; 0 where it spent nothing.
        time: of the evaluation, Unix ms.
    """
    shown = budget.shown
    if shown is None:
        return
    if event is None:
        if isinstance(rule, Absence) and _is_absent(rule, budget, time):
            yield Found(
                (rule.name, None, None), rule.severity or "warning", False, _absence(rule, budget, time)
            )
        return
    if isinstance(rule, Threshold):
        for threshold in rule.at:
            if shown.fraction >= threshold:
                condition = (rule.name, threshold, None)
                yield Found(condition, rule.severity or severity(condition), True, {"threshold": threshold})
    elif isinstance(rule, Exhausted):
        if event["event"] == "exhausted":
            yield Found((rule.name, None, None), rule.severity or "critical", True, {})
    elif isinstance(rule, Refused):
        if event["event"] == "refused":
            yield Found((rule.name, None, None), rule.severity or "critical", False, _refused(event))
    elif isinstance(rule, Frozen):
        if shown.frozen:
            yield Found((rule.name, None, None), rule.severity or "warning", False, {})
    elif charge > 0 and isinstance(rule, BurnRate):
        for window in rule.windows:
            open_now = (rule.name, None, window.label) in budget.open  # then `holds` has judged it
            rate = None if open_now else _burning(rule, window, budget, time)
            if rate is not None:
                fields = {"window": window.label, "value": rate, "limit": window.factor}
                yield Found((rule.name, None, window.label), window.severity, False, fields)
    elif charge > 0 and isinstance(rule, Projection):
        open_now = shown.fraction >= 1 or (rule.name, None, None) in budget.open
        found = None if open_now else _forecast(rule, budget, time)
        if found is not None and _is_near(rule, budget, found, time):
            yield Found((rule.name, None, None), rule.severity or "warning", False, _projected(rule, found))
    elif charge > 0 and isinstance(rule, Share):
        model = model_of(event)
        taken = _taken(rule, budget, model, time)
        if taken >= rule.share * _CLOSE:
            fields = {"model": model, "value": taken, "limit": rule.share}
            yield Found((rule.name, None, model), rule.severity or "warning", False, fields)


def holds(
    rule: Rule | None,
    condition: Condition,
    alert: Mapping[str, Any],
    budget: Budget,
    event: Event | None,
    time: int,
) -> bool:
    """Whether the condition of an open alert still holds; `rule` is None where the budget left it."""
    shown = budget.shown
    if shown is None:
        return True
    if isinstance(rule, Threshold):
        return condition[1] is not None and shown.fraction >= condition[1]
    if isinstance(rule, Exhausted):
        return event is None or event["event"] not in LIMIT_EVENTS
    if isinstance(rule, Refused):
        return event is None or _refused_holds(alert, event)
    if isinstance(rule, Frozen):
        return shown.frozen
    if isinstance(rule, Absence):
        return _is_absent(rule, budget, time)
    if isinstance(rule, BurnRate):
        window = next((one for one in rule.windows if one.label == condition[2]), None)
        return window is not None and _keeps_burning(rule, window, budget, time)
    if isinstance(rule, Projection):
        found = _forecast(rule, budget, time)
        return found is not None and _is_near(rule, budget, found, time, _CLEAR)
    if isinstance(rule, Share):
        return condition[2] is not None and _taken(rule, budget, condition[2], time) >= rule.share * _CLOSE
    return False


def now(rule: Rule | None, condition: Condition, budget: Budget, time: int) -> dict[str, Any]:
    """Further fields of an alert that is resolved: what is measured now, beside the limit."""
    fields: dict[str, Any] = {}
    if condition[1] is not None:
        fields["threshold"] = condition[1]
    if isinstance(rule, BurnRate):
        fields["window"] = condition[2]
        for window in rule.windows:
            if window.label == condition[2]:
                fields |= {"value": _rate(rule, window.long_ms, budget, time), "limit": window.factor}
    elif isinstance(rule, Projection):
        found = _forecast(rule, budget, time)
        if found is not None and not isinf(found.early_seconds):
            fields |= _projected(rule, found)
    elif isinstance(rule, Share) and condition[2] is not None:
        fields |= {
            "model": condition[2],
            "value": _taken(rule, budget, condition[2], time),
            "limit": rule.share,
        }
    return fields


def due(rule: Rule, budget: Budget, time: int) -> float:
    """The first instant after `time` at which this rule may say something without an event."""
    shown = budget.shown
    if shown is None:
        return inf
    if isinstance(rule, Absence):
        open_now = (rule.name, None, None) in budget.open
        quiet = not budget.charged or budget.stopped or shown.frozen
        return inf if open_now or quiet else budget.clock + rule.expected_ms
    if isinstance(rule, BurnRate):
        ends = [
            budget.history.changes_at(time, length + window.keep_ms)
            for window in rule.windows
            if (rule.name, None, window.label) in budget.open
            for length in (window.long_ms, window.short_ms)
        ]
        return min(ends, default=inf)
    if isinstance(rule, Projection) and (rule.name, None, None) in budget.open:
        return time + max(1000, rule.over_ms // _LOOK_AGAIN)
    if isinstance(rule, Share):
        ends = [
            _of_model(budget, model).changes_at(time, rule.over_ms)
            for name, _, model in budget.open
            if name == rule.name and model is not None
        ]
        return min(ends, default=inf)
    return inf


def model_of(event: Event) -> str:
    """Who is charged: the model, or the budget below that was charged, or the budget itself."""
    return str(event.get("model") or event.get("by") or event["budget"])


def _is_absent(rule: Absence, budget: Budget, time: int) -> bool:
    quiet = not budget.charged or budget.stopped or (budget.shown is not None and budget.shown.frozen)
    return not quiet and time >= budget.clock + rule.expected_ms


def _absence(rule: Absence, budget: Budget, time: int) -> dict[str, Any]:
    return {"value": (time - budget.clock) / 1000, "limit": rule.expected_ms / 1000}


def _refused(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if event.get("reason") == "frozen":
        fields["reason"] = "frozen"
    if event.get("at", event["budget"]) != event["budget"]:
        fields["at"] = event["at"]
    return fields


def _refused_holds(alert: Mapping[str, Any], event: Event) -> bool:
    """A new limit ends it. So does a later charge of this budget, where the hindrance was above it or was a
    freeze: there no new limit of this budget would tell.
    """
    kind = event["event"]
    elsewhere = "at" in alert or alert.get("reason") == "frozen"
    if kind in LIMIT_EVENTS or (alert.get("reason") == "frozen" and kind == "unfrozen"):
        return False
    return not (elsewhere and kind == "charged" and "by" not in event)


def _period_ms(rule: BurnRate, budget: Budget) -> int:
    own = budget.shown.refresh_ms if budget.shown is not None else None
    return own or rule.period_ms


def _rate(rule: BurnRate, length_ms: int, budget: Budget, time: int) -> float:
    """How many times faster than would last for the period: spent / (window / period)."""
    rate = budget.history.spent(time, length_ms) * _period_ms(rule, budget) / length_ms
    return min(rate, float_info.max)  # JSON has no infinity


def _burning(rule: BurnRate, window: Window, budget: Budget, time: int) -> float | None:
    """The burn rate in the longer window, where it is too high in both."""
    rate = _rate(rule, window.long_ms, budget, time)
    if rate < window.factor * _CLOSE or budget.history.charges(time, window.long_ms) < rule.charges:
        return None
    return rate if _rate(rule, window.short_ms, budget, time) >= window.factor * _CLOSE else None


def _keeps_burning(rule: BurnRate, window: Window, budget: Budget, time: int) -> bool:
    """The same amounts, in windows that are `keep` longer: so that charges at a slow beat do not flap."""
    period = _period_ms(rule, budget)
    return all(
        budget.history.spent(time, length + window.keep_ms) * period >= window.factor * length * _CLOSE
        for length in (window.long_ms, window.short_ms)
    )


def _forecast(rule: Projection, budget: Budget, time: int) -> Forecast | None:
    if budget.shown is None:
        return None
    return forecast(
        budget.history,
        fraction=budget.shown.fraction,
        time_ms=time,
        over_ms=rule.over_ms,
        charges=rule.charges,
        confidence=rule.confidence,
    )


def _is_near(rule: Projection, budget: Budget, found: Forecast, time: int, stretch: float = 1.0) -> bool:
    """Nearer than `within`, and before the budget refreshes, if it does."""
    end = budget.shown.refreshes_at if budget.shown is not None else None
    soon = found.early_seconds * 1000 <= rule.within_ms * stretch
    return soon and (end is None or time + found.early_seconds * 1000 < end)


def _projected(rule: Projection, found: Forecast) -> dict[str, Any]:
    fields: dict[str, Any] = {"value": found.early_seconds, "limit": rule.within_ms / 1000}
    if not isinf(found.late_seconds):
        fields["value_high"] = found.late_seconds
    return fields


def _of_model(budget: Budget, model: str) -> History:
    return budget.models.get(model) or History()


def _taken(rule: Share, budget: Budget, model: str, time: int) -> float:
    return _of_model(budget, model).spent(time, rule.over_ms)
