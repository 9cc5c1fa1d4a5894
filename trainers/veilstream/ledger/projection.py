"""What the outside sees of a ledger event: functions of public parameters, and of nothing else.

A field here is seen by anyone. Never add a count of people, a denial, a loss, or a hash over any of them.
"""

from __future__ import annotations

import hashlib
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from veilstream.events.codec import check
from veilstream.events.types import BUDGET_EVENT
from veilstream.ledger.budget import Budget
from veilstream.ledger.chain import GENESIS, canonical

__all__ = ["SHOWN", "event", "refusal_key", "rfc3339", "show"]


_ALWAYS = (
    "budget", "tenant", "epsilon", "delta", "orders", "mode", "spent", "caps", "epsilon_spent", "fraction",
    "seq",
)  # fmt: skip
_SOMETIMES = (
    "parent", "frozen", "refresh_seconds", "period", "corrected", "unit", "block_seconds",
)  # fmt: skip

SHOWN = frozenset(_ALWAYS + _SOMETIMES)
"""The fields of an event that show the budget, as `show`; some of them only where they say something."""


def rfc3339(unix_seconds: float) -> str:
    """UTC, to the millisecond."""
    stamp = datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def show(budget: Budget) -> dict[str, Any]:
    """A budget's public state. An odometer at +∞ reads as the largest float: JSON has no infinity."""
    shown: dict[str, Any] = {
        "budget": budget.name,
        "tenant": budget.tenant,
        "epsilon": budget.epsilon,
        "delta": budget.delta,
        "orders": list(budget.orders),
        "mode": budget.mode,
        "spent": list(budget.spent),
        "caps": list(budget.caps),
        "epsilon_spent": min(budget.epsilon_spent, sys.float_info.max),
        "fraction": budget.fraction,
        "seq": budget.seq,
    }
    if budget.parent is not None:
        shown["parent"] = budget.parent
    if budget.frozen:
        shown["frozen"] = True
    if budget.refresh_seconds is not None:
        shown |= {"refresh_seconds": budget.refresh_seconds, "period": budget.period}
    if budget.corrected:
        shown["corrected"] = list(budget.corrected)
    if budget.block_seconds is not None:
        shown |= {"unit": "record", "block_seconds": budget.block_seconds}
    return shown


def event(budget: Budget, seq: int, kind: str, time: str, **fields: Any) -> bytes:
    """A public event about `budget` as it is after it, without hashes; checked against its schema.

    Raises:
        RecordInvalid: a field is not of the schema. A fault in the caller: nothing was written yet.
    """
    content = {**show(budget), "seq": seq, "event": kind, "time": time, **fields}
    check(BUDGET_EVENT, {**content, "prev_hash": GENESIS, "hash": GENESIS})
    return orjson.dumps(content)


def refusal_key(public: dict[str, Any]) -> str:
    """Names a refused charge by its public part: the same one is told outside once, until a raise."""
    return hashlib.sha256(canonical({key: public[key] for key in _REFUSED})).hexdigest()


_REFUSED = ("model", "window", "charge", "attempt")
