"""Tool choice: from a user's turn and what came before it, the tool of the next call, or none.

The label set is public: a file of names, or the built-in one. It is never derived from data, and a tool that
is not in it becomes "other": which rare tool somebody used does not show in the shape of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from veilstream.errors import SettingInvalid

__all__ = ["NONE", "OTHER", "Example", "LabelSet", "compose", "examples", "load_labels", "parse_labels"]

NONE = "none"
OTHER = "other"

_CONTEXT_MESSAGES = 4
_MESSAGE_CHARACTERS = 400
_SEPARATOR = " | "


@dataclass(frozen=True, slots=True)
class Example:
    """A text and the index of its label."""

    text: str
    label: int
    is_call: bool


class LabelSet:
    """The public labels, in the order of the model's outputs."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._index = {name: number for number, name in enumerate(self.names)}
        if len(self._index) != len(self.names):
            raise SettingInvalid("worker.tools: a tool is named twice", hint="one name a line, each once")
        if NONE not in self._index or OTHER not in self._index:
            raise SettingInvalid(
                f"worker.tools: {NONE!r} and {OTHER!r} must be in the list", hint="add them, one a line"
            )

    def __len__(self) -> int:
        return len(self.names)

    def index(self, tool: str | None) -> int:
        """Of the tool; of "none" for None, of "other" for a tool that is not in the set."""
        return self._index[NONE] if tool is None else self._index.get(tool, self._index[OTHER])


def parse_labels(text: str) -> LabelSet:
    """Names, one a line; empty lines and lines that begin with `#` are not names."""
    lines = (line.strip() for line in text.splitlines())
    return LabelSet([line for line in lines if line and not line.startswith("#")])


def load_labels(path: Path | None = None) -> LabelSet:
    """The label set of a file, or the built-in one.

    Raises:
        SettingInvalid: the file cannot be read, names a tool twice, or lacks "none" or "other".
    """
    if path is None:
        return parse_labels(files("veilstream.worker").joinpath("tools.txt").read_text(encoding="utf-8"))
    try:
        return parse_labels(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"worker.tools: {path} cannot be read ({type(error).__name__})",
            hint="a text file, one name a line",
        ) from None


def examples(messages: Iterable[Mapping[str, Any]], labels: LabelSet) -> list[Example]:
    """The examples of one conversation, in order: one for each user turn that says something.

    The label is the first tool call after the turn and before the next one. A message of role `user` that
    only carries a tool's response is no turn.
    """
    turns = [(str(m.get("role", "")), _text(m), _first_call(m)) for m in messages]
    found: list[Example] = []
    for position, (role, text, _) in enumerate(turns):
        if role != "user" or not text:
            continue
        tool = None
        for next_role, next_text, call in turns[position + 1 :]:
            if next_role == "user" and next_text:
                break
            if call is not None:
                tool = call
                break
        before = [said for _, said, _ in turns[:position] if said]
        found.append(Example(compose(text, before), labels.index(tool), tool is not None))
    return found


def compose(text: str, before: Sequence[str] = ()) -> str:
    """The text that the encoder sees: the turn first, then what came before it, the latest first.

    An encoder that cuts at the end so keeps the turn itself.
    """
    latest = list(reversed(before[-_CONTEXT_MESSAGES:]))
    return _SEPARATOR.join(part[:_MESSAGE_CHARACTERS] for part in (text, *latest))


def _text(message: Mapping[str, Any]) -> str:
    parts = message.get("parts", ())
    said = (str(part.get("content", "")) for part in parts if part.get("type") == "text")
    return " ".join(" ".join(said).split())


def _first_call(message: Mapping[str, Any]) -> str | None:
    for part in message.get("parts", ()):
        if part.get("type") == "tool_call":
            return str(part.get("name", ""))
    return None
