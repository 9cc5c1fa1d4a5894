"""An alert that is marked as a test, to see whether a sink takes alerts."""

from __future__ import annotations

import secrets
from typing import Any

from veilstream.alerting.silences import rfc3339
from veilstream.contracts import AlertSink
from veilstream.errors import VeilstreamError
from veilstream.events import types
from veilstream.events.codec import check

__all__ = ["synthetic_alert", "trial"]


def synthetic_alert(now: float, mark: str) -> dict[str, Any]:
    """A firing alert of the rule `test` about a budget that nobody has."""
    alert = {
        "fingerprint": mark,
        "rule": "test",
        "severity": "info",
        "state": "firing",
        "tenant": "test",
        "budget": "test",
        "seq": 0,
        "time": rfc3339(now),
        "summary": "TEST: veilstream can reach this sink",
        "description": "Sent by `veilstream alerts test`. No budget is concerned; nothing is to be done.",
        "runbook": "docs/sinks.md#try-them",
        "epsilon": 1.0,
        "epsilon_spent": 0.0,
        "fraction": 0.0,
    }
    check(types.ALERT, alert)
    return alert


async def trial(sink: AlertSink, now: float) -> dict[str, Any]:
    """Tell the sink of a test alert and of its end, once each: `{sink, taken, error}`.

    `error` says what went wrong without an address or a key; None where it was taken.
    """
    alert = synthetic_alert(now, secrets.token_hex(16))
    ended = {**alert, "state": "resolved", "time": rfc3339(now + 0.001), "started": alert["time"]}
    try:
        await sink.deliver(alert)
        await sink.deliver(ended)
    except VeilstreamError as error:
        return {"sink": sink.name, "taken": False, "error": error.message}
    except Exception as error:  # its text may quote an address
        return {"sink": sink.name, "taken": False, "error": type(error).__name__}
    return {"sink": sink.name, "taken": True, "error": None}
