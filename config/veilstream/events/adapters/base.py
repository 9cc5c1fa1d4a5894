"""What the adapters share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from veilstream.errors import RecordInvalid
from veilstream.events.codec import check
from veilstream.events.types import INTERACTION

__all__ = [
    "INTERACTION_FIXED",
    "INTERACTION_WORDS",
    "Adapter",
    "deterministic_id",
    "interaction",
    "part",
    "refuse",
    "text",
    "tool_words",
]

_LONGEST_ID = 256


@dataclass(frozen=True)
class Adapter:
    """One format."""

    name: str
    reader: Callable[[Any, str, str | None], list[dict[str, Any]]]
    words: Sequence[str] = ()
    fixed: Sequence[str] = ()
    ids: Sequence[str] = ()

    def read(self, obj: Any, *, tenant: str, subject: str | None) -> list[dict[str, Any]]:
        """The interactions in one parsed line.

        Args:
            obj: the line, parsed. It is not changed, and parts of it are shared with the result.
            tenant: whose it is.
            subject: whom it is about; where it is None the line may say so itself.

        Raises:
            RecordInvalid: not of this format; the path has only words of the format.
        """
        try:
            interactions = self.reader(obj, tenant, subject)
            for value in interactions:
                check(INTERACTION, value)
        except RecordInvalid:
            raise
        except Exception as error:
            # Not a Python value that JSON has, or nested beyond reason.
            raise RecordInvalid("schema", "$", detail=type(error).__name__) from None
        return interactions


def refuse(path: str, takes: str) -> NoReturn:
    """The line is not of the format: where, and what should stand there."""
    raise RecordInvalid("schema", path, detail=f"takes {takes}")


def interaction(
    *,
    conversation: str,
    messages: list[dict[str, Any]],
    tenant: str,
    subject: str | None,
    attributes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    value: dict[str, Any] = {"conversation": conversation, "messages": messages}
    if attributes:
        value["attributes"] = attributes
    value["privacy"] = {"tenant": tenant, "subject": subject}
    return value


def deterministic_id(obj: Any) -> str:
    """An id for a line that has none: the same for the same line."""
    canonical = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    return "sha256-" + hashlib.sha256(canonical).hexdigest()


def text(value: Any) -> str | None:
    """A non-empty string that can be an id, or None."""
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID else None


_NEEDS: dict[str, tuple[str, type | None]] = {
    "text": ("content", str),
    "reasoning": ("content", str),
    "tool_call": ("name", str),
    "tool_call_response": ("response", None),
    "blob": ("content", str),
    "file": ("file_id", str),
    "uri": ("uri", str),
    "generic": ("type", str),
}


_TOOL_NAMES = (".name", "[].name", ".*.name", "[].function.name", "[].custom.name")
_SCHEMA_WORDS = (
    *("type", "type[]", "title", "description", "format", "pattern", "required[]", "*ref"),
    *("min*", "max*", "exclusive*", "multipleOf"),
)


def tool_words(at: str) -> list[str]:
    """Paths, below `at`, that hold the words of tool definitions and of JSON Schema.

    Below `properties.first_name` stand `type` and `description`, which are nobody's name. What stands at any
    other place there (`default`, `examples`, `enum`, a key that no schema knows) can be somebody's.
    """
    return [f"{at}{name}" for name in _TOOL_NAMES] + [f"{at}**.{word}" for word in _SCHEMA_WORDS]


def part(value: Any) -> dict[str, Any]:
    """A part of the contract's model as it is; anything else whole inside a generic part."""
    if isinstance(value, dict):
        said = value.get("type")
        needs = _NEEDS.get(said) if isinstance(said, str) else None
        if needs is not None and needs[0] in value and _optional_fields_hold(value):
            field, kind = needs
            if kind is None or isinstance(value[field], kind):
                return value
    elif isinstance(value, str):
        return {"type": "text", "content": value}
    return {"type": "generic", "value": value}


def _optional_fields_hold(value: dict[str, Any]) -> bool:
    for name, null in (("id", True), ("modality", False), ("mime_type", True)):
        found = value.get(name, "")
        if not (isinstance(found, str) or (null and found is None)):
            return False
    return True


INTERACTION_WORDS: tuple[str, ...] = (
    "messages[].parts[].name?type=tool_call",
    "messages[].parts[].id?type=tool_call|tool_call_response",
    "messages[].name?role=tool|function",
    *tool_words("attributes.tools"),
)
"""Format words of `ai.veilstream.interaction.v1`: places whose key names say nothing of a person."""

INTERACTION_FIXED: tuple[str, ...] = (
    "messages[].role",
    "messages[].finish_reason",
    "messages[].parts[].type",
    "messages[].parts[].modality",
    "messages[].parts[].mime_type",
)
"""Its places that hold what the format puts there."""
