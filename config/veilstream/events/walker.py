"""Visits every leaf of a JSON value: values and keys, and what hides in strings that are JSON themselves.

The walk is a pure rewrite: `rewrite(value, visit)` returns a new value in which each leaf is what `visit`
made of it. What a leaf is told about itself:

* `path`: JSON path with `[]` for any index and `{json}` where a string was opened, e.g.
  `messages[].parts[].arguments{json}.email`. It can hold personal data (keys can): never log it.
* `names`: the key names above the leaf, nearest first. A pair object such as `{"key": "user.email",
  "value": …}` (OTLP attributes, header lists, slots) lends its key to its value.
* `is_key`: the leaf is an object's key.

Strings that hold a JSON object or array are opened, walked, and written back compactly if anything
changed; JSON inside JSON inside strings as well, as deep as `MAX_DEPTH` allows in all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from veilstream.errors import RecordInvalid
from veilstream.events.codec import MAX_DEPTH

__all__ = ["Leaf", "rewrite"]

Scalar = str | int | float | bool | None

_PAIR_KEYS = ("key", "name", "slot", "field")
_PAIR_VALUES = ("value", "values")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar in its place."""

    value: Scalar
    path: str
    names: tuple[str, ...]
    is_key: bool = False


Visit = Callable[[Leaf], Scalar]


def rewrite(value: Any, visit: Visit, *, path: str = "", names: tuple[str, ...] = ()) -> Any:
    """Return `value` with every leaf replaced by what `visit` returns for it.

    A key that `visit` changes to one that is taken already gets a suffix (`#2`), so nothing is lost.

    Raises:
        RecordInvalid: `too_deep`, when nesting (opened strings included) passes `MAX_DEPTH`.
    """
    return _walk(value, visit, path, names, 0)


def _walk(value: Any, visit: Visit, path: str, names: tuple[str, ...], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise RecordInvalid("too_deep", detail=f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return _walk_object(value, visit, path, names, depth)
    if isinstance(value, list):
        return [_walk(item, visit, path + "[]", names, depth + 1) for item in value]
    if isinstance(value, str):
        opened = _open(value)
        if opened is not None:
            inner = _walk(opened, visit, path + "{json}", names, depth + 1)
            return value if inner == opened else orjson.dumps(inner).decode()
    return visit(Leaf(value, path, names))


def _walk_object(
    value: dict[str, Any], visit: Visit, path: str, names: tuple[str, ...], depth: int
) -> dict[str, Any]:
    lent = _lent_name(value)
    result: dict[str, Any] = {}
    for key, child in value.items():
        below = f"{path}.{key}" if path else key
        new_key = str(visit(Leaf(key, below, names, is_key=True)))
        child_names = (key, *names)
        if lent is not None and key in _PAIR_VALUES:
            child_names = (lent, *child_names)
        new_child = _walk(child, visit, below, child_names, depth + 1)
        unique, copies = new_key, 1
        while unique in result or (unique != key and unique in value):
            copies += 1
            unique = f"{new_key}#{copies}"
        result[unique] = new_child
    return result


def _lent_name(value: dict[str, Any]) -> str | None:
    if any(name in value for name in _PAIR_VALUES):
        for name in _PAIR_KEYS:
            text = value.get(name)
            if isinstance(text, str):
                return text
    return None


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
