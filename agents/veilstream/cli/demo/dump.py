"""What each topic holds at the end, and what of the planted values is in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from veilstream.events.topics import CATALOGUE, topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import read_to_end

__all__ = ["Planted", "count_leaked", "read_topics", "write_dump"]

Planted = tuple[str, str, str]  # conversation, kind, value

_GRAM = 8
_NUMBER = re.compile(r"(?<![0-9a-z])[0-9]{9,}(?![0-9a-z])")  # a number by itself, not a part of a hash


async def read_topics(kafka: KafkaSettings) -> dict[str, list[dict[str, Any]]]:
    """Every record of every topic: place, key, headers, value; text where it is UTF-8, else base64."""
    held: dict[str, list[dict[str, Any]]] = {}
    for short in CATALOGUE:
        rows = held.setdefault(short, [])
        async for record in read_to_end(kafka, topic_name(kafka, short)):
            rows.append(
                {
                    "partition": record.partition,
                    "offset": record.offset,
                    "timestamp_ms": record.timestamp,
                    "key": _text(record.key),
                    "headers": [[name, _text(value)] for name, value in record.headers],
                    "value": _text(record.value),
                }
            )
    return held


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()


def count_leaked(
    planted: Iterable[Planted], held: dict[str, list[dict[str, Any]]], logs: Iterable[str]
) -> int:
    """How many planted values can be found outside the raw topic, in any topic or in the roles' logs.

    The search ignores case, and looks for the value as it is, as JSON writes it, and as its digits alone
    where it is mostly digits. It takes one pass over the text, whatever the number of values.
    """
    texts = [orjson.dumps(rows).decode() for short, rows in held.items() if short != "interactions.raw"]
    haystack = "\n".join([*texts, *logs]).lower()
    numbers = set(_NUMBER.findall(haystack))
    starts: dict[str, list[tuple[str, Planted]]] = {}
    leaked: set[Planted] = set()
    for item in planted:
        text = item[2].lower()
        for form in {text, _escaped(text), _escaped(_escaped(text))}:
            if len(form) < _GRAM:
                leaked |= {item} if form in haystack else set()
            starts.setdefault(form[:_GRAM], []).append((form, item))
        digits = "".join(c for c in text if c.isdigit())
        if len(digits) >= 9 and 2 * len(digits) >= len(text) and digits in numbers:
            leaked.add(item)
    for at in range(len(haystack) - _GRAM + 1):
        for form, item in starts.get(haystack[at : at + _GRAM], ()):
            if haystack.startswith(form, at):
                leaked.add(item)
    return len(leaked)


def _escaped(text: str) -> str:
    """As it stands inside a JSON string."""
    return orjson.dumps(text).decode()[1:-1]


def write_dump(folder: Path, planted: Iterable[Planted], held: dict[str, list[dict[str, Any]]]) -> None:
    """`planted.jsonl`, and a file a topic, a record a line."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # it holds the raw topic as well
    rows = ({"conversation": c, "kind": k, "value": v} for c, k, v in planted)
    _write_lines(folder / "planted.jsonl", rows)
    for short, records in held.items():
        _write_lines(folder / f"{short}.jsonl", records)


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("wb") as out:
        for row in rows:
            out.write(orjson.dumps(row) + b"\n")
