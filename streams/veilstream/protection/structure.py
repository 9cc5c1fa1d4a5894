"""Which places of an event hold words of its format, not of a person.

At a **word** the key-name rule does not apply: `name` in a tool call is the tool's. At a **fixed** place
nothing is carried over from the rest of the record either: a role that says "user" must stay valid when
somebody's account is called "user". Patterns look at both: an address is an address wherever it stands."""

from __future__ import annotations

from collections.abc import Sequence

from veilstream.events.walker import Leaf
from veilstream.protection.paths import PathSet

__all__ = ["INTERACTION_STRUCTURE", "Structure"]


class Structure:
    """The words of one format, as path patterns (`paths`)."""

    def __init__(self, words: Sequence[str] = (), *, fixed: Sequence[str] = ()) -> None:
        self._words = PathSet((*words, *fixed))
        self._fixed = PathSet(fixed)

    def is_word(self, leaf: Leaf) -> bool:
        return leaf in self._words

    def is_fixed(self, leaf: Leaf) -> bool:
        return leaf in self._fixed


INTERACTION_STRUCTURE = Structure(
    words=(
        "messages[].parts[].name?type=tool_call",
        "messages[].parts[].id?type=tool_call|tool_call_response",
        "messages[].name?role=tool|function",
        "attributes.tools.**",
        "attributes.tools[].**",
    ),
    fixed=(
        "messages[].role",
        "messages[].finish_reason",
        "messages[].parts[].type",
        "messages[].parts[].modality",
        "messages[].parts[].mime_type",
    ),
)
"""Of `ai.veilstream.interaction.v1`."""
