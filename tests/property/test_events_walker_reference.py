"""Law: the walker does what the obvious walk does.

`Reference` is that walk, with nothing shared, remembered or skipped. Both must return the same value, ask
about the same leaves in the same order with the same attributes, and stop at the same depth with the same
error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from veilstream.errors import RecordInvalid
from veilstream.events import walker
from veilstream.events.codec import MAX_DEPTH
from veilstream.events.walker import Leaf, rewrite

Seen = tuple[Any, str, tuple[str, ...], bool, dict[str, Any] | None]
Visit = Callable[[Any, bool], Any]

PAIR_KEYS = [
    *("key", "name", "slot", "field", "label", "parameter", "param", "attribute", "property", "k"),
    *("type", "title", "question", "id"),
]
PAIR_VALUES = ["value", "values", "val", "v", "stringValue", "string_value", "answer"]
COLUMNS = ["columns", "column_names", "headers", "header", "fields"]
ROWS = ["rows", "data", "values", "records"]


class Reference:
    """The naive walk: one method for each kind of value, and a list of all leaves it asked about."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.seen: list[Seen] = []

    def walk(
        self, value: Any, path: str, names: tuple[str, ...], depth: int, owner: Any = None, key: bool = False
    ) -> Any:
        if depth > MAX_DEPTH and not key:
            raise RecordInvalid("too_deep")
        if isinstance(value, dict):
            return self.members(value, path, names, depth)
        if isinstance(value, list):
            return self.items(value, path + "[]", names, depth + 1)
        if isinstance(value, str):
            opened = self.open(value)
            if opened is not None:
                inner = self.walk(opened, path + "{json}", names, depth + 1, owner)
                return value if inner == opened and not repeats(value) else orjson.dumps(inner).decode()
        self.seen.append((value, path, names, key, owner))
        return self.visit(value, key)

    def open(self, text: str) -> Any:
        stripped = text.strip()
        if len(stripped) < 2 or stripped[0] not in '{["' or stripped[-1] not in '}]"':
            return None
        try:
            return orjson.loads(stripped)
        except orjson.JSONDecodeError as error:
            if "depth limit" in str(error):
                raise RecordInvalid("too_deep") from None
            return None

    def items(self, value: list[Any], path: str, names: tuple[str, ...], depth: int) -> list[Any]:
        pair = (
            len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str | int | float | list)
        )
        return [
            self.walk(item, path, (value[0], *names) if pair and at == 1 else names, depth)
            for at, item in enumerate(value)
        ]

    def members(self, value: dict[str, Any], path: str, names: tuple[str, ...], depth: int) -> dict[str, Any]:
        pair = any(name in value for name in PAIR_VALUES)
        lent = [value[k] for k in PAIR_KEYS if pair and isinstance(value.get(k), str) and value[k]]
        columns = table(value)
        result: dict[str, Any] = {}
        for key, child in value.items():
            below = f"{path}.{key}" if path else key
            new_key = str(self.walk(key, below, names, depth, value, key=True))
            child_names = (key, *names)
            if lent and key in PAIR_VALUES:
                child_names = (*lent, key, *names)
            elif lent and key in PAIR_KEYS and isinstance(child, str) and is_field_name(child):
                child_names = names
            if columns and key in ROWS and isinstance(child, list):
                new_child = self.rows(child, columns, below, child_names, depth + 2)
            else:
                new_child = self.walk(child, below, child_names, depth + 1, value)
            candidate, copies = new_key, 1
            while candidate in result or (candidate in value and candidate != key):
                copies += 1
                candidate = f"{new_key}#{copies}"
            result[candidate] = new_child
        return result

    def rows(
        self, rows: list[Any], columns: list[str], path: str, names: tuple[str, ...], depth: int
    ) -> list[Any]:
        if depth > MAX_DEPTH:
            raise RecordInvalid("too_deep")
        walked: list[Any] = []
        for row in rows:
            if isinstance(row, list) and len(row) == len(columns):
                walked.append([])
                for column, cell in zip(columns, row, strict=True):
                    walked[-1].append(self.walk(cell, path + "[][]", (column, *names), depth + 1))
            else:
                walked.append(self.walk(row, path + "[]", names, depth))
        return walked


def table(value: dict[str, Any]) -> list[str]:
    for name in COLUMNS:
        columns = value.get(name)
        if isinstance(columns, list) and columns:
            texts: list[Any] = [c.get("name") if isinstance(c, dict) else c for c in columns]
            if all(isinstance(text, str) for text in texts):
                return texts
    return []


def is_field_name(text: str) -> bool:
    return re.fullmatch(r"[a-z][A-Za-z0-9]*(?:[._\-:/][A-Za-z0-9]+)*", text) is not None


def repeats(text: str) -> bool:
    repeated: list[bool] = []

    def pairs(items: list[tuple[str, Any]]) -> None:
        repeated.append(len(dict(items)) < len(items))

    json.loads(text.strip(), object_pairs_hook=pairs)
    return any(repeated)


# Visits: what each makes of a leaf is a function of the leaf alone, so both walks must agree.


def same(value: Any, key: bool) -> Any:
    return value


def merge_keys(value: Any, key: bool) -> Any:
    return "k" if key and len(value) % 2 else value


def mark(value: Any, key: bool) -> Any:
    return f"<{value}>" if isinstance(value, str) else value


def swap_types(value: Any, key: bool) -> Any:
    return None if key else value == 1


VISITS = [same, merge_keys, mark, swap_types]


def outcome(work: Callable[[], Any]) -> tuple[str, str]:
    try:
        return "returned", repr(work())  # repr: True is not 1, and the order of keys counts
    except RecordInvalid as error:
        return "raised", error.kind


def compare(value: Any, visit: Visit) -> None:
    reference, seen = Reference(visit), []

    def ours(leaf: Leaf) -> Any:
        seen.append((leaf.value, leaf.path, leaf.names, leaf.is_key, leaf.owner))
        return visit(leaf.value, leaf.is_key)

    before = repr(value)
    expected = outcome(lambda: reference.walk(value, "", (), 0))
    assert outcome(lambda: rewrite(value, ours)) == expected
    assert repr(seen) == repr(reference.seen)
    assert repr(value) == before


SPACES = [" ", "\n", "\t\r", "\x1f", "\x85", "\xa0", "\u2003", "\u3000", "\u200b"]
scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, 1.0, -3, 2**40, 0.5])
    | st.text(max_size=4)
    | st.sampled_from(
        ["city", "user.email", "Jane Doe", "name", "", "}", '"', "[1,", '{"a": 1, "a": 1}', "k#2"]
    )
)
words = st.sampled_from([*PAIR_KEYS, *PAIR_VALUES, *COLUMNS, *ROWS, "a", "role", "k#2", "", '["k"]', '"k"'])
keys = st.one_of(st.sampled_from(["a", "b", "role"]), words, st.text(max_size=3))


def dumped(value: Any) -> str:
    return orjson.dumps(value).decode()


def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=4)
    objects = st.dictionaries(keys, inner, max_size=4)
    alike = st.lists(st.fixed_dictionaries({"role": inner, "parts": lists}), min_size=2, max_size=3)
    pairs = st.fixed_dictionaries({"key": inner, "value": inner}) | st.tuples(st.text(max_size=3), inner).map(
        list
    )
    columns = st.lists(st.sampled_from(["a", "b", '"c"']) | st.just({"name": "d"}), min_size=1, max_size=2)
    tables = st.fixed_dictionaries({"columns": columns, "rows": st.lists(lists, max_size=4)})
    texts = (objects | lists).map(dumped)
    spaced = st.tuples(st.sampled_from(SPACES), texts, st.sampled_from(SPACES)).map("".join)
    as_keys = st.dictionaries(texts, inner, max_size=2)
    return st.one_of(lists, objects, objects, alike, pairs, tables, texts, spaced, as_keys)


values = st.deferred(lambda: st.recursive(scalars, grown, max_leaves=24))


@settings(max_examples=400)
@given(values, st.sampled_from(VISITS))
@example({"a": 1, "b": 2, "k#2": 3}, merge_keys)
@example([{"columns": ["a"], "rows": [["x"], ["x", "y"], 3]}, {"columns": ["b"], "rows": [["x"]]}], same)
@example([{"name": "city", "value": "x"}, {"name": "Jane Doe", "value": "x"}], same)
@example({'{"a": 1}': "x", "b": ['"c"', '{"a":[1],"a":[2]}']}, mark)
def test_the_walk_is_the_obvious_one(value: Any, visit: Visit) -> None:
    compare(value, visit)


steps = st.sampled_from(
    [
        lambda inner: [inner],
        lambda inner: {"a": inner},
        lambda inner: {"key": "x", "value": inner},
        lambda inner: {"columns": ["a"], "rows": [[inner]]},
        lambda inner: {"columns": ["a"], "rows": [inner]},
        lambda inner: {"a": inner, '["b"]': 1},
        lambda inner: ["x", [inner]],
    ]
)


@settings(max_examples=150)
@given(st.lists(steps, min_size=1, max_size=6), st.integers(MAX_DEPTH // 2 - 4, MAX_DEPTH + 3), values)
def test_both_stop_at_the_same_depth(pattern: list[Callable[[Any], Any]], levels: int, value: Any) -> None:
    for level in range(levels):
        value = pattern[level % len(pattern)](value)
    compare(value, same)


@given(values, st.text(max_size=3), st.lists(st.text(max_size=3), max_size=2).map(tuple))
def test_a_walk_can_start_anywhere(value: Any, path: str, names: tuple[str, ...]) -> None:
    reference, seen = Reference(same), []

    def ours(leaf: Leaf) -> Any:
        seen.append(tuple(leaf))
        return leaf.value

    rewrite(value, ours, path=path, names=names)
    reference.walk(value, path, names, 0)
    assert repr(seen) == repr(reference.seen)


def test_more_shapes_than_are_kept() -> None:
    compare([{f"k{at % 300}": at, "b": "x"} for at in range(700)], mark)


def test_owners_are_the_objects_themselves() -> None:
    inner = {"b": 1}
    value = {"a": inner, "c": "x"}
    owners: list[Any] = []

    def visit(leaf: Leaf) -> Any:
        owners.append(leaf.owner)
        return leaf.value

    rewrite(value, visit)
    assert [owner is value or owner is inner for owner in owners] == [True] * 5


def test_json_can_end_with_whatever_is_stripped() -> None:
    for code in range(0x110000):
        if chr(code).isspace():
            compare(["[1]" + chr(code)], same)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("_SPEAKING", frozenset()),
        ("_CLOSING", frozenset("}]")),
        ("MAX_DEPTH", MAX_DEPTH + 1),
    ],
)
def test_a_faulty_walk_is_told_apart(monkeypatch: pytest.MonkeyPatch, name: str, fault: Any) -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    telling = [[{"name": "city", "value": "x"}, '"a"'], deep]

    def compare_all() -> None:
        for value in telling:
            compare(value, same)

    compare_all()
    monkeypatch.setattr(walker, name, fault)
    with pytest.raises(AssertionError):
        compare_all()
