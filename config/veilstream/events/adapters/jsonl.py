"""Any JSON object a line.

One with `conversation` and `messages` is taken for the contract itself and checked as such; its privacy
block may be missing, and what it says of tenant and subject holds, except that a subject which is given
comes first. Any other object becomes one message with one generic part, in a conversation named by the
line's SHA-256: the same line is the same conversation."""

from __future__ import annotations

from typing import Any

from veilstream.events.adapters.base import (
    INTERACTION_FIXED,
    INTERACTION_WORDS,
    Adapter,
    deterministic_id,
    interaction,
    refuse,
)

__all__ = ["ADAPTER"]


def _read(obj: Any, tenant: str, subject: str | None) -> list[dict[str, Any]]:
    if not isinstance(obj, dict):
        refuse("$", "an object")
    if "conversation" in obj and "messages" in obj:
        return [_contract(obj, tenant, subject)]
    message = {"role": "log", "parts": [{"type": "generic", "value": obj}]}
    return [
        interaction(conversation=deterministic_id(obj), messages=[message], tenant=tenant, subject=subject)
    ]


def _contract(obj: dict[str, Any], tenant: str, subject: str | None) -> dict[str, Any]:
    privacy = obj.get("privacy")
    if privacy is not None and not isinstance(privacy, dict):
        refuse("$.privacy", "an object")
    block: dict[str, Any] = {"tenant": tenant, **(privacy or {})}
    if subject is not None:
        block["subject"] = subject
    return {**obj, "privacy": block}


ADAPTER = Adapter(
    "jsonl",
    _read,
    words=INTERACTION_WORDS,
    fixed=INTERACTION_FIXED,
    ids=("privacy.tenant",),
)
