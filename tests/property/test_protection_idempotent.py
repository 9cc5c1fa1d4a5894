"""Law: protecting what is protected changes nothing and finds nothing."""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilstream.contracts import RootKey
from veilstream.detection import PatternEngine
from veilstream.protection import Protector, Structure, Tokens, load_policy

TOKENS = Tokens(RootKey("tenant/acme", 1, b"k" * 32))
PLAIN = Structure()

PIECES = st.sampled_from(
    [
        "jane@example.com",
        "408-971-8523",
        "4111 1111 1111 1111",
        "536-90-4399",
        "10.1.2.3",
        "https://x.org/a?b=c",
        "my name is Xiomara Quist",
        "Dr. Jane Doe",
        "password=hunter2",
        "user_id: 4711",
        "12 Mulberry Lane",
        "born 12 March 1980",
        "sk-abcdefghij0123456789",
        "Bearer abcdefghijkl",
        "<EMAIL_ADDRESS>",
        "<NOPE>",
        "<",
        ">",
        "#2",
        "@jane_doe",
        "name:",
        "email=",
        "is",
        "<b>",
        "</b>",
        "\n",
        "'",
        '"',
        "{",
        "}",
        "Jane",
        "the",
    ]
)
texts = st.lists(PIECES | st.text(string.printable, max_size=5), max_size=6).flatmap(
    lambda pieces: st.sampled_from(["", " ", ", "]).map(lambda glue: glue.join(pieces))
)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
keys = (
    st.sampled_from(
        ["name", "email", "user_id", "address", "value", "key", "password", "x", "user", "rows", "columns"]
    )
    | texts
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)


values = st.recursive(
    scalars,
    lambda inner: nested(inner) | nested(inner).map(lambda v: orjson.dumps(v).decode()),
    max_leaves=12,
)


@cache
def engine() -> PatternEngine:
    return PatternEngine()


def strict(count: Callable[[str], None] = lambda kind: None) -> Protector:
    return Protector(engine(), load_policy("strict"), count=count)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values, texts)
def test_twice_is_once(value: Any, subject: str) -> None:
    once = strict().value(
        value, structure=PLAIN, tokens=TOKENS, declared={"SUBJECT": subject} if subject else {}
    )
    counted: list[str] = []
    twice = strict(counted.append).value(once, structure=PLAIN, tokens=TOKENS)
    assert twice == once
    assert counted == []
    assert orjson.dumps(strict().value(value, structure=PLAIN, tokens=TOKENS)) == orjson.dumps(
        strict().value(value, structure=PLAIN, tokens=TOKENS)
    )
