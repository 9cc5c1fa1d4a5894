"""Budget events for the alerting's tests, each as its schema wants it."""

from __future__ import annotations

from typing import Any

from veilstream.events import types
from veilstream.events.codec import check


def budget_event(
    seq: int, event: str, fraction: float, *, epsilon: float = 1.0, **more: Any
) -> dict[str, Any]:
    value = {
        "seq": seq,
        "event": event,
        "budget": "demo",
        "tenant": "acme",
        "time": "2026-11-24T09:59:59.000Z",
        "epsilon": epsilon,
        "delta": 1e-5,
        "orders": [8.0],
        "mode": "odometer",
        "spent": [int(fraction * 1e9)],
        "caps": [10**9],
        "epsilon_spent": fraction * epsilon,
        "fraction": fraction,
        "prev_hash": "0" * 64,
        "hash": "1" * 64,
        **more,
    }
    check(types.BUDGET_EVENT, value)
    return value
