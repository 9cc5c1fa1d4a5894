"""Visits every leaf of a JSON value: values and keys, and what hides in strings that are JSON themselves.

The walk is a pure rewrite: `rewrite(value, visit)` returns a new value in which each leaf is what `visit`
made of it. What a leaf is told about itself:

* `path`: JSON path with `[]` for any index and `{json}` where a string was opened, e.g.
  `messages[].parts[].arguments{json}.email`. It can hold personal data (keys can): never log it.
* `names`: the key names above the leaf, nearest first. Some values get their name from beside them, and it
  comes first then:
  - a pair object such as `{"key": "user.email", "value": …}` (OTLP attributes, header lists, slots, forms);
  - a pair list such as `["Authorization", "Bearer …"]`;
  - a cell of a table, `{"columns": ["id", "email"], "rows": [[…, …]]}`, is named by its column.
  The field name of a pair does not carry the name of its own key: `name` in `{"name": "city", "value": …}` is
  not somebody's name.
* `is_key`: the leaf is an object's key.

* `owner`: the object that the leaf is a key or a value of, so that a visitor can look at what stands beside
  it (`type`, `role`); None in a list. It must not be changed.

Strings that hold a JSON object or array are opened, walked, and written back compactly if anything changed
(or if a key stands in them twice, since the first of the two was never seen); JSON inside JSON inside strings
as well, and keys that are JSON, as deep as `MAX_DEPTH` allows in all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from veilstream.errors import RecordInvalid
from veilstream.events.codec import MAX_DEPTH

__all__ = ["Leaf", "rewrite"]

Scalar = str | int | float | bool | None

_PAIR_KEYS = (
    "key",
    "name",
    "slot",
    "field",
    "label",
    "parameter",
    "param",
    "attribute",
    "property",
    "k",
    "type",
    "title",
    "question",
    "id",
)
_PAIR_VALUES = ("value", "values", "val", "v", "stringValue", "string_value", "answer")
_COLUMNS = ("columns", "column_names", "headers", "header", "fields")
_ROWS = ("rows", "data", "values", "records")
_FIELD_NAME = re.compile(r"[a-z][A-Za-z0-9]*(?:[._\-:/][A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar in its place."""

    value: Scalar
    path: str
    names: tuple[str, ...]
    is_key: bool = False
    owner: dict[str, Any] | None = None


Visit = Callable[[Leaf], Scalar]


def rewrite(value: Any, visit: Visit, *, path: str = "", names: tuple[str, ...] = ()) -> Any:
    """Return `value` with every leaf replaced by what `visit` returns for it.

    A key that `visit` changes to one that is taken already gets a suffix (`#2`), so nothing is lost.

    Raises:
        RecordInvalid: `too_deep`, when nesting (opened strings included) passes `MAX_DEPTH`.
    """
    return _walk(value, visit, path, names, 0)


def _walk(
    value: Any,
    visit: Visit,
    path: str,
    names: tuple[str, ...],
    depth: int,
    owner: dict[str, Any] | None = None,
) -> Any:
    if depth > MAX_DEPTH:
        raise RecordInvalid("too_deep", detail=f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return _walk_object(value, visit, path, names, depth)
    if isinstance(value, list):
        return _walk_list(value, visit, path + "[]", names, depth)
    if isinstance(value, str):
        return _walk_text(value, visit, path, names, depth, owner)
    return visit(Leaf(value, path, names, False, owner))


def _walk_text(
    text: str,
    visit: Visit,
    path: str,
    names: tuple[str, ...],
    depth: int,
    owner: dict[str, Any] | None,
    is_key: bool = False,
) -> Scalar:
    opened = _open(text)
    if opened is None:
        return visit(Leaf(text, path, names, is_key, owner))
    inner = _walk(opened, visit, path + "{json}", names, depth + 1, owner)
    if inner == opened and not _repeats_a_key(text):
        return text
    return orjson.dumps(inner).decode()


def _walk_list(value: list[Any], visit: Visit, path: str, names: tuple[str, ...], depth: int) -> list[Any]:
    if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str | int | float | list):
        first = _walk(value[0], visit, path, names, depth + 1)
        return [first, _walk(value[1], visit, path, (value[0], *names), depth + 1)]
    return [_walk(item, visit, path, names, depth + 1) for item in value]


def _walk_object(
    value: dict[str, Any], visit: Visit, path: str, names: tuple[str, ...], depth: int
) -> dict[str, Any]:
    lent = _lent_names(value)
    columns = _columns(value)
    result: dict[str, Any] = {}
    for key, child in value.items():
        below = f"{path}.{key}" if path else key
        new_key = str(_walk_text(key, visit, below, names, depth, value, is_key=True))
        child_names = (key, *names)
        if lent:
            if key in _PAIR_VALUES:
                child_names = (*lent, *child_names)
            elif key in _PAIR_KEYS and isinstance(child, str) and _FIELD_NAME.fullmatch(child):
                child_names = names
        if columns and key in _ROWS and isinstance(child, list):
            new_child: Any = _walk_rows(child, columns, visit, below, child_names, depth + 1)
        else:
            new_child = _walk(child, visit, below, child_names, depth + 1, value)
        unique, copies = new_key, 1
        while unique in result or (unique != key and unique in value):
            copies += 1
            unique = f"{new_key}#{copies}"
        result[unique] = new_child
    return result


def _walk_rows(
    rows: list[Any], columns: list[str], visit: Visit, path: str, names: tuple[str, ...], depth: int
) -> list[Any]:
    if depth + 1 > MAX_DEPTH:
        raise RecordInvalid("too_deep", detail=f"more than {MAX_DEPTH} levels")
    walked: list[Any] = []
    for row in rows:
        if isinstance(row, list) and len(row) == len(columns):
            cells = zip(columns, row, strict=True)
            walked.append(
                [_walk(cell, visit, path + "[][]", (column, *names), depth + 2) for column, cell in cells]
            )
        else:
            walked.append(_walk(row, visit, path + "[]", names, depth + 1))
    return walked


def _lent_names(value: dict[str, Any]) -> tuple[str, ...]:
    """The names that a pair object's value goes by."""
    if not any(name in value for name in _PAIR_VALUES):
        return ()
    return tuple(text for name in _PAIR_KEYS if isinstance(text := value.get(name), str) and text)


def _columns(value: dict[str, Any]) -> list[str]:
    """A table's column names, if the object is one."""
    for name in _COLUMNS:
        columns = value.get(name)
        if isinstance(columns, list) and columns:
            named = [c.get("name") if isinstance(c, dict) else c for c in columns]
            if all(isinstance(c, str) for c in named):
                return [str(c) for c in named]
    return []


def _open(text: str) -> Any | None:
    """The object or array that a string holds, or None."""
    stripped = text.strip()
    if len(stripped) < 2 or stripped[0] not in '{["' or stripped[-1] not in '}]"':
        return None
    try:
        opened = orjson.loads(stripped)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg:
            raise RecordInvalid("too_deep", detail="JSON inside a string") from None
        return None
    return opened if isinstance(opened, dict | list | str) else None


def _repeats_a_key(text: str) -> bool:
    """Whether an object in this JSON has a key twice: a parser keeps the last, and the text both."""
    repeated = False

    def pairs(items: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len({key for key, _ in items}) < len(items)

    json.loads(text.strip(), object_pairs_hook=pairs)
    return repeated
