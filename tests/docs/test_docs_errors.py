"""docs/errors.md has every code, with its exit code, and every kind of an invalid record; and no others."""

from __future__ import annotations

import re
from pathlib import Path

from veilstream.errors import CATALOGUE, RecordInvalid
from veilstream.events.codec import MAX_DEPTH

TEXT = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
CODES, KINDS = TEXT.split("## Kinds of an invalid record")


def test_every_code_with_its_exit_code() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", CODES, flags=re.MULTILINE))
    assert {code: int(exit_code) for code, exit_code in rows.items()} == {
        code: error.exit_code for code, error in CATALOGUE.items()
    }


def test_every_kind_and_what_to_do() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \| ([^|]+) \|$", KINDS, flags=re.MULTILINE)
    assert [kind for kind, *_ in rows] == list(RecordInvalid.KINDS)
    assert all(happened.strip() and action.strip() for _, happened, action in rows)


def test_the_depth_is_the_walkers() -> None:
    assert f"deeper than {MAX_DEPTH} levels" in KINDS
