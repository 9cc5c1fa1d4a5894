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
from typing import Any, NamedTuple

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
_SPEAKING = frozenset((*_PAIR_VALUES, *_COLUMNS))  # an object without any of these is no pair and no table
_FIELD_NAME = re.compile(r"[a-z][A-Za-z0-9]*(?:[._\-:/][A-Za-z0-9]+)*")

_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)  # as `str.strip` has them
_CLOSING = frozenset('}]"' + _SPACES)  # what a string that holds JSON ends with
_PLAIN = frozenset((int, float, bool, type(None)))
_SHAPES = 256  # of one place; a record in which every object has another one is as fast without


class Leaf(NamedTuple):
    """A scalar in its place."""

    value: Scalar
    path: str
    names: tuple[str, ...]
    is_key: bool = False
    owner: dict[str, Any] | None = None


Visit = Callable[[Leaf], Scalar]

_leaf = tuple.__new__  # `_leaf(Leaf, (…))` is `Leaf(…)` at half the price, and there is one for each leaf


def rewrite(value: Any, visit: Visit, *, path: str = "", names: tuple[str, ...] = ()) -> Any:
    """Return `value` with every leaf replaced by what `visit` returns for it.

    A key that `visit` changes to one that is taken already gets a suffix (`#2`), so nothing is lost.

    Raises:
        RecordInvalid: `too_deep`, when nesting (opened strings included) passes `MAX_DEPTH`.
    """
    return _walk(value, visit, _Place(path, names, 0), None)


class _Place:
    """Where a value stands: all that can be said of it without the value.

    What stands at the same place shares it: in eight messages, `messages[].role` is made once. Places are a
    tree that lives for one walk and no longer, since a path can be personal data.
    """

    __slots__ = ("_called", "_inside", "depth", "items", "kids", "names", "path", "shapes")

    def __init__(self, path: str, names: tuple[str, ...], depth: int) -> None:
        self.path = path
        self.names = names
        self.depth = depth
        self.shapes: dict[tuple[str, ...], _Shape] = {}
        self.kids: dict[str, _Place] = {}
        self.items: _Place | None = None
        self._inside: _Place | None = None
        self._called: dict[tuple[str, ...], _Place] | None = None

    def shape(self, keys: tuple[str, ...]) -> _Shape:
        """What an object with these keys, in this order, needs to know of them."""
        shape: _Shape = []
        if self.depth < MAX_DEPTH:
            names, prefix = self.names, self.path + "." if self.path else ""
            for key in keys:
                if key in _SPEAKING or key[-1:] in _CLOSING:
                    shape = []
                    break
                shape.append((key, prefix + key, (key, *names)))
        if len(self.shapes) < _SHAPES:
            self.shapes[keys] = shape
        return shape

    def kid(self, key: str) -> _Place:
        """The place of an object's value."""
        place = self.kids.get(key)
        if place is None:
            path = f"{self.path}.{key}" if self.path else key
            place = self.kids[key] = _Place(path, (key, *self.names), self.depth + 1)
        return place

    def item(self) -> _Place:
        """The place of a list's items."""
        if self.items is None:
            self.items = _Place(self.path + "[]", self.names, self.depth + 1)
        return self.items

    def inside(self) -> _Place:
        """The place of what is in a string at this place."""
        if self._inside is None:
            self._inside = _Place(self.path + "{json}", self.names, self.depth + 1)
        return self._inside

    def called(self, names: tuple[str, ...]) -> _Place:
        """The same place under other names."""
        if names == self.names:
            return self
        if self._called is None:
            self._called = {}
        place = self._called.get(names)
        if place is None:
            place = self._called[names] = _Place(self.path, names, self.depth)
        return place


_Shape = list[tuple[str, str, tuple[str, ...]]]
"""An object's keys with the paths and the names of their values; nothing where it needs a closer look."""


def _walk(value: Any, visit: Visit, place: _Place, owner: dict[str, Any] | None) -> Any:
    if place.depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict):
        return _walk_object(value, visit, place)
    if isinstance(value, list):
        return _walk_list(value, visit, place)
    if isinstance(value, str):
        opened = _open(value)
        if opened is not None:
            return _walk_opened(value, opened, visit, place.inside(), owner)
    return visit(_leaf(Leaf, (value, place.path, place.names, False, owner)))


def _walk_opened(text: str, opened: Any, visit: Visit, place: _Place, owner: dict[str, Any] | None) -> str:
    inner = _walk(opened, visit, place, owner)
    if inner == opened and not _repeats_a_key(text):
        return text
    return orjson.dumps(inner).decode()


# The next two loops see nearly every leaf, so the commonest cases of `_walk` are written out in them.


def _walk_object(value: dict[str, Any], visit: Visit, place: _Place) -> dict[str, Any]:
    keys = tuple(value)
    shape = place.shapes.get(keys)
    if shape is None:
        shape = place.shape(keys)
    if not shape:
        return _walk_odd_object(value, visit, place)
    kids, above = place.kids, place.names
    result = {**value}
    renamed: dict[str, Scalar] = {}
    for key, path, names in shape:
        new_key = visit(_leaf(Leaf, (key, path, above, True, value)))
        if new_key is not key:
            renamed[key] = new_key
        child = value[key]
        kind = type(child)
        if kind is str and not (child and child[-1] in _CLOSING):
            new_child: Any = visit(_leaf(Leaf, (child, path, names, False, value)))
            if new_child is not child:
                result[key] = new_child
        elif kind is dict:
            result[key] = _walk_object(child, visit, kids.get(key) or place.kid(key))
        elif kind is list:
            result[key] = _walk_list(child, visit, kids.get(key) or place.kid(key))
        elif kind in _PLAIN:
            result[key] = visit(_leaf(Leaf, (child, path, names, False, value)))
        else:
            result[key] = _walk(child, visit, kids.get(key) or place.kid(key), value)
    return _renamed(result, renamed) if renamed else result


def _walk_list(value: list[Any], visit: Visit, place: _Place) -> list[Any]:
    if not value:
        return []
    at = place.items or place.item()
    if at.depth > MAX_DEPTH:
        raise _too_deep()
    if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str | int | float | list):
        named = at.called((value[0], *at.names))
        return [_walk(value[0], visit, at, None), _walk(value[1], visit, named, None)]
    path, names = at.path, at.names
    walked: list[Any] = []
    for item in value:
        kind = type(item)
        if kind is dict:
            walked.append(_walk_object(item, visit, at))
        elif kind in _PLAIN or (kind is str and not (item and item[-1] in _CLOSING)):
            walked.append(visit(_leaf(Leaf, (item, path, names, False, None))))
        else:
            walked.append(_walk(item, visit, at, None))
    return walked


def _walk_odd_object(value: dict[str, Any], visit: Visit, place: _Place) -> dict[str, Any]:
    """Any object: it may be a pair or a table, its keys may be JSON, and it may be as deep as is allowed."""
    lent, columns = _lent_names(value), _columns(value)
    result: dict[str, Any] = {}
    renamed: dict[str, Scalar] = {}
    for key, child in value.items():
        at = place.kid(key)
        opened = _open(key)
        if opened is None:
            renamed[key] = visit(_leaf(Leaf, (key, at.path, place.names, True, value)))
        else:
            inside = _Place(at.path + "{json}", place.names, place.depth + 1)
            renamed[key] = _walk_opened(key, opened, visit, inside, value)
        if lent:
            if key in _PAIR_VALUES:
                at = at.called((*lent, *at.names))
            elif key in _PAIR_KEYS and isinstance(child, str) and _FIELD_NAME.fullmatch(child):
                at = at.called(place.names)
        if columns and key in _ROWS and isinstance(child, list):
            result[key] = _walk_rows(child, columns, visit, at)
        else:
            result[key] = _walk(child, visit, at, value)
    return _renamed(result, renamed)


def _renamed(result: dict[str, Any], renamed: dict[str, Scalar]) -> dict[str, Any]:
    """An object with the keys that `renamed` has for its own, or these with a suffix."""
    named: dict[str, Any] = {}
    for key, child in result.items():
        wanted = str(renamed.get(key, key))
        unique, copies = wanted, 1
        while unique in named or (unique != key and unique in result):
            copies += 1
            unique = f"{wanted}#{copies}"
        named[unique] = child
    return named


def _walk_rows(rows: list[Any], columns: list[str], visit: Visit, place: _Place) -> list[Any]:
    at = place.item()
    if at.depth > MAX_DEPTH:
        raise _too_deep()
    cell = at.item()
    cells = [cell.called((column, *cell.names)) for column in columns]
    walked: list[Any] = []
    for row in rows:
        if isinstance(row, list) and len(row) == len(columns):
            walked.append([_walk(child, visit, of, None) for of, child in zip(cells, row, strict=True)])
        else:
            walked.append(_walk(row, visit, at, None))
    return walked


def _too_deep() -> RecordInvalid:
    return RecordInvalid("too_deep", detail=f"more than {MAX_DEPTH} levels")


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
