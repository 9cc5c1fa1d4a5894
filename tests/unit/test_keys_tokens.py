"""Tokens: frozen vectors (they are on the wire for ever), shape, and nothing runs into anything else."""

from __future__ import annotations

import re
from itertools import combinations

from veilstream.contracts import RootKey
from veilstream.keys import (
    entity_token,
    ledger_token,
    quarantine_key,
    routing_key,
    subject_token,
    unit_index,
)
from veilstream.keys.derive import derive, expand, fields

ROOT = RootKey("tenant/acme", 1, bytes(range(32)))
TOKEN = re.compile(r"[a-z2-7]{24}")


def test_vectors_are_frozen() -> None:
    """Whatever these are today they must be for as long as a record lives."""
    assert entity_token(ROOT, "account", "amelia") == "kg4qrjx7ynds5xduy5ssgoxx"
    assert subject_token(b"s" * 32, "subject", "jane") == "uiu7muml6kjlfhfkpi4hvuab"
    assert ledger_token(ROOT, "acme", "subject", "jane") == "drpfgigm5ao3jzxnxoindbwz"
    assert unit_index(ROOT, "subject", "jane").hex() == "c92ac0e844e49c86fd2172d3b898b57b"
    assert routing_key(None, "acme", "subject", "jane") == b"qdmyg6kpk3ila3iwwidox73h"
    assert routing_key("secret", "acme", "subject", "jane") == b"zqcpyuqsqstim5dl2qwocvse"
    assert quarantine_key(ROOT, b"raw") == b"zdegzsrr65fzewrcoxr4qkdd"


def test_shape() -> None:
    texts = [
        entity_token(ROOT, "", ""),
        subject_token(b"", "subject", "\N{SNOWMAN}"),
        ledger_token(ROOT, "", "", ""),
        routing_key(b"", "", "", "").decode(),
        quarantine_key(ROOT, None).decode(),
    ]
    assert all(TOKEN.fullmatch(text) for text in texts)
    assert len(unit_index(ROOT, "subject", "")) == 16


def test_fields_do_not_run_into_each_other() -> None:
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ()]
    for one, two in combinations(lists, 2):
        assert fields(*one) != fields(*two)
    assert entity_token(ROOT, "ab", "c") != entity_token(ROOT, "a", "bc")


def test_no_two_purposes_share_a_key_or_a_token() -> None:
    assert derive(ROOT, "entity-token") != derive(ROOT, "unit-index") != ROOT.material
    assert derive(ROOT, "x") == expand(ROOT.material, salt=None, purpose="x")
    tokens = {
        entity_token(ROOT, "subject", "jane"),
        subject_token(ROOT.material, "subject", "jane"),
        ledger_token(ROOT, "subject", "jane", ""),
        routing_key(ROOT.material, "subject", "jane", "").decode(),
    }
    assert len(tokens) == 4


def test_everything_matters() -> None:
    other = RootKey("tenant/other", 1, b"o" * 32)
    assert entity_token(ROOT, "a", "x") != entity_token(other, "a", "x")
    assert entity_token(ROOT, "a", "x") != entity_token(ROOT, "b", "x")
    assert subject_token(b"1" * 32, "subject", "x") != subject_token(b"2" * 32, "subject", "x")
    assert subject_token(b"1" * 32, "subject", "x") != subject_token(b"1" * 32, "conversation", "x")
    assert ledger_token(ROOT, "a", "subject", "x") != ledger_token(ROOT, "b", "subject", "x")
    assert unit_index(ROOT, "subject", "x") != unit_index(ROOT, "conversation", "x")
    assert routing_key("k", "a", "subject", "x") != routing_key(None, "a", "subject", "x")
    assert quarantine_key(ROOT, None) != quarantine_key(ROOT, b"")


def test_a_lone_surrogate_is_a_value_too() -> None:
    assert TOKEN.fullmatch(entity_token(ROOT, "account", "\ud800"))
