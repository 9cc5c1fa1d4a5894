"""Writing a quarantined record, and opening it again: nothing of the original is lost, nothing of it shows.

The plaintext is the JSON object `{"key", "headers", "value", "timestamp_ms"}`: binary fields in base64 or
null, `headers` a list of `[name, base64 or null]` in their order. `"omitted": true` stands beside them where
the record was too large to keep. It is sealed for the tenant, the topic `interactions.quarantine` and the
path `record`.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from veilstream.contracts import KeyProvider
from veilstream.errors import EnvelopeInvalid
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.cloudevents import Headers as WireHeaders
from veilstream.events.types import QUARANTINE
from veilstream.keys import open_envelope, quarantine_key, seal
from veilstream.processors.decoding import RawRecord, Refused

__all__ = ["SOURCE", "open_quarantined", "quarantined"]

SOURCE = "veilstream/processor"
TOPIC = "interactions.quarantine"
PATH = "record"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


def quarantined(
    refused: Refused,
    *,
    provider: KeyProvider,
    topic: str,
    incarnation: str,
    policy_version: str,
    limit_bytes: int,
) -> tuple[bytes, bytes, WireHeaders]:
    """Key, value and headers of the quarantine record.

    A record so large that its sealed form would pass `limit_bytes` (a compressed batch can hold one that the
    topic's own limit would refuse) is sealed without its value: the error's detail says so, and the origin
    says where it lies until the raw topic's retention ends.

    Raises:
        KeyMissing: there is no operator's key, or the tenant's went away.
    """
    record, error = refused.record, refused.error
    root = provider.operator() if refused.tenant is None else provider.tenant(refused.tenant)
    value: dict[str, Any] = {
        "error": {"code": error.code, "kind": error.kind, "path": error.path},
        "tenant": refused.tenant,
        "origin": {
            "topic": topic,
            "incarnation": incarnation,
            "partition": record.partition,
            "offset": record.offset,
        },
    }
    if error.detail:
        value["error"]["detail"] = error.detail
    # base64 twice: 16/9 of the record; the rest is names, numbers and the envelope's header
    if record.size * 16 // 9 + 4096 + 64 * len(record.headers) > limit_bytes:
        record = RawRecord(None, None, (), record.timestamp_ms, record.partition, record.offset, kept=False)
        value["error"]["detail"] = f"{refused.record.size} bytes, too large to keep: read it at its origin"
    sealed = seal(root, _plaintext(record), tenant=refused.tenant, topic=TOPIC, path=PATH)
    value["sealed"] = base64.b64encode(sealed).decode("ascii")
    origin = Origin(incarnation, record.partition, record.offset)
    attributes = Attributes(
        type=QUARANTINE,
        source=SOURCE,
        id=f"{incarnation}/{record.partition}/{record.offset}",
        time=_rfc3339(record.timestamp_ms),
        policy_version=policy_version,
        origin=origin,
    )
    # The key is the raw key's, also where the record itself is not kept.
    return (
        quarantine_key(provider.operator(), refused.record.key),
        codec.dumps(value),
        attributes.to_headers(),
    )


def open_quarantined(value: dict[str, Any], provider: KeyProvider) -> RawRecord:
    """The original of a quarantine record.

    Raises:
        EnvelopeInvalid, KeyMissing: it cannot be opened with these keys.
    """
    try:
        sealed = base64.b64decode(value["sealed"], validate=True)
    except binascii.Error:
        raise EnvelopeInvalid("the sealed field is not base64") from None
    fields = orjson.loads(open_envelope(provider, sealed, tenant=value["tenant"], topic=TOPIC, path=PATH))
    return RawRecord(
        key=_bytes(fields["key"]),
        value=_bytes(fields["value"]),
        headers=tuple((name, _bytes(data)) for name, data in fields["headers"]),
        timestamp_ms=fields["timestamp_ms"],
        partition=value["origin"]["partition"],
        offset=value["origin"]["offset"],
        kept=not fields.get("omitted", False),
    )


def _plaintext(record: RawRecord) -> bytes:
    fields: dict[str, Any] = {
        "key": _text(record.key),
        "headers": [[name, _text(data)] for name, data in record.headers],
        "value": _text(record.value),
        "timestamp_ms": record.timestamp_ms,
    }
    if not record.kept:
        fields["omitted"] = True
    return orjson.dumps(fields)


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _rfc3339(timestamp_ms: int) -> str:
    """A broker's timestamp; a producer may have written any 64 bits there, so it is kept within RFC 3339."""
    try:
        time = min(max(_EPOCH + timedelta(milliseconds=timestamp_ms), _EPOCH), _LAST)
    except OverflowError:
        time = _LAST if timestamp_ms > 0 else _EPOCH
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
