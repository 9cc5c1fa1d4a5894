"""One key for each purpose: HKDF-SHA256 (RFC 5869) from a root key, and unambiguous HMAC inputs.

Two purposes never share a key, since the purpose is HKDF's `info`. Two different lists of fields never give
the same HMAC input, since each field is preceded by its length: ("ab", "c") and ("a", "bc") differ.
"""

from __future__ import annotations

import hmac
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from veilstream.contracts import RootKey

__all__ = ["KEY_BYTES", "derive", "expand", "fields", "mac"]

KEY_BYTES = 32

_CONTEXT = b"veilstream/1/"


def expand(material: bytes, *, salt: bytes | None, purpose: str) -> bytes:
    """HKDF-SHA256: 32 bytes from `material` for one purpose."""
    return HKDF(SHA256(), KEY_BYTES, salt, _CONTEXT + purpose.encode()).derive(material)


@lru_cache(maxsize=4096)
def derive(root: RootKey, purpose: str) -> bytes:
    """The key of `root` for `purpose`; remembered, since it never changes."""
    return expand(root.material, salt=None, purpose=purpose)


def fields(*values: str | bytes) -> bytes:
    """Fields, each preceded by its length in bytes (u32, big endian).

    A lone surrogate, which JSON cannot carry, is encoded as it is, so that the function is total.
    """
    parts: list[bytes] = []
    for value in values:
        raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        parts += (len(raw).to_bytes(4, "big"), raw)
    return b"".join(parts)


def mac(key: bytes, label: str, *values: str | bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104) over a domain label and the fields; 32 bytes."""
    return hmac.digest(key, fields(label, *values), "sha256")
