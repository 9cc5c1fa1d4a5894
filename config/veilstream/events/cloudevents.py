"""CloudEvents 1.0 in Kafka's binary mode: attributes as headers, the data as the record's value.

Ours beside the standard ones (extension attributes, lower case as the specification asks):
`ce_policyversion`, and `ce_sourceincarnation`, `ce_sourcepartition`, `ce_sourceoffset`, the place in the
source topic that a derived record was made from. A consumer with effects of its own drops what is not above
the last applied offset of its incarnation and source partition.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from veilstream.errors import RecordInvalid

__all__ = ["Attributes", "Origin", "now", "trace_context"]

Headers = list[tuple[str, bytes]]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST = 1024


def now() -> str:
    """RFC 3339 time, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def trace_context(text: str | None) -> str | None:
    """A `traceparent`, or None where it is malformed: W3C has it ignored."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in the source topic a derived record comes from."""

    incarnation: str  # of the topic: Kafka's topic id, so that a recreated topic is another one
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Attributes:
    """The context of an event."""

    type: str
    source: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: str = field(default_factory=now)
    traceparent: str | None = None
    policy_version: str | None = None
    origin: Origin | None = None

    def to_headers(self) -> Headers:
        pairs: list[tuple[str, str]] = [
            ("ce_specversion", "1.0"),
            ("ce_id", self.id),
            ("ce_type", self.type),
            ("ce_source", self.source),
            ("ce_time", self.time),
            ("content-type", "application/json"),
        ]
        if self.traceparent is not None:
            pairs.append(("traceparent", self.traceparent))
        if self.policy_version is not None:
            pairs.append(("ce_policyversion", self.policy_version))
        if self.origin is not None:
            pairs += [
                ("ce_sourceincarnation", self.origin.incarnation),
                ("ce_sourcepartition", str(self.origin.partition)),
                ("ce_sourceoffset", str(self.origin.offset)),
            ]
        return [(name, value.encode()) for name, value in pairs]

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes | None]]) -> Attributes:
        """Read the attributes.

        Raises:
            RecordInvalid: an attribute is missing or malformed; the value is not in the error.
        """
        found: dict[str, str] = {}
        for name, value in headers:
            if not (name.startswith("ce_") or name == "traceparent"):
                continue
            try:
                found[name] = (value or b"").decode()
            except UnicodeDecodeError:
                raise RecordInvalid("bad_attribute", "$headers", detail="not UTF-8") from None
        for name in ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time"):
            text = found.get(name)
            if not text:
                raise RecordInvalid("missing_attribute", f"$headers.{name}")
            if len(text) > _LONGEST:
                raise RecordInvalid("bad_attribute", f"$headers.{name}", detail=f"{len(text)} characters")
        if found["ce_specversion"] != "1.0":
            raise RecordInvalid("bad_attribute", "$headers.ce_specversion")
        if not _TIME.fullmatch(found["ce_time"]):
            raise RecordInvalid("bad_attribute", "$headers.ce_time", detail="not RFC 3339")
        origin = None
        if "ce_sourceoffset" in found:
            try:
                origin = Origin(
                    found["ce_sourceincarnation"],
                    int(found["ce_sourcepartition"]),
                    int(found["ce_sourceoffset"]),
                )
            except (KeyError, ValueError):
                raise RecordInvalid("bad_attribute", "$headers.ce_source*") from None
        return cls(
            type=found["ce_type"],
            source=found["ce_source"],
            id=found["ce_id"],
            time=found["ce_time"],
            traceparent=trace_context(found.get("traceparent")),
            policy_version=found.get("ce_policyversion"),
            origin=origin,
        )
