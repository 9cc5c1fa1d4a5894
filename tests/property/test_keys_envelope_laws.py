"""Laws of the envelope: what was sealed opens; with any bit changed, cut short, or elsewhere, it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilstream.contracts import RootKey
from veilstream.errors import EnvelopeInvalid, KeyMissing
from veilstream.keys import open_envelope, seal

ROOTS = {
    (id, version): RootKey(id, version, bytes([n]) * 32)
    for n, (id, version) in enumerate([("tenant/a", 1), ("tenant/a", 2), ("operator", 1), ("ledger", 7)])
}


class Keys:
    def tenant(self, tenant: str) -> RootKey:
        return ROOTS[f"tenant/{tenant}", 1]

    def operator(self) -> RootKey:
        return ROOTS["operator", 1]

    def ledger(self) -> RootKey:
        return ROOTS["ledger", 7]

    def by_id(self, key_id: str, version: int) -> RootKey:
        if (key_id, version) not in ROOTS:
            raise KeyMissing("no such key")
        return ROOTS[key_id, version]


roots = st.sampled_from(sorted(ROOTS)).map(ROOTS.__getitem__)
places = st.tuples(st.none() | st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))


def opened(blob: bytes, place: tuple[str | None, str, str]) -> bytes:
    tenant, topic, path = place
    return open_envelope(Keys(), blob, tenant=tenant, topic=topic, path=path)


def sealed(root: RootKey, plain: bytes, place: tuple[str | None, str, str]) -> bytes:
    tenant, topic, path = place
    return seal(root, plain, tenant=tenant, topic=topic, path=path)


@given(roots, st.binary(max_size=300), places)
def test_round_trip(root: RootKey, plain: bytes, place: tuple[str | None, str, str]) -> None:
    assert opened(sealed(root, plain, place), place) == plain


@given(roots, st.binary(max_size=60), places, st.data())
def test_any_flipped_bit_fails(
    root: RootKey, plain: bytes, place: tuple[str | None, str, str], data: st.DataObject
) -> None:
    blob = bytearray(sealed(root, plain, place))
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises((EnvelopeInvalid, KeyMissing)):  # a changed key id may name a key that is not there
        opened(bytes(blob), place)


@given(roots, st.binary(max_size=60), places, st.data())
def test_cut_short_fails(
    root: RootKey, plain: bytes, place: tuple[str | None, str, str], data: st.DataObject
) -> None:
    blob = sealed(root, plain, place)
    with pytest.raises(EnvelopeInvalid):
        opened(blob[: data.draw(st.integers(0, len(blob) - 1))], place)


@given(roots, st.binary(max_size=60), places, places)
def test_elsewhere_fails(
    root: RootKey, plain: bytes, place: tuple[str | None, str, str], other: tuple[str | None, str, str]
) -> None:
    blob = sealed(root, plain, place)
    if (place[0] or "", *place[1:]) == (other[0] or "", *other[1:]):
        assert opened(blob, other) == plain
    else:
        with pytest.raises(EnvelopeInvalid):
            opened(blob, other)


@given(st.binary(max_size=200), places)
def test_any_bytes_are_refused_by_our_own_errors(blob: bytes, place: tuple[str | None, str, str]) -> None:
    for mark in (b"", b"VE\x01\x01"):
        with pytest.raises((EnvelopeInvalid, KeyMissing)):
            opened(mark + blob, place)
