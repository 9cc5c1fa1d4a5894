"""The load's records are what they say: good ones pass, each kind of poison is refused, numbers survive."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from veilstream.bench.chaos.records import MARK, POISONS, TENANT, Item, good, poison
from veilstream.detection import PatternEngine
from veilstream.events.codec import decode, loads
from veilstream.events.types import INTERACTION
from veilstream.keys import FileKeyProvider, ledger_token
from veilstream.processors.decoding import Decoded, RawRecord, Refused
from veilstream.processors.decoding import decode as read
from veilstream.protection import Protector, Tokens, load_policy

LIMIT = 50_000


def _raw(item: Item) -> RawRecord:
    return RawRecord(item.key, item.value, tuple(item.headers), 0, 0, 0)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> FileKeyProvider:
    folder: Path = tmp_path_factory.mktemp("keys")
    made = FileKeyProvider(folder / "keys")
    made.ensure(TENANT)
    return made


def test_a_good_record_keeps_its_numbers_under_the_strict_policy(provider: FileKeyProvider) -> None:
    protector = Protector(PatternEngine(), load_policy("strict"))
    rng = random.Random(1)
    for person, seq in [(0, 1), (7, 999_999), (39, 123_456), (39, 39)]:
        decoded = read(_raw(good(person, seq, rng)), provider, LIMIT)
        assert isinstance(decoded, Decoded)
        made = protector.interaction(
            decoded.value,
            tokens=Tokens(provider.tenant(TENANT)),
            subject_token="a" * 24,
            ledger_token=ledger_token(provider.ledger(), TENANT, "subject", f"person-{person}"),
        )
        assert made["attributes"] == {"person": person, "seq": seq}


@pytest.mark.parametrize("kind", POISONS)
def test_every_poison_is_refused_and_marked(kind: str, provider: FileKeyProvider) -> None:
    item = poison(kind, 3, LIMIT, random.Random(2))
    assert (MARK, kind.encode()) in item.headers
    assert isinstance(read(_raw(item), provider, LIMIT), Refused)


def test_the_oversized_one_is_legal_in_all_but_its_size() -> None:
    item = poison("oversized", 3, LIMIT, random.Random(2))
    assert LIMIT < len(item.value) < 2 * LIMIT
    assert decode(INTERACTION, item.value)["privacy"]["tenant"] == TENANT


def test_a_person_has_one_key_for_good_and_poison() -> None:
    rng = random.Random(3)
    assert good(5, 1, rng).key == poison("bad_json", 5, LIMIT, rng).key != good(6, 1, rng).key
    assert loads(good(5, 1, rng).value)["attributes"]["person"] == 5
