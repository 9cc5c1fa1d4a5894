"""The load's records: many people, a sequence for each, and poison of every kind.

The numbers that tell a record again (`attributes.person`, `attributes.seq`) are short and name nobody, so
protection leaves them as they are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import dumps
from veilstream.events.types import INTERACTION
from veilstream.keys import routing_key

__all__ = ["MARK", "POISONS", "TENANT", "Item", "good", "poison"]

TENANT = "chaos"
MARK = "chaos-poison"
"""Header that tells the truth's reader that a record is poison; processors pass none on and read none."""

POISONS = ("bad_json", "unknown_type", "wrong_schema", "oversized", "unknown_tenant", "bad_header")
_WORDS = (
    "where",
    "is",
    "my",
    "order",
    "please",
    "refund",
    "late",
    "parcel",
    "again",
    "thanks",
    "broken",
    "box",
)


@dataclass(frozen=True, slots=True)
class Item:
    """A record to send."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def good(person: int, seq: int, rng: random.Random) -> Item:
    """A record that keeps the contract."""
    return _item(person, dumps(_value(person, seq, rng)), INTERACTION)


def poison(kind: str, person: int, limit_bytes: int, rng: random.Random) -> Item:
    """A record that belongs in quarantine. `limit_bytes` is the largest that is processed."""
    value, event, extra = _value(person, 0, rng), INTERACTION, [(MARK, kind.encode())]
    data = dumps(value)
    match kind:
        case "bad_json":
            data = data[: len(data) // 2]
        case "unknown_type":
            event = "ai.veilstream.unheard.v9"
        case "wrong_schema":
            data = dumps({**value, "messages": "none"})
        case "oversized":
            text = {"type": "text", "content": "late parcel " * (limit_bytes // 10)}
            data = dumps({**value, "messages": [{"role": "user", "parts": [text]}]})
        case "unknown_tenant":
            data = dumps({**value, "privacy": {"tenant": "nobody-here", "subject": f"person-{person}"}})
        case "bad_header":
            extra.append(("ce_note", b"\xff\xfe"))
    return _item(person, data, event, extra)


def _value(person: int, seq: int, rng: random.Random) -> dict[str, object]:
    def text() -> dict[str, str]:
        return {"type": "text", "content": " ".join(rng.choices(_WORDS, k=rng.randint(6, 30)))}

    return {
        "conversation": f"talk-{person}",
        "messages": [{"role": "user", "parts": [text()]}, {"role": "assistant", "parts": [text()]}],
        "attributes": {"person": person, "seq": seq},
        "privacy": {"tenant": TENANT, "subject": f"person-{person}", "purpose": "support"},
    }


def _item(person: int, data: bytes, event: str, extra: list[tuple[str, bytes]] | None = None) -> Item:
    headers = Attributes(type=event, source="veilstream/chaos").to_headers() + (extra or [])
    return Item(routing_key(None, TENANT, "subject", f"person-{person}"), data, headers)
