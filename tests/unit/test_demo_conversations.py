"""The demo's own conversations: the same for a seed, valid, and with everything planted that is promised."""

from __future__ import annotations

import orjson

from veilstream.cli.demo.conversations import PLANTED_KINDS, conversations
from veilstream.cli.demo.records import demo_records
from veilstream.events import codec
from veilstream.events.types import INTERACTION


def test_same_seed_same_conversations() -> None:
    assert list(conversations(5, 7)) == list(conversations(5, 7))
    assert list(conversations(5, 7)) != list(conversations(5, 8))


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    assert list(conversations(10, 7))[:4] == list(conversations(4, 7))


def test_one_person_a_conversation() -> None:
    subjects = [made.subject for made in conversations(200, 1)]
    assert len(set(subjects)) == 200


def test_every_planted_value_stands_in_its_record() -> None:
    for made in conversations(50, 3):
        text = orjson.dumps(made.messages).decode()
        digits = "".join(c for c in text if c.isdigit())
        assert {kind for kind, _ in made.planted} == set(PLANTED_KINDS)
        for kind, value in made.planted:
            bare = value.replace("-", "")
            assert value in text or bare in text or bare in digits, kind


def test_records_keep_the_contract() -> None:
    for value, planted in demo_records(None, 20, seed=5, tenant="demo"):
        codec.check(INTERACTION, value)
        assert len(planted) == len(PLANTED_KINDS)
