"""docs/policy.md says what the code does: every kind and its action, and a format that is accepted."""

from __future__ import annotations

import re
from pathlib import Path

from veilstream.detection import KINDS
from veilstream.protection import load_policy
from veilstream.protection.policy import parse_policy

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text("utf-8")


def test_every_kind_stands_in_the_table() -> None:
    strict = load_policy("strict")
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+) \| (\w+) \|$", PAGE, re.MULTILINE)
    assert {kind: (text, action) for kind, text, action in rows} == {
        kind: (text, strict.action(kind)) for kind, text in KINDS.items()
    }


def test_the_example_is_a_policy() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    policy = parse_policy(example)
    assert policy.action("URL") == "keep"
    assert len(policy.rules) == 1
