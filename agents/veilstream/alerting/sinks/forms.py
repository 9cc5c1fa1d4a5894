"""An alert as the labels and annotations that Alertmanager knows. Pure.

Labels name an alert: they are the same when it fires and when it resolves, or a receiver would take the two
for different alerts. So figures that move (ε spent, the fraction) are annotations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["NEVER", "alert_annotations", "alert_labels", "link", "started"]

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: what Alertmanager writes as the end of an alert that goes on."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NUMBERS = ("epsilon", "epsilon_spent", "delta", "fraction", "value", "limit")


def alert_labels(alert: Mapping[str, Any]) -> dict[str, str]:
    """`alertname`, `severity`, `tenant`, `budget`, `fingerprint`, ….

    Of the rule's own labels none may replace one of these; one that Alertmanager would refuse is left out.
    """
    found: dict[str, str] = {"alertname": alert["rule"]}
    for name in ("severity", "tenant", "budget", "fingerprint", "model", "audience"):
        if alert.get(name):
            found[name] = str(alert[name])
    if "threshold" in alert:
        found["threshold"] = f"{alert['threshold']:g}"
    own = alert.get("labels")
    for name, value in own.items() if isinstance(own, Mapping) else ():
        if _LABEL.fullmatch(str(name)) and str(value):
            found.setdefault(str(name), str(value))
    return found


def alert_annotations(alert: Mapping[str, Any]) -> dict[str, str]:
    """The words and the figures."""
    found = {
        "summary": alert["summary"],
        "description": alert["description"],
        "runbook_url": alert["runbook"],
    }
    found.update({name: f"{alert[name]:.6g}" for name in _NUMBERS if name in alert})
    return {name: text for name, text in found.items() if text}


def started(alert: Mapping[str, Any]) -> str | None:
    """When it began to fire, RFC 3339; None for a resolved one whose beginning is not known."""
    if alert["state"] == "firing":
        return str(alert["time"])
    known = alert.get("started")
    if known is None or _instant(known) > _instant(alert["time"]):  # a clock jumped back
        return None
    return str(known)


def link(alert: Mapping[str, Any], source_url: str | None) -> str | None:
    """Where a person reads more: the page of the settings, else the runbook where it is a whole address."""
    if source_url:
        return source_url
    runbook = str(alert["runbook"])
    return runbook if runbook.startswith(("http://", "https://")) else None


def _instant(text: str) -> datetime:
    when = datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
