"""The envelope's layout, byte by byte, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import pytest

from veilstream.contracts import RootKey
from veilstream.errors import EnvelopeInvalid, KeyMissing
from veilstream.keys import open_envelope, seal

ROOT = RootKey("tenant/acme", 1, bytes(range(32)))


class Place(TypedDict):
    tenant: str
    topic: str
    path: str


PLACE: Place = {"tenant": "acme", "topic": "interactions.quarantine", "path": "record"}
VECTOR = bytes.fromhex(
    "564501010b74656e616e742f61636d6500000001000102030405060708090a0b0c0d0e0f101112131415161718191a1b"
    "1c1d1e1f000102030405060708090a0ba028f2a4785cdba4cfe472d9d5e0d9e38e230ae5b6c1d642e9f3"
)  # of ROOT, b"plain text", PLACE, and 0, 1, 2 … for random bytes


class OneKey:
    """A provider of ROOT alone."""

    def tenant(self, tenant: str) -> RootKey:
        raise KeyMissing("not asked for")

    def operator(self) -> RootKey:
        raise KeyMissing("not asked for")

    def ledger(self) -> RootKey:
        raise KeyMissing("not asked for")

    def by_id(self, key_id: str, version: int) -> RootKey:
        if (key_id, version) == (ROOT.id, ROOT.version):
            return ROOT
        raise KeyMissing("no such key")


def test_the_format_is_final() -> None:
    sealed = seal(ROOT, b"plain text", random=lambda n: bytes(range(n)), **PLACE)
    assert sealed == VECTOR
    assert open_envelope(OneKey(), VECTOR, **PLACE) == b"plain text"
    assert sealed[:5] == b"VE\x01\x01\x0b"
    assert sealed[5:16] == b"tenant/acme"
    assert sealed[16:20] == b"\x00\x00\x00\x01"
    assert sealed[20:52] == bytes(range(32))
    assert sealed[52:64] == bytes(range(12))
    assert len(sealed) == 64 + len(b"plain text") + 16


def test_two_envelopes_of_one_text_differ() -> None:
    assert seal(ROOT, b"x", **PLACE) != seal(ROOT, b"x", **PLACE)


def test_without_a_tenant_is_the_empty_tenant() -> None:
    sealed = seal(ROOT, b"x", tenant=None, topic="t", path="p")
    assert open_envelope(OneKey(), sealed, tenant="", topic="t", path="p") == b"x"


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"", "not an envelope"),
        (b"VE", "not an envelope"),
        (b"XX" + VECTOR[2:], "not an envelope"),
        (b"VE\x02" + VECTOR[3:], "format 2 is unknown"),
        (b"VE\x01\x02" + VECTOR[4:], "suite 2 is unknown"),
        (VECTOR[:70], "cut short"),
        (VECTOR[:5] + b"tenant/../x" + VECTOR[16:], "key id"),
        (VECTOR[:5] + b"\xff" * 11 + VECTOR[16:], "key id"),
        (VECTOR[:-1], "does not open"),
        (VECTOR + b"\x00", "does not open"),
    ],
)
def test_refuses(blob: bytes, words: str) -> None:
    with pytest.raises(EnvelopeInvalid, match=words):
        open_envelope(OneKey(), blob, **PLACE)


def test_a_key_that_is_gone_is_told_apart() -> None:
    other = RootKey("tenant/gone", 1, b"g" * 32)
    with pytest.raises(KeyMissing):
        open_envelope(OneKey(), seal(other, b"x", **PLACE), **PLACE)


def test_a_file_provider_opens_it(tmp_path: Path) -> None:
    from veilstream.keys import FileKeyProvider

    provider = FileKeyProvider(tmp_path)
    provider.ensure("acme")
    sealed = seal(provider.tenant("acme"), b"x", **PLACE)
    assert open_envelope(FileKeyProvider(tmp_path), sealed, **PLACE) == b"x"
