"""The envelope: how a ciphertext is written, here and for as long as ciphertexts live.

    "VE" | format u8 = 1 | suite u8 | key id length u8 | key id UTF-8 | key version u32 BE
         | salt 32 | nonce 12 | ciphertext and tag

Suite 1: AES-256-GCM (NIST SP 800-38D) with a key for this message alone, HKDF-SHA256(root, salt). The
associated data is everything before the ciphertext, then tenant, topic and path, each preceded by its length:
an envelope that is moved to another tenant, topic or path does not open, nor one with any changed bit.

Guarantee: confidentiality and integrity against who has no root key. The salt makes the message key fresh, so
the limit of 2³² messages under one GCM key does not bind. Length is not hidden. It does not prevent an old
envelope from being put back in its own place (replay); the place's owner keeps versions for that.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from veilstream.contracts import KeyProvider, RootKey
from veilstream.errors import EnvelopeInvalid
from veilstream.keys.derive import expand, fields
from veilstream.keys.provider import KEY_ID

__all__ = ["FORMAT", "MAGIC", "SUITE_AES_256_GCM", "open_envelope", "seal"]

MAGIC = b"VE"
FORMAT = 1
SUITE_AES_256_GCM = 1

_SALT_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_PURPOSE = f"envelope/{SUITE_AES_256_GCM}"


def seal(
    root: RootKey,
    plaintext: bytes,
    *,
    tenant: str | None,
    topic: str,
    path: str,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> bytes:
    """Encrypt for one place.

    Args:
        root: the key; its id and version go into the header.
        plaintext: may be empty.
        tenant: whose it is; None for the operator's, which is the empty name.
        topic: catalogue name without prefix (`interactions.quarantine`), or another fixed word.
        path: what it is within the topic's record (`record`).
        random: gives n random bytes; the operating system's by default.
    """
    key_id = root.id.encode()
    salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
    header = (
        MAGIC
        + bytes((FORMAT, SUITE_AES_256_GCM, len(key_id)))
        + key_id
        + root.version.to_bytes(4, "big")
        + salt
        + nonce
    )
    key = expand(root.material, salt=salt, purpose=_PURPOSE)
    return header + AESGCM(key).encrypt(nonce, plaintext, header + fields(tenant or "", topic, path))


def open_envelope(provider: KeyProvider, blob: bytes, *, tenant: str | None, topic: str, path: str) -> bytes:
    """Decrypt, or refuse.

    Raises:
        EnvelopeInvalid: not an envelope, an unknown format or suite, a changed bit, or another place than it
            was sealed for. Which of the last two cannot be told.
        KeyMissing: the key that the header names is not in the provider.
    """
    if len(blob) < 5 or blob[:2] != MAGIC:
        raise EnvelopeInvalid(f"not an envelope: {len(blob)} bytes without its mark")
    if blob[2] != FORMAT:
        raise EnvelopeInvalid(f"envelope format {blob[2]} is unknown", hint="a newer veilstream wrote it")
    if blob[3] != SUITE_AES_256_GCM:
        raise EnvelopeInvalid(f"envelope suite {blob[3]} is unknown", hint="a newer veilstream wrote it")
    id_end = 5 + blob[4]
    salt_at = id_end + 4
    nonce_at = salt_at + _SALT_BYTES
    body_at = nonce_at + _NONCE_BYTES
    if len(blob) < body_at + _TAG_BYTES:
        raise EnvelopeInvalid(f"envelope cut short: {len(blob)} bytes")
    try:
        key_id = blob[5:id_end].decode("ascii")
    except UnicodeDecodeError:
        key_id = ""
    if not KEY_ID.fullmatch(key_id):
        raise EnvelopeInvalid("envelope with a key id that no key can have")
    root = provider.by_id(key_id, int.from_bytes(blob[id_end:salt_at], "big"))
    header = blob[:body_at]
    key = expand(root.material, salt=blob[salt_at:nonce_at], purpose=_PURPOSE)
    try:
        return AESGCM(key).decrypt(
            blob[nonce_at:body_at], blob[body_at:], header + fields(tenant or "", topic, path)
        )
    except InvalidTag:
        raise EnvelopeInvalid("envelope does not open: changed, or sealed for another place") from None
