"""Tokens: what stands in place of a value where it must still join.

120 bits of HMAC-SHA256 as 24 characters of lower-case base32 (RFC 4648, a–z and 2–7, no padding).

| token | key | lives as long as | joins |
|---|---|---|---|
| `subject_token` | the person's random salt | the salt: dies with erasure | records of one person |
| `entity_token` | derived from the tenant's root | the tenant's key | an entity that no subject owns |
| `ledger_token` | derived from the ledger's root | the ledger's key | a person's spending; survives erasure |
| `routing_key` | the producers' secret, or a constant | the raw topic | a person's records, in a partition |

Guarantee: without the key, a token tells nothing of its value but whether two values are equal (HMAC is a
PRF). With the key, whoever can list candidate values can test them: the tokens are pseudonyms, not
anonymous. Collisions: for 10⁹ values of one kind the chance of any is below 10⁻¹⁸ (n²/2¹²¹).
The empty value is a value like any other.
"""

from __future__ import annotations

import base64

from veilstream.contracts import RootKey
from veilstream.keys.derive import derive, mac

__all__ = [
    "TOKEN_CHARACTERS",
    "entity_token",
    "ledger_token",
    "quarantine_key",
    "routing_key",
    "subject_token",
    "unit_index",
]

TOKEN_CHARACTERS = 24
_TOKEN_BYTES = 15
_INDEX_BYTES = 16

# Anyone may know it: it stands for "no secret was set", and makes a Kafka key that can be guessed.
_PUBLIC_ROUTING = b"veilstream public routing key v1"


def _display(digest: bytes) -> str:
    return base64.b32encode(digest[:_TOKEN_BYTES]).decode("ascii").lower()


def unit_index(root: RootKey, unit: str, value: str) -> bytes:
    """Where the store keeps a person's salt: 16 bytes under the tenant's key.

    Args:
        root: the tenant's root key.
        unit: `subject`, or `conversation` where the record has no subject.
        value: the subject, or the conversation id.
    """
    return mac(derive(root, "unit-index"), "unit-index", unit, value)[:_INDEX_BYTES]


def subject_token(salt: bytes, unit: str, value: str) -> str:
    """Token of a person under their own random salt (32 bytes); unlinkable once the salt is gone."""
    return _display(mac(salt, "subject-token", unit, value))


def entity_token(root: RootKey, kind: str, value: str) -> str:
    """Token of an entity under the tenant's key; `kind` keeps kinds apart (an account, a conversation)."""
    return _display(mac(derive(root, "entity-token"), "entity-token", kind, value))


def ledger_token(root: RootKey, tenant: str, unit: str, value: str) -> str:
    """A person in the ledger, under the ledger's own key: a stable tombstone, so nobody comes back with a
    fresh budget after erasure."""
    return _display(mac(derive(root, "ledger-token"), "ledger-token", tenant, unit, value))


def routing_key(secret: str | bytes | None, tenant: str, unit: str, value: str) -> bytes:
    """Kafka key of a raw record (24 ASCII bytes): all records of a person go to one partition.

    Without a secret the HMAC's key is a public constant: the key then only spreads records, and who sees it
    can test guesses of the subject. The raw topic holds the subject in the clear anyway and is read by
    processors only; the quarantine topic gets an HMAC of this key (`quarantine_key`).
    """
    given = _PUBLIC_ROUTING if secret is None else secret
    key = given.encode() if isinstance(given, str) else given
    return _display(mac(key, "routing-key", tenant, unit, value)).encode("ascii")


def quarantine_key(root: RootKey, raw_key: bytes | None) -> bytes:
    """Kafka key of a quarantined record (24 ASCII bytes): HMAC of the raw key under the operator's root.

    A raw key may be anything, since the record could not be read: a name, an address, nothing.
    """
    present = b"\x00" if raw_key is None else b"\x01"
    return _display(mac(derive(root, "quarantine-key"), "quarantine-key", present, raw_key or b"")).encode()
