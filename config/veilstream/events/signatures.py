"""The signature of a webhook delivery: one place for who signs and who checks.

The header is `t=<Unix seconds>,v1=<hex>`. The hex is HMAC-SHA256 (RFC 2104) under the shared secret over
three fields: the label `veilstream/webhook/v1`, the decimal timestamp, the body's bytes as sent. Before each
field stands its length as 8 bytes, big endian, so that no field can run into the next.

It guarantees: whoever has no secret can neither change a body or its time nor make up a delivery; a delivery
that was recorded is refused once it is older than the tolerance. Within the tolerance a recorded delivery is
still good: drop repetitions by `X-Veilstream-Delivery`. It hides nothing: use https.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Sequence

from veilstream.errors import SignatureInvalid

__all__ = ["SIGNATURE_HEADER", "TOLERANCE_SECONDS", "sign", "verify_webhook"]

SIGNATURE_HEADER = "X-Veilstream-Signature"
TOLERANCE_SECONDS = 300.0

_LABEL = b"veilstream/webhook/v1"
_TIME = re.compile(r"0|[1-9][0-9]{0,11}")
_HEX = re.compile(r"[0-9a-f]{64}")
_MOST_PARTS = 16


def sign(secret: bytes, body: bytes, *, timestamp: int) -> str:
    """The header's value for a body that is sent at `timestamp`, Unix seconds."""
    return f"t={timestamp},v1={_mac(secret, str(timestamp), body)}"


def verify_webhook(
    secret: str | bytes | Sequence[str | bytes],
    body: bytes,
    header: str | None,
    *,
    now: float | None = None,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> int:
    """Check a delivery before its body is parsed; returns when it was signed, Unix seconds.

    Args:
        secret: the shared secret, or several while one is replaced by the next.
        body: the bytes as they came; JSON that was parsed and written again is another body.
        header: the value of `X-Veilstream-Signature`; None where there was none.
        now: Unix seconds; the clock by default.
        tolerance_seconds: how old, or how far ahead of this clock, it may be.

    The comparison takes the same time wherever two signatures differ.

    Raises:
        SignatureInvalid: no such header, malformed, made with another secret, for another body or time, or
            too old. Neither the header nor the body is in the error.
        ValueError: no secret, or an empty one: nothing would be checked.
    """
    secrets = [secret] if isinstance(secret, (str, bytes)) else list(secret)
    keys = [one.encode() if isinstance(one, str) else one for one in secrets]
    if not keys or not all(keys):
        raise ValueError("a secret is needed")
    stamp, given = _parse(header)
    good = False
    for key in keys:
        expected = _mac(key, stamp, body).encode()
        for one in given:
            good |= hmac.compare_digest(expected, one.encode())
    if not good:
        raise SignatureInvalid("the webhook's signature is not that of this body under this secret")
    age = (time.time() if now is None else now) - int(stamp)
    if not abs(age) <= tolerance_seconds:  # also where `now` is not a number
        raise SignatureInvalid(
            "the webhook was signed too long ago, or ahead of this clock",
            hint="see that both clocks are right; what is older than the tolerance may be a replay",
        )
    return int(stamp)


def _parse(header: str | None) -> tuple[str, list[str]]:
    """The timestamp and the v1 signatures; parts of other names are passed over, for a scheme to come."""
    parts = (header or "").split(",")
    if len(parts) > _MOST_PARTS:
        raise SignatureInvalid("the webhook's signature header is malformed")
    pairs = [part.strip().partition("=") for part in parts]
    stamps = [value for name, _, value in pairs if name == "t"]
    given = [value for name, _, value in pairs if name == "v1"]
    if len(stamps) != 1 or not _TIME.fullmatch(stamps[0]) or not given:
        raise SignatureInvalid("the webhook has no signature that can be read")
    if not all(_HEX.fullmatch(one) for one in given):
        raise SignatureInvalid("the webhook's signature header is malformed")
    return stamps[0], given


def _mac(secret: bytes, stamp: str, body: bytes) -> str:
    mac = hmac.new(secret, digestmod=hashlib.sha256)
    for field in (_LABEL, stamp.encode(), body):
        mac.update(len(field).to_bytes(8, "big"))
        mac.update(field)
    return mac.hexdigest()
