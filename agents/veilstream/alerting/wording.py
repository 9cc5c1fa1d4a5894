"""What an alert says: sentences for a privacy officer, from public numbers only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Words", "describe"]


class Words(NamedTuple):
    summary: str
    description: str


def describe(
    rule: str, state: str, threshold: float | None, event: Mapping[str, Any], thresholds: list[float]
) -> Words:
    """Summary and description of an alert: how much of ε is spent, and what happens next.

    `thresholds` is sorted; the description names the next one above the fraction.
    """
    budget, used = event["budget"], _percent(event["fraction"])
    spent = (
        f"Budget {budget} of tenant {event['tenant']} has spent ε = {_number(event['epsilon_spent'])} of "
        f"{_number(event['epsilon'])} (δ = {event['delta']:.3g}); as the ledger charges it, "
        f"{used} of the budget is used."
    )
    individual = event["mode"] == "individual"
    if state == "resolved":
        return Words(
            f"Budget {budget}: {_resolved(rule, threshold)}",
            f"{spent} The budget has a new limit, so this alert no longer holds. Training goes on.",
        )
    if rule == "budget-exhausted":
        goes_on = (
            "Training goes on only for people who have room left of their own."
            if individual
            else "No further model is trained or released under it until it is raised."
        )
        return Words(
            f"Budget {budget} is exhausted",
            f"{spent} There is no room for another window at the same price. {goes_on}",
        )
    if rule == "budget-refused":
        return Words(
            f"Budget {budget} could not pay for a window",
            f"{spent} A training window was refused because its charge does not fit into what is left; "
            "nothing was trained and nothing was charged for it. Raise the budget, or make windows cheaper "
            "(more noise, fewer steps, a lower sampling rate), or let it rest.",
        )
    ahead = [t for t in thresholds if t > event["fraction"]]
    following = (
        f"Training goes on; the next alert comes at {_percent(ahead[0])}."
        if ahead
        else "No further threshold lies ahead."
    )
    end = (
        "When the budget is full, training goes on only for people who have room left of their own."
        if individual
        else "When the budget is full, training stops until it is raised."
    )
    return Words(f"Budget {budget} has reached {_percent(threshold or 0)}", f"{spent} {following} {end}")


def _resolved(rule: str, threshold: float | None) -> str:
    return {
        "budget-threshold": f"back below {_percent(threshold or 0)}",
        "budget-exhausted": "has room again",
        "budget-refused": "has a new limit after a refusal",
    }[rule]


def _percent(fraction: float) -> str:
    """Rounded down to a tenth of a percent, so that 99.96 % never reads as full."""
    return f"{math.floor(fraction * 1000 + 1e-9) / 10:g} %"


def _number(value: float) -> str:
    return f"{value:.4g}"
