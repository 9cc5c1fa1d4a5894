"""What a leaf is told about itself, and where the walker stops."""

from __future__ import annotations

from typing import Any

import pytest

from veilstream.errors import RecordInvalid
from veilstream.events.codec import MAX_DEPTH
from veilstream.events.walker import Leaf, rewrite


def walk(value: Any) -> dict[str, tuple[Any, tuple[str, ...]]]:
    seen: dict[str, tuple[Any, tuple[str, ...]]] = {}

    def visit(leaf: Leaf) -> Any:
        if not leaf.is_key:
            seen[leaf.path] = (leaf.value, leaf.names)
        return leaf.value

    rewrite(value, visit)
    return seen


def test_paths_and_names() -> None:
    assert walk({"a": [{"b": 1}], "c": '{"d": [true]}'}) == {
        "a[].b": (1, ("b", "a")),
        "c{json}.d[]": (True, ("d", "c")),
    }


@pytest.mark.parametrize(
    ("value", "path", "names"),
    [
        ({"key": "user.email", "value": "x"}, "value", ("user.email", "value")),
        ({"key": "user.email", "value": {"stringValue": "x"}}, "value.stringValue",
         ("stringValue", "user.email", "value")),
        ({"slot": "email", "values": ["x"]}, "values[]", ("email", "values")),
        ({"type": "email", "value": "x"}, "value", ("email", "value")),
        ({"label": "Your name", "answer": "x"}, "answer", ("Your name", "answer")),
        ({"name": "city", "value": "x"}, "name", ()),
        ({"name": "Jane Doe", "value": "x"}, "name", ("name",)),  # no field is called that
        ({"name": "city"}, "name", ("name",)),  # no pair
        ({"columns": ["id", "email"], "rows": [[1, "x"]]}, "rows[][]", ("email", "rows")),
        ({"columns": [{"name": "email"}], "data": [["x"]]}, "data[][]", ("email", "data")),
        ({"columns": ["email"], "rows": [["x", "y"]]}, "rows[][]", ("x", "rows")),  # another width
    ],
)  # fmt: skip
def test_lent_names(value: Any, path: str, names: tuple[str, ...]) -> None:
    assert walk(value)[path][1] == names


def test_a_pair_list_lends_its_first() -> None:
    seen: list[tuple[Any, tuple[str, ...]]] = []

    def visit(leaf: Leaf) -> Any:
        seen.append((leaf.value, leaf.names))
        return leaf.value

    rewrite({"headers": [["Cookie", "x"]]}, visit)
    assert ("x", ("Cookie", "headers")) in seen


def test_owners() -> None:
    seen: dict[str, Any] = {}

    def visit(leaf: Leaf) -> Any:
        seen[leaf.path] = leaf.owner
        return leaf.value

    value = {"a": {"type": "blob", "content": '"x"'}, "l": ["y"]}
    rewrite(value, visit)
    assert seen["a.content{json}"] == value["a"]
    assert seen["l[]"] is None


@pytest.mark.parametrize("text", ["{not json}", "[1", "12", "true", "", '{"a": NaN}', "[\ud800]"])
def test_what_is_not_json_is_a_text(text: str) -> None:
    assert walk([text]) == {"[]": (text, ())}


def test_whitespace_of_unchanged_json_stays() -> None:
    text = ' {"a" : [1, 2]}\n'
    assert rewrite([text], lambda leaf: leaf.value) == [text]


def test_a_repeated_key_does_not_hide() -> None:
    assert rewrite(['{"a": 1, "a": 2}'], lambda leaf: leaf.value) == ['{"a":2}']
    assert rewrite(['[{"b": {"a": 1, "a": 2}}]'], lambda leaf: leaf.value) == ['[{"b":{"a":2}}]']


def test_changed_keys_do_not_meet() -> None:
    walked = rewrite({"a": 1, "b": 2, "k#2": 3}, lambda leaf: "k" if leaf.value in ("a", "b") else leaf.value)
    assert walked == {"k": 1, "k#3": 2, "k#2": 3}


@pytest.mark.parametrize("opened", [False, True])
def test_depth(opened: bool) -> None:
    def nest(levels: int) -> Any:
        value: Any = []
        for _ in range(levels):
            value = [value]
        return value

    def text(levels: int) -> Any:
        return ["[" * levels + "]" * levels] if opened else nest(levels)

    rewrite(text(MAX_DEPTH - 2), lambda leaf: leaf.value)
    for levels in (MAX_DEPTH + 2, 900, 5000) if opened else (MAX_DEPTH + 2, 900):
        with pytest.raises(RecordInvalid, match="too_deep"):
            rewrite(text(levels), lambda leaf: leaf.value)


def test_depth_of_a_table() -> None:
    value: Any = {"columns": ["a"], "rows": [["x"]]}
    for _ in range(MAX_DEPTH):
        value = {"columns": ["a"], "rows": [[value]]}
    with pytest.raises(RecordInvalid, match="too_deep"):
        rewrite(value, lambda leaf: leaf.value)
