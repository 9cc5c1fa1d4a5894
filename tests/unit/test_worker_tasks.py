"""Tool choice: examples from messages, and the public label set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from veilstream.errors import SettingInvalid
from veilstream.worker.tasks import LabelSet, compose, examples, load_labels, parse_labels

LABELS = LabelSet(["none", "other", "FindBus", "BuyBusTicket"])


def said(role: str, *texts: str, call: str | None = None) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "content": text} for text in texts]
    if call is not None:
        parts.insert(0, {"type": "tool_call", "name": call, "arguments": {"to": "Rome"}})
    return {"role": role, "parts": parts}


def test_a_turn_is_labelled_by_the_next_call_before_the_next_turn() -> None:
    messages = [
        said("system", "You help."),
        said("user", "A bus to Rome"),
        said("assistant", "When?"),
        said("user", "Tomorrow"),
        said("assistant", "Here they are", call="FindBus"),
        {"role": "tool", "parts": [{"type": "tool_call_response", "response": []}]},
        said("assistant", "Anything else?", call="BuyBusTicket"),
        said("user", "No"),
    ]
    found = examples(messages, LABELS)
    assert [(e.label, e.is_call) for e in found] == [(0, False), (2, True), (0, False)]
    assert found[1].text == "Tomorrow | When? | A bus to Rome | You help."


def test_an_unknown_tool_is_other() -> None:
    (found,) = examples([said("user", "hi"), said("assistant", call="SecretInternalTool")], LABELS)
    assert (found.label, found.is_call) == (1, True)


def test_a_tool_response_of_role_user_is_no_turn() -> None:
    messages = [
        said("user", "A bus"),
        {"role": "user", "parts": [{"type": "tool_call_response", "response": 1}]},
        said("assistant", call="FindBus"),
    ]
    assert [e.label for e in examples(messages, LABELS)] == [2]


@pytest.mark.parametrize("messages", [[], [said("assistant", "hello")], [said("user")], [said("user", "  ")]])
def test_nothing_to_learn(messages: list[dict[str, Any]]) -> None:
    assert examples(messages, LABELS) == []


def test_the_turn_comes_first_and_long_messages_are_cut() -> None:
    text = compose("now " * 200, ["first", "x" * 1000, "latest"])
    assert text.startswith("now now")
    assert len(text) < 1300
    assert text.endswith("first")
    assert text.index("latest") < text.index("xxx")


def test_the_built_in_labels() -> None:
    labels = load_labels()
    assert labels.names[:2] == ("none", "other")
    assert len(labels) == 2 + 36 + 8
    assert labels.names[labels.index("FindRestaurants")] == "FindRestaurants"
    assert labels.index("nobody knows") == 1
    assert labels.index(None) == 0


def test_a_file_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "tools.txt"
    path.write_text("# ours\nnone\n\nother\n  search \n")
    assert load_labels(path).names == ("none", "other", "search")
    for wrong in ("none\nsearch\n", "other\n", "none\nother\nsearch\nsearch\n", ""):
        with pytest.raises(SettingInvalid, match=r"worker\.tools"):
            parse_labels(wrong)
    with pytest.raises(SettingInvalid, match="cannot be read"):
        load_labels(tmp_path / "missing")
