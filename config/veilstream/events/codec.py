"""Bytes to a checked value, and back.

JSON by orjson, which refuses what is not UTF-8, lone surrogates, NaN and nesting beyond 1,024 levels; the
value is then checked against its type's schema.
"""

from __future__ import annotations

from typing import Any

import orjson

from veilstream.errors import RecordInvalid
from veilstream.events.types import TYPES, contract_words, validator

__all__ = ["MAX_DEPTH", "check", "decode", "dumps", "loads", "safe_path"]

MAX_DEPTH = 64
"""Deepest nesting of a value that is processed: JSON inside strings counts. More goes to quarantine."""


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON, keys in the order given."""
    return orjson.dumps(value)


def loads(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        RecordInvalid: `not_json` or `too_deep`; where, in bytes, never what.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        kind = "too_deep" if "depth limit" in error.msg else "not_json"
        raise RecordInvalid(kind, detail=f"byte {error.pos} of {len(data)}") from None


def safe_path(ce_type: str, parts: list[str | int]) -> str:
    """A JSON path with only the contract's words in it: any other key may be personal data."""
    words = contract_words(ce_type)
    path = "$"
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part if part in words else '*'}"
    return path


def check(ce_type: str, value: Any) -> None:
    """Check a value against its type's schema.

    Raises:
        RecordInvalid: `unknown_type` or `schema`, with the path and the rule that was broken.
    """
    if ce_type not in TYPES:
        raise RecordInvalid("unknown_type", "$headers.ce_type")
    checker = validator(ce_type)
    if checker.is_valid(value):
        return
    error = next(iter(checker.iter_errors(value)))
    raise RecordInvalid("schema", safe_path(ce_type, list(error.instance_path)), detail=error.kind.name)


def decode(ce_type: str, data: bytes | None) -> dict[str, Any]:
    """Parse and check a record's value."""
    if ce_type not in TYPES:
        raise RecordInvalid("unknown_type", "$headers.ce_type")
    value = loads(data or b"")
    check(ce_type, value)
    return value  # type: ignore[no-any-return]  # the schema says it is an object
