"""What a caller hands over becomes a record of the contract: pure, nothing is sent here."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from veilstream.errors import RecordInvalid, RecordTooLarge
from veilstream.events import codec
from veilstream.events.adapters import ADAPTERS
from veilstream.events.cloudevents import Attributes, Headers, now
from veilstream.events.types import BATCH, INTERACTION
from veilstream.events.units import one_unit, unit_of
from veilstream.keys import routing_key

__all__ = ["Record", "batch", "interaction", "record"]

_PRIVACY = ("subject", "purpose", "lawful_basis", "jurisdiction", "retention", "consent")


@dataclass(frozen=True, slots=True)
class Record:
    """A record that the contract and the limit allow, ready for the wire."""

    id: str
    ids: Sequence[str]  # of its interactions: the record's own, or of each item of a batch
    key: bytes
    value: bytes
    headers: Headers


def interaction(
    messages: Sequence[Mapping[str, Any]],
    *,
    tenant: str,
    conversation: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    **privacy: Any,
) -> dict[str, Any]:
    """A value of `ai.veilstream.interaction.v1`, not yet checked.

    `messages` are OpenTelemetry's (`role`, `parts`) or OpenAI's chat messages (`role`, `content`,
    `tool_calls`), also mixed. A conversation without an id gets a random one. `privacy` takes the other
    fields of the privacy block; those that are None are left out.
    """
    unknown = sorted(set(privacy) - set(_PRIVACY))
    if unknown:
        raise TypeError(f"no such field of the privacy block: {', '.join(unknown)}")
    value: dict[str, Any] = {
        "conversation": str(uuid.uuid4()) if conversation is None else conversation,
        "messages": [_message(message, position) for position, message in enumerate(messages)],
        "privacy": {"tenant": tenant, **{k: v for k, v in privacy.items() if v is not None}},
    }
    if attributes is not None:
        value["attributes"] = dict(attributes)
    return value


def record(
    value: Any, *, source: str, secret: str | None, limit_bytes: int, traceparent: str | None = None
) -> Record:
    """Check a contract value and encode it.

    `secret` keys the routing (see `keys.routing_key`). The size is what the processor counts: key, value and
    headers.

    Raises:
        RecordInvalid: it breaks the contract: the path and the kind, never the content.
        RecordTooLarge: over `limit_bytes`.
    """
    data = _encoded(value)
    unit = unit_of(codec.decode(INTERACTION, data))  # what is checked is what will be read
    attributes = Attributes(type=INTERACTION, source=source, traceparent=traceparent)
    return _record(attributes, data, unit, secret, limit_bytes)


def batch(
    values: Iterable[Any],
    *,
    source: str,
    secret: str | None,
    limit_bytes: int,
    traceparent: str | None = None,
    times: Sequence[str] | None = None,
) -> Record:
    """Check contract values of one unit and encode them as one record of `ai.veilstream.interactions.v1`.

    Each gets an id of its own; `times` (RFC 3339, one for each) says when it happened, now by default.

    Raises:
        RecordInvalid: an item breaks the contract, `mixed_units`, or none or too many; the path says which.
        RecordTooLarge: all together are over `limit_bytes`. Nothing is split: two records may be applied
            apart.
    """
    values = list(values)
    if times is not None and len(times) != len(values):
        raise TypeError(f"{len(times)} times for {len(values)} interactions")
    items = [
        {"id": str(uuid.uuid4()), "time": time, "interaction": value}
        for time, value in zip(times or [now()] * len(values), values, strict=True)
    ]
    if traceparent is not None:
        for item in items:
            item["traceparent"] = traceparent
    data = _encoded({"interactions": items})
    checked = codec.decode(BATCH, data)
    unit = one_unit(item["interaction"] for item in checked["interactions"])
    attributes = Attributes(type=BATCH, source=source, traceparent=traceparent)
    return _record(attributes, data, unit, secret, limit_bytes, [str(item["id"]) for item in items])


def _encoded(value: Any) -> bytes:
    try:
        return codec.dumps(value)
    except (orjson.JSONEncodeError, RecursionError):
        # Inside free-form properties: a set, a lone surrogate, a number over 64 bits.
        raise RecordInvalid("not_json", detail="a value that JSON cannot hold") from None


def _record(
    attributes: Attributes,
    data: bytes,
    unit: tuple[str, str, str],
    secret: str | None,
    limit_bytes: int,
    ids: Sequence[str] | None = None,
) -> Record:
    key, headers = routing_key(secret, *unit), attributes.to_headers()
    size = len(key) + len(data) + sum(len(n) + len(v) for n, v in headers)
    if size > limit_bytes:
        raise RecordTooLarge(size, limit_bytes, batch=attributes.type == BATCH)
    return Record(attributes.id, ids if ids is not None else (attributes.id,), key, data, headers)


def _message(message: Any, position: int) -> dict[str, Any]:
    if isinstance(message, Mapping) and "parts" in message:
        return dict(message)
    chat = dict(message) if isinstance(message, Mapping) else message
    try:
        (read,) = ADAPTERS["openai"].read({"id": "one", "messages": [chat]}, tenant="one", subject=None)
    except RecordInvalid as error:
        path = error.path.replace("$.messages[0]", f"$.messages[{position}]", 1)
        raise RecordInvalid(error.kind, path, detail=error.detail) from None
    converted: dict[str, Any] = read["messages"][0]
    return converted
