"""What may be charged, and that an id stands for exactly one manifest."""

import base64
import math
from dataclasses import replace
from typing import Any

import pytest

from veilstream.accounting import INFINITE
from veilstream.contracts import RootKey
from veilstream.errors import ChargeInvalid
from veilstream.ledger.budget import define
from veilstream.ledger.manifest import TOKEN_BYTES, Charge, Manifest, people, reservation_id, unpack, validate

BUDGET = define("b", "acme", 3.0, 1e-6, (7, 12), "odometer")
ROOT = RootKey("ledger", 1, bytes(32))
PEOPLE = tuple(base64.b32encode(bytes([n]) * 15).decode().lower() for n in range(5))
CHARGE = Charge.of(
    BUDGET.orders,
    sampling_rate=0.1,
    noise_multiplier=3.0,
    steps=10,
    clip_norm=1.0,
    records_per_person=4,
    expected_batch=50.0,
)
MANIFEST = Manifest("b", "acme", "m", (0.0, 60.0), PEOPLE, CHARGE)


def identity(manifest: Manifest) -> str:
    return reservation_id(
        ROOT,
        manifest.budget,
        manifest.tenant,
        manifest.public(),
        manifest.parent,
        people(manifest.people).packed,
    )


def test_people_are_sorted_bytes_whatever_order_they_come_in() -> None:
    assert validate(MANIFEST, BUDGET) == validate(replace(MANIFEST, people=PEOPLE[::-1]), BUDGET)
    found = people(PEOPLE)
    packed = [found.packed[at : at + TOKEN_BYTES] for at in range(0, len(found.packed), TOKEN_BYTES)]
    assert packed == sorted(packed)
    assert [unpack(raw) for raw in packed] == list(found.tokens)
    assert sorted(found.tokens) == sorted(PEOPLE)
    assert validate(replace(MANIFEST, people=()), BUDGET).tokens == ()


@pytest.mark.parametrize(
    "change",
    [
        {"people": (*PEOPLE, PEOPLE[0])},
        {"people": ("short",)},
        {"people": (PEOPLE[0].upper(),)},
        {"people": ("1" * 24,)},
        {"people": (PEOPLE[0] + "\n",)},
        {"tenant": "other"},
        {"model": "a|b"},
        {"model": ""},
        {"window": (60.0, 60.0)},
        {"window": (-1.0, 60.0)},
        {"window": (0.0, math.inf)},
        {"window": (math.nan, 60.0)},
        {"attempt": 0},
        {"attempt": 1.0},
        {"attempt": True},
        {"parent": "x" * 300},
    ],
)
def test_a_malformed_manifest_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ChargeInvalid):
        validate(replace(MANIFEST, **change), BUDGET)


@pytest.mark.parametrize(
    "change",
    [
        {"charges": CHARGE.charges[:1]},
        {"charges": (*CHARGE.charges, 1)},
        {"charges": (CHARGE.charges[0], -1)},
        {"charges": (CHARGE.charges[0], 0)},
        {"charges": (CHARGE.charges[0], INFINITE + 1)},
        {"charges": (CHARGE.charges[0], math.nan)},
        {"charges": (CHARGE.charges[0], float(CHARGE.charges[1]))},
        {"charges": (CHARGE.charges[0] - 1, CHARGE.charges[1])},  # cheaper than it is
        {"charges": (INFINITE, INFINITE)},
        {"noise_multiplier": 2.9},  # the old price for less noise
        {"steps": 11},
        {"sampling_rate": 0.11},
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.5},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": math.inf},
        {"noise_multiplier": -1.0},
        {"steps": 0},
        {"steps": 10.0},
        {"clip_norm": 0.0},
        {"expected_batch": math.inf},
        {"records_per_person": 0},
        {"mechanism": "something else"},
    ],
)
def test_a_malformed_charge_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ChargeInvalid):
        validate(replace(MANIFEST, charge=replace(CHARGE, **change)), BUDGET)


def test_a_higher_price_than_due_may_be_paid() -> None:
    dearer = replace(CHARGE, charges=tuple(units + 5 for units in CHARGE.charges))
    assert len(validate(replace(MANIFEST, charge=dearer), BUDGET).tokens) == 5


def test_the_error_names_no_token() -> None:
    with pytest.raises(ChargeInvalid) as caught:
        validate(replace(MANIFEST, people=(*PEOPLE, PEOPLE[3])), BUDGET)
    assert not any(token in str(caught.value) for token in PEOPLE)


def test_an_id_stands_for_one_manifest() -> None:
    variants = [
        MANIFEST,
        replace(MANIFEST, people=PEOPLE[:4]),
        replace(MANIFEST, people=()),
        replace(MANIFEST, attempt=2),
        replace(MANIFEST, model="m2"),
        replace(MANIFEST, window=(0.0, 61.0)),
        replace(MANIFEST, parent=""),
        replace(MANIFEST, parent="r"),
        replace(MANIFEST, budget="b2"),
        replace(MANIFEST, charge=replace(CHARGE, clip_norm=2.0)),
        replace(MANIFEST, charge=replace(CHARGE, records_per_person=5)),
    ]
    assert len({identity(variant) for variant in variants}) == len(variants)
    assert identity(replace(MANIFEST, people=PEOPLE[::-1])) == identity(MANIFEST)
    other = RootKey("ledger", 1, bytes([1]) * 32)
    assert reservation_id(other, "b", "acme", MANIFEST.public(), None, b"") != identity(
        replace(MANIFEST, people=())
    )


def test_what_is_public_of_a_manifest_does_not_depend_on_people() -> None:
    assert MANIFEST.public() == replace(MANIFEST, people=()).public()
    assert set(MANIFEST.public()) == {"model", "window", "charge", "attempt"}
