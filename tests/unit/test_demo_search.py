"""The search for planted values must find them: each test puts a leak in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from veilstream.cli.demo.dump import Planted, count_leaked, write_dump

PLANTED: list[Planted] = [
    ("c-1", "PERSON", "Ann Lee"),
    ("c-1", "EMAIL_ADDRESS", "ann.lee@example.com"),
    ("c-1", "US_SSN", "219-45-6789"),
    ("c-1", "ADDRESS", 'Flat "B", 12 Larkspur Lane'),
]


def held(
    value: object, topic: str = "interactions.protected", **fields: Any
) -> dict[str, list[dict[str, Any]]]:
    row = {"partition": 0, "offset": 0, "timestamp_ms": 0, "key": None, "headers": [], **fields}
    return {topic: [{**row, "value": orjson.dumps(value).decode()}]}


def test_clean_is_zero() -> None:
    assert count_leaked(PLANTED, held({"text": "<PERSON> wrote from <EMAIL_ADDRESS>"}), []) == 0


def test_raw_topic_does_not_count() -> None:
    assert count_leaked(PLANTED, held("Ann Lee", topic="interactions.raw"), []) == 0


@pytest.mark.parametrize(
    "leak",
    [
        "Ann Lee",
        "ANN LEE",
        "mail ann.lee@example.com now",
        "ssn 219-45-6789",
        "ssn 219456789",
    ],
)
def test_leak_in_a_value_is_found(leak: str) -> None:
    assert count_leaked(PLANTED, held({"text": leak}), []) == 1


def test_number_in_a_hash_is_no_leak() -> None:
    assert count_leaked(PLANTED, held({"hash": "a219456789f"}), []) == 0


def test_json_escapes_do_not_hide_a_value() -> None:
    assert count_leaked(PLANTED, held({"text": 'Flat "B", 12 Larkspur Lane'}), []) == 1


def test_leak_in_a_key_a_header_a_log_is_found() -> None:
    assert count_leaked(PLANTED, held({}, key="ann.lee@example.com"), []) == 1
    assert count_leaked(PLANTED, held({}, headers=[["ce_id", "ann lee"]]), []) == 1
    assert count_leaked(PLANTED, held({}), ["error: Ann Lee"]) == 1


def test_dump_writes_what_was_planted_and_every_topic(tmp_path: Path) -> None:
    write_dump(tmp_path, PLANTED, held({"a": 1}))
    assert len((tmp_path / "planted.jsonl").read_bytes().splitlines()) == len(PLANTED)
    row = orjson.loads((tmp_path / "interactions.protected.jsonl").read_bytes())
    assert row["value"] == '{"a":1}'
