"""Laws of the walker: it changes nothing by itself, sees every leaf once, and loses nothing."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from veilstream.events.walker import Leaf, rewrite

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
keys = st.text(max_size=6) | st.sampled_from(["key", "name", "value", "values", "columns", "rows", "type"])


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)


plain = st.recursive(scalars, nested, max_leaves=20)


def dumped(value: Any) -> str:
    return orjson.dumps(value).decode()


hidden = st.recursive(scalars, lambda inner: nested(inner) | nested(inner).map(dumped), max_leaves=20)


def leaves(value: Any) -> list[Any]:
    """The naive oracle: every scalar and every key, with strings that hold JSON opened."""
    if isinstance(value, dict):
        return [leaf for key, child in value.items() for leaf in (*leaves(key), *leaves(child))]
    if isinstance(value, list):
        return [leaf for child in value for leaf in leaves(child)]
    if isinstance(value, str) and value.strip()[:1] in ("{", "[", '"'):
        try:
            opened = json.loads(value)
        except ValueError:
            return [value]
        if isinstance(opened, dict | list | str):
            return leaves(opened)
    return [value]


@given(hidden)
def test_the_identity_changes_nothing(value: Any) -> None:
    before = dumped(value)
    walked = rewrite(value, lambda leaf: leaf.value)
    assert dumped(walked) == before
    assert dumped(value) == before


@given(hidden)
def test_every_leaf_is_seen_once(value: Any) -> None:
    seen: list[Any] = []

    def visit(leaf: Leaf) -> Any:
        seen.append(leaf.value)
        return leaf.value

    rewrite(value, visit)
    assert Counter(map(repr, seen)) == Counter(map(repr, leaves(value)))


@given(plain)
def test_nothing_survives_a_visit_that_replaces_everything(value: Any) -> None:
    walked = rewrite(value, lambda leaf: "k" if leaf.is_key else 0)

    def same_shape(before: Any, after: Any) -> bool:
        if isinstance(before, dict):
            return (
                isinstance(after, dict)
                and len(before) == len(after)
                and all(key == "k" or key.startswith("k#") for key in after)
                and all(map(same_shape, before.values(), after.values()))
            )
        if isinstance(before, list):
            return len(before) == len(after) and all(map(same_shape, before, after))
        if isinstance(before, str) and leaves(before) != [before]:
            return True  # a text that happens to be JSON
        return bool(after == 0)

    assert same_shape(value, walked)


@given(hidden, st.sampled_from(["x", "same"]))
def test_keys_that_become_one_stay_apart(value: Any, word: str) -> None:
    walked = rewrite(value, lambda leaf: word if leaf.is_key else leaf.value)
    assert len(leaves(walked)) == len(leaves(value))


@given(plain, keys)
def test_a_name_holds_for_everything_below_it(value: Any, name: str) -> None:
    seen: list[Leaf] = []

    def visit(leaf: Leaf) -> Any:
        seen.append(leaf)
        return leaf.value

    rewrite({"outer": {name: value}}, visit)
    below = [leaf for leaf in seen if leaf.path.startswith(f"outer.{name}") and not leaf.is_key]
    assert all("outer" in leaf.names for leaf in below)
