"""The webhook's signature: a known answer, every mutant refused, replays refused, keys replaced in peace."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from alert_world import Receiver, alert
from veilstream.alerting.sinks.webhook import WebhookSink
from veilstream.client import verify_webhook
from veilstream.errors import SignatureInvalid
from veilstream.events.signatures import sign

SECRET = b"0123456789abcdef"
BODY = b'{"version":"4"}'
NOW = 1_800_000_000


def test_a_known_answer_made_by_hand() -> None:
    """As docs/sinks.md says, for who writes a receiver in another language."""
    fields = (b"veilstream/webhook/v1", b"1800000000", BODY)
    framed = b"".join(len(field).to_bytes(8, "big") + field for field in fields)
    expected = hmac.new(SECRET, framed, hashlib.sha256).hexdigest()
    assert sign(SECRET, BODY, timestamp=NOW) == f"t=1800000000,v1={expected}"


def test_what_was_signed_is_good_within_the_tolerance_and_no_longer() -> None:
    header = sign(SECRET, BODY, timestamp=NOW)
    for now in (NOW - 300, NOW, NOW + 300.0):
        assert verify_webhook(SECRET, BODY, header, now=now) == NOW
    for now in (NOW - 301, NOW + 300.5, float("nan"), float("inf")):
        with pytest.raises(SignatureInvalid, match="too long ago"):
            verify_webhook(SECRET, BODY, header, now=now)


def flip(header: str) -> str:
    return header[:-1] + ("0" if header[-1] != "0" else "1")


@pytest.mark.parametrize(
    "mutate",
    [
        flip,
        lambda header: header.replace(f"t={NOW}", f"t={NOW + 1}"),
        lambda header: header.replace(f"t={NOW}", f"t=0{NOW}"),
        lambda header: header.replace(f"t={NOW}", f"t=+{NOW}"),
        lambda header: header.replace(f"t={NOW}", f"t={NOW}.0"),
        lambda header: f"{header},t={NOW}",
        lambda header: header.split(",")[0],
        lambda header: header.split(",")[1],
        lambda header: header.replace("v1=", "v0="),
        lambda header: header.upper(),
        lambda header: header[:-2],
        lambda header: header + "00",
        lambda header: header.replace("v1=", "v1=é"),
        lambda header: ",".join([header, *["v1=" + "0" * 64] * 20]),
        lambda header: "",
        lambda header: "t=,v1=",
    ],
)
def test_every_mutant_of_the_header_is_refused(mutate: Callable[[str], str]) -> None:
    header = mutate(sign(SECRET, BODY, timestamp=NOW))
    with pytest.raises(SignatureInvalid) as caught:
        verify_webhook(SECRET, BODY, header, now=NOW)
    assert "v1=" not in str(caught.value)
    with pytest.raises(SignatureInvalid):
        verify_webhook(SECRET, BODY, None, now=NOW)


def test_every_mutant_of_the_body_and_the_secret_is_refused() -> None:
    header = sign(SECRET, BODY, timestamp=NOW)
    bodies = [BODY[:-1], BODY + b" ", b" " + BODY, b""]
    bodies += [BODY[:i] + bytes([BODY[i] ^ 1]) + BODY[i + 1 :] for i in range(len(BODY))]
    for body in bodies:
        with pytest.raises(SignatureInvalid):
            verify_webhook(SECRET, body, header, now=NOW)
    for secret in (SECRET[:-1], SECRET + b"0", b"x"):
        with pytest.raises(SignatureInvalid):
            verify_webhook(secret, BODY, header, now=NOW)


def test_time_and_body_do_not_run_into_each_other() -> None:
    """Without lengths, (t=180000000, body 0…) and (t=1800000000, body …) would be one message."""
    header = sign(SECRET, b"0" + BODY, timestamp=NOW // 10)
    moved = header.replace(f"t={NOW // 10}", f"t={NOW}")
    with pytest.raises(SignatureInvalid):
        verify_webhook(SECRET, BODY, moved, now=NOW)


def test_a_secret_is_replaced_without_a_gap() -> None:
    new = b"another-secret-0"
    header = sign(SECRET, BODY, timestamp=NOW)
    assert verify_webhook([new, SECRET], BODY, header, now=NOW) == NOW
    both = f"{sign(new, BODY, timestamp=NOW)},{header.split(',')[1]},v2=later"
    assert verify_webhook(SECRET.decode(), BODY, both, now=NOW) == NOW
    for nothing in (b"", "", [], [SECRET, b""]):
        with pytest.raises(ValueError, match="secret"):
            verify_webhook(nothing, BODY, header, now=NOW)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret is compared with every signature by `compare_digest`, also after one was found."""
    seen: list[tuple[bytes, bytes]] = []
    genuine = hmac.compare_digest  # a module is one object: patched here, it is patched there

    def counting(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return genuine(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    header = sign(SECRET, BODY, timestamp=NOW) + ",v1=" + "0" * 64
    verify_webhook([SECRET, b"other"], BODY, header, now=NOW)
    assert len(seen) == 4


async def test_what_the_sink_sends_is_what_the_helper_takes_at_each_attempt_anew() -> None:
    receiver = Receiver()
    try:
        times = iter([NOW, NOW + 400])
        sink = WebhookSink(receiver.url, secret=SecretStr(SECRET.decode()), clock=lambda: float(next(times)))
        await sink.deliver(alert())
        await sink.deliver(alert())
    finally:
        receiver.close()
    (first, body), (second, again) = receiver.got
    assert json.loads(body) == json.loads(again)
    assert first["x-veilstream-delivery"] == second["x-veilstream-delivery"]
    verify_webhook(SECRET, body, first["x-veilstream-signature"], now=NOW)
    with pytest.raises(SignatureInvalid):
        verify_webhook(SECRET, again, first["x-veilstream-signature"], now=NOW + 400)
    verify_webhook(SECRET, again, second["x-veilstream-signature"], now=NOW + 400)
