"""Reading a raw record: its attributes, its value, its tenant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from veilstream.contracts import KeyProvider
from veilstream.errors import KeyMissing, RecordInvalid, RecordTooLarge
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.types import INTERACTION

__all__ = ["Decoded", "RawRecord", "Refused", "as_headers", "decode", "tenant_of"]

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of `interactions.raw` as the broker gave it. `timestamp_ms` is Unix time."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    partition: int
    offset: int
    kept: bool = True  # False: opened from quarantine, which had no room for its content

    @property
    def size(self) -> int:
        """Bytes of key, value and headers: what the limit counts."""
        return (
            len(self.key or b"")
            + len(self.value or b"")
            + sum(len(name.encode()) + len(data or b"") for name, data in self.headers)
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record that keeps the contract."""

    record: RawRecord
    attributes: Attributes
    value: dict[str, Any]
    tenant: str
    unit: str  # "subject" or "conversation"
    name: str  # the subject, or the conversation's id

    @property
    def person(self) -> tuple[str, str, str]:
        return self.tenant, self.unit, self.name


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that goes to quarantine, and why. `tenant` is None where it is unknown or has no key."""

    record: RawRecord
    error: RecordInvalid
    tenant: str | None


def decode(record: RawRecord, provider: KeyProvider, limit_bytes: int) -> Decoded | Refused:
    """Check size, attributes, type, value and tenant, in this order.

    Raises nothing for what a record holds. An error of the provider other than `KeyMissing` is not the
    record's fault and gets out.
    """
    try:
        if record.size > limit_bytes:
            raise RecordTooLarge(record.size, limit_bytes)
        attributes = Attributes.from_headers(record.headers)
        if attributes.type != INTERACTION:
            raise RecordInvalid("unknown_type", "$headers.ce_type")
        value = codec.decode(INTERACTION, record.value)
        tenant = value["privacy"]["tenant"]
        if not _has_key(provider, tenant):
            raise RecordInvalid("unknown_tenant", "$.privacy.tenant")
        subject = value["privacy"].get("subject")
        unit, name = ("conversation", value["conversation"]) if subject is None else ("subject", subject)
        return Decoded(record, attributes, value, tenant, unit, name)
    except RecordInvalid as error:
        return Refused(record, error, tenant_of(record, provider))


def tenant_of(record: RawRecord, provider: KeyProvider) -> str | None:
    """The tenant that a record names, if it can be read and has a key: whose officer may see it."""
    try:
        value = codec.loads(record.value or b"")
    except RecordInvalid:
        return None
    privacy = value.get("privacy") if isinstance(value, dict) else None
    tenant = privacy.get("tenant") if isinstance(privacy, dict) else None
    return tenant if isinstance(tenant, str) and _has_key(provider, tenant) else None


def _has_key(provider: KeyProvider, tenant: str) -> bool:
    try:
        provider.tenant(tenant)
    except KeyMissing:
        return False
    return True


def as_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> Headers:
    """Headers as the broker's client gives them, made hashable."""
    return tuple((str(name), data) for name, data in headers or ())
