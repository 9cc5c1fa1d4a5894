"""What an alert says: sentences for a privacy officer and an on-call engineer, from public numbers only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

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
)
from veilstream.alerting.state import Odometer

__all__ = ["Words", "describe", "duration", "number", "percent"]


class Words(NamedTuple):
    summary: str
    description: str


def describe(
    rule: Rule | None, alert: Mapping[str, Any], shown: Odometer, event: Mapping[str, Any] | None
) -> Words:
    """Summary and description of an alert: how much of ε is spent, and what happens next.

    Args:
        rule: None where the budget is under it no more; the alert is then being resolved.
        alert: the rest of it, complete.
        event: None at a tick.
    """
    budget = alert["budget"]
    spent = (
        f"Budget {budget} of tenant {shown.tenant} has spent ε = {number(shown.epsilon_spent)} of "
        f"{number(shown.epsilon)} (δ = {shown.delta:.3g}); as the ledger charges it, "
        f"{percent(shown.fraction)} of the budget is used."
    )
    if alert["state"] == "resolved":
        what, why = _resolved(rule, alert, event)
        return Words(f"Budget {budget}: {what}", f"{spent} {why}")
    summary, text = _firing(rule, alert, shown, event)
    return Words(summary, f"{spent} {text}")


def _firing(
    rule: Rule | None, alert: Mapping[str, Any], shown: Odometer, event: Mapping[str, Any] | None
) -> tuple[str, str]:
    budget, value, limit = alert["budget"], alert.get("value", 0.0), alert.get("limit", 0.0)
    individual = shown.mode == "individual"
    if isinstance(rule, Exhausted):
        goes_on = (
            "Training goes on only for people who have room left of their own."
            if individual
            else "Windows that cost as much are refused until it is raised or its next period begins; "
            "cheaper ones may still fit."
        )
        return (
            f"Budget {budget} is exhausted",
            f"There is no room for another window at the same price. {goes_on}",
        )
    if isinstance(rule, Refused):
        return f"Budget {budget} could not pay for a window", _refusal(alert)
    if isinstance(rule, Frozen):
        return (
            f"Budget {budget} is frozen",
            "Nothing may be charged to it, nor to the budgets below it, until somebody unfreezes it.",
        )
    if isinstance(rule, BurnRate):
        window = next(one for one in rule.windows if one.label == alert["window"])
        whole = duration((shown.refresh_ms or rule.period_ms) / 1000)
        lasts = duration((shown.refresh_ms or rule.period_ms) / 1000 / value)
        return (
            f"Budget {budget} is spent {number(value)} times too fast",
            f"It is meant to last for {whole}. In the last {duration(window.long_ms / 1000)}, and in the "
            f"last {duration(window.short_ms / 1000)} as well, it was spent at least {number(limit)} times "
            f"faster than that allows: at this pace a whole budget lasts for {lasts}. Slow the training "
            "down, or plan for the end of the budget.",
        )
    if isinstance(rule, Projection):
        latest = (
            f"at the latest in {duration(alert['value_high'])}" if "value_high" in alert else "perhaps never"
        )
        return (
            f"Budget {budget} may be used up in {duration(value)}",
            f"At the pace of the last {duration(rule.over_ms / 1000)} the budget is used up in "
            f"{duration(value)} at the earliest and {latest} ({percent(rule.confidence)} interval). "
            f"{_end(individual)}",
        )
    if isinstance(rule, Share):
        return (
            f"{alert['model']} took {percent(value)} of budget {budget}",
            f"In the last {duration(rule.over_ms / 1000)} {alert['model']} alone was charged "
            f"{percent(value)} of the whole budget; the rule allows {percent(limit)}. Look whether it runs "
            "as it was meant to.",
        )
    if isinstance(rule, Absence):
        return (
            f"Nothing was heard of budget {budget} for {duration(value)}",
            f"The last event is older than {duration(limit)}. The trainer, the relay of the ledger or the "
            "broker may stand still. Freeze a budget that is to rest, or raise the rule's `expected`.",
        )
    if isinstance(rule, Threshold):
        ahead = [one for one in rule.at if one > shown.fraction]
        following = (
            f"Training goes on; the next alert comes at {percent(ahead[0])}."
            if ahead
            else "No further threshold lies ahead."
        )
        return (
            f"Budget {budget} has reached {percent(alert['threshold'])}",
            f"{following} {_end(individual)}",
        )
    raise TypeError(f"no words for {type(rule).__name__}")


def _refusal(alert: Mapping[str, Any]) -> str:
    charged = "nothing was trained and nothing was charged for it."
    where = f"budget {alert['at']}, which lies above it," if "at" in alert else "it"
    if alert.get("reason") == "frozen":
        return (
            f"A training window was refused because {where} is frozen; {charged} Unfreeze it, or let it rest."
        )
    if "at" in alert:
        return (
            f"A training window was refused because its charge does not fit into what is left of budget "
            f"{alert['at']}, which lies above it; {charged} Raise that budget, make windows cheaper (more "
            "noise, fewer steps, a lower sampling rate), or let it rest."
        )
    return (
        f"A training window was refused because its charge does not fit into what is left; {charged} "
        "Raise the budget, or make windows cheaper (more noise, fewer steps, a lower sampling rate), or let "
        "it rest."
    )


def _end(individual: bool) -> str:
    if individual:
        return "When the budget is full, training goes on only for people who have room left of their own."
    return "When the budget is full, training stops until it is raised."


_NEW_LIMIT = "The budget has a new limit, so this alert no longer holds. Training goes on."


def _resolved(
    rule: Rule | None, alert: Mapping[str, Any], event: Mapping[str, Any] | None
) -> tuple[str, str]:
    """What is said of a condition that ended, and why it ended."""
    if isinstance(rule, Threshold):
        return f"back below {percent(alert['threshold'])}", _NEW_LIMIT
    if isinstance(rule, Exhausted):
        return "has room again", _NEW_LIMIT
    if isinstance(rule, Refused):
        if event is not None and event["event"] in ("charged", "unfrozen"):
            return (
                "can be charged again after a refusal",
                "What stood in the way of the refused charge is gone.",
            )
        return "has a new limit after a refusal", _NEW_LIMIT
    if isinstance(rule, Frozen):
        return "is no longer frozen", "Charges are allowed again."
    if isinstance(rule, BurnRate):
        pace = (
            f" The pace is {number(alert['value'])} times the sustainable one now."
            if "value" in alert
            else ""
        )
        return "is no longer spent too fast", f"It has slowed down.{pace}"
    if isinstance(rule, Projection):
        return (
            "will last for longer than it looked",
            f"At the pace of the last {duration(rule.over_ms / 1000)} its end is no longer near.",
        )
    if isinstance(rule, Share):
        taken = f"The model took {percent(alert['value'])} in the last {duration(rule.over_ms / 1000)}."
        return f"{alert['model']} takes less of it again", taken
    if isinstance(rule, Absence):
        return "is heard of again", "There is a new event."
    return "is no longer under this rule", "The rule was removed, or watches other budgets now."


def percent(fraction: float) -> str:
    """Rounded down to a tenth of a percent, so that 99.96 % never reads as full."""
    return f"{math.floor(fraction * 1000 + 1e-9) / 10:g} %"


def number(value: float) -> str:
    return f"{value:.4g}"


def duration(seconds: float) -> str:
    """In the unit that reads best: `45 seconds`, `90 minutes`, `36 hours`, `4.5 days`."""
    for name, length in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= 2 * length or seconds == length:
            return _plural(seconds / length, name)
    return _plural(seconds, "second")


def _plural(count: float, unit: str) -> str:
    text = f"{count:.3g}" if count < 1000 else f"{count:.0f}"
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
