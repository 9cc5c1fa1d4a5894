"""The CloudEvents attributes of an alert, the same on the topic and in a webhook's headers."""

from __future__ import annotations

from typing import Any

from veilstream.events import types
from veilstream.events.cloudevents import Attributes

__all__ = ["attributes"]


def attributes(alert: dict[str, Any]) -> Attributes:
    """The id is a function of the alert, so that a reader recognises one that it gets twice."""
    return Attributes(
        type=types.ALERT,
        source="veilstream/alerting",
        id=f"{alert['fingerprint']}/{alert['state']}",
        time=alert["time"],
    )
