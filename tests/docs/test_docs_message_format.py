"""docs/message-format.md says what the code does: examples, headers, tokens, envelope, hashes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from veilstream.contracts import RootKey
from veilstream.events import types
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.codec import check
from veilstream.keys import entity_token, ledger_token, quarantine_key, routing_key, seal, subject_token

TEXT = (Path(__file__).parents[2] / "docs" / "message-format.md").read_text()
EXAMPLES: dict[str, dict[str, Any]] = {
    name: json.loads(body)
    for name, body in re.findall(r"<!-- example: (\S+) -->\n```json\n(.*?)```", TEXT, flags=re.DOTALL)
}
ROOT = RootKey("tenant/acme", 7, bytes(range(32)))


def test_every_type_is_listed_and_all_but_signals_have_an_example() -> None:
    listed = re.findall(r"^\| `(ai\.veilstream\.[a-z.0-9]+)` \|", TEXT, flags=re.MULTILINE)
    assert sorted(listed) == sorted(types.TYPES)
    assert set(EXAMPLES) == set(types.TYPES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_keep_the_contract(name: str) -> None:
    check(name, EXAMPLES[name])


def test_the_protected_example_holds_nothing_of_the_person() -> None:
    protected = json.dumps(EXAMPLES[types.PROTECTED])
    for planted in ("Ann", "Lee", "ann@example.com", "user-17", "c-2041"):
        assert planted in json.dumps(EXAMPLES[types.INTERACTION])
        assert planted not in protected


def test_the_protected_batch_is_what_protection_makes_of_the_batch() -> None:
    """The tokens of the example are made up; all else is as the policy `strict` leaves it."""
    from veilstream.detection import PatternEngine
    from veilstream.protection import Protector, Tokens, load_policy

    raw, shown = EXAMPLES[types.BATCH]["interactions"], EXAMPLES[types.PROTECTED_BATCH]["interactions"]
    protector = Protector(PatternEngine(), load_policy("strict"))
    for before, after in zip(raw, shown, strict=True):
        privacy = after["interaction"]["privacy"]
        made = protector.interaction(
            before["interaction"],
            tokens=Tokens(ROOT),
            subject_token=privacy["subject_token"],
            ledger_token=privacy["ledger_token"],
        )
        assert {**made, "conversation": after["interaction"]["conversation"]} == after["interaction"]
        assert {k: v for k, v in before.items() if k not in ("id", "interaction")} == {
            k: v for k, v in after.items() if k not in ("id", "interaction")
        }


def test_headers_are_those_that_are_written() -> None:
    section = TEXT.split("## Headers")[1].split("## ")[0]
    documented = re.findall(r"^\| `([a-z_-]+)` \|", section, flags=re.MULTILINE)
    origin = Origin("6f1e", 3, 41207)
    attributes = Attributes(
        "ai.veilstream.interaction.v1", "s", traceparent="t", policy_version="p", origin=origin
    )
    assert documented == [name for name, _ in attributes.to_headers()]


def _mac(key: bytes, *fields: str | bytes) -> bytes:
    """As the document says: a label and fields, each preceded by its length in four bytes."""
    raw = [field.encode() if isinstance(field, str) else field for field in fields]
    return hmac.digest(key, b"".join(len(f).to_bytes(4, "big") + f for f in raw), "sha256")


def _purpose(material: bytes, purpose: str, salt: bytes | None = None) -> bytes:
    return HKDF(SHA256(), 32, salt, b"veilstream/1/" + purpose.encode()).derive(material)


def _token(digest: bytes) -> str:
    return base64.b32encode(digest[:15]).decode().lower()


def test_tokens_are_made_as_the_table_says() -> None:
    section = TEXT.split("## Tokens")[1].split("## ")[0]
    labels = re.findall(r"^\| [a-z ]+ \| [^|]+ \| `([a-z-]+)` \|", section, flags=re.MULTILINE)
    assert labels == ["subject-token", "entity-token", "ledger-token", "routing-key", "quarantine-key"]
    salt = bytes(32)
    unit = ("subject", "user-17")
    assert subject_token(salt, *unit) == _token(_mac(salt, "subject-token", *unit))
    assert entity_token(ROOT, "account", "x") == _token(
        _mac(_purpose(ROOT.material, "entity-token"), "entity-token", "account", "x")
    )
    assert ledger_token(ROOT, "acme", *unit) == _token(
        _mac(_purpose(ROOT.material, "ledger-token"), "ledger-token", "acme", *unit)
    )
    assert routing_key("secret", "acme", *unit).decode() == _token(
        _mac(b"secret", "routing-key", "acme", *unit)
    )
    assert quarantine_key(ROOT, b"raw").decode() == _token(
        _mac(_purpose(ROOT.material, "quarantine-key"), "quarantine-key", b"\x01", b"raw")
    )


def test_the_envelope_is_laid_out_as_the_table_says() -> None:
    section = TEXT.split("## The envelope")[1].split("## ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| (\d+|as many|the rest) \|", section, flags=re.MULTILINE)
    blob = seal(ROOT, b"plaintext", tenant="acme", topic="interactions.quarantine", path="record")
    fields: dict[str, bytes] = {}
    at = 0
    for name, size in rows:
        length = {"as many": fields.get("key id length", b"\0")[0], "the rest": len(blob) - at}
        end = at + (length[size] if size in length else int(size))
        fields[name] = blob[at:end]
        at = end
    assert at == len(blob)
    assert (fields["mark"], fields["format"], fields["suite"]) == (b"VE", b"\x01", b"\x01")
    assert fields["key id"] == b"tenant/acme"
    assert int.from_bytes(fields["key version"], "big") == 7
    body = fields["ciphertext and tag"]
    place = b"".join(len(f).to_bytes(4, "big") + f for f in (b"acme", b"interactions.quarantine", b"record"))
    key = _purpose(ROOT.material, "envelope/1", fields["salt"])
    assert AESGCM(key).decrypt(fields["nonce"], body, blob[: -len(body)] + place) == b"plaintext"


@pytest.mark.parametrize("name", [types.BUDGET_EVENT, types.JOURNAL_ENTRY])
def test_hashes_of_the_examples_are_made_as_the_document_says(name: str) -> None:
    value = EXAMPLES[name]
    bare = {key: item for key, item in value.items() if key not in ("prev_hash", "hash")}
    from veilstream.ledger.chain import canonical

    assert value["hash"] == hashlib.sha256(value["prev_hash"].encode() + canonical(bare)).hexdigest()


def test_the_alert_example_is_one_that_the_rules_would_write() -> None:
    from veilstream.alerting.rules import fingerprint, severity

    alert = EXAMPLES[types.ALERT]
    assert alert["fingerprint"] == fingerprint(alert["budget"], alert["rule"], alert["threshold"], 1)
    assert alert["severity"] == severity((alert["rule"], alert["threshold"]))
