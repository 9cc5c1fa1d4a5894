"""Which places of an event hold words of its format, not of a person.

At a **word** the key-name rule does not apply: `name` in a tool call is the tool's. At a **fixed** place
nothing is carried over from the rest of the record either, as long as a word of `FORMAT_WORDS` stands there:
a role that says "user" must stay valid when somebody's account is called "user", and a role that says
"amelia" is a person. At an **id** of the format nothing is carried over where an id stands. Patterns look at
all of them: an address is an address wherever it stands."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from veilstream.detection.words import ROLES, word_set
from veilstream.events.adapters.base import INTERACTION_FIXED, INTERACTION_WORDS
from veilstream.events.walker import Leaf
from veilstream.protection.paths import PathSet

__all__ = ["FORMAT_WORDS", "INTERACTION_STRUCTURE", "Structure"]

FORMAT_WORDS = ROLES | word_set(
    """
    log none stop length tool_calls tool_call tool_call_response function_call content_filter error refusal
    end_turn max_tokens stop_sequence tool_use tool_result pause_turn text reasoning thinking blob file uri
    generic image image_url audio input_audio video document input_text output_text custom
    """
)
"""Roles, finish reasons, types of parts, modalities: what may stand at a fixed place whoever is called so."""

_ID = re.compile(r"[a-z0-9][a-z0-9\-]{0,62}")  # a tenant, or hexadecimal digits


class Structure:
    """The words of one format, as path patterns (`paths`)."""

    def __init__(
        self, words: Sequence[str] = (), *, fixed: Sequence[str] = (), ids: Sequence[str] = ()
    ) -> None:
        self._words = PathSet((*words, *fixed, *ids))
        self._fixed = PathSet(fixed)
        self._ids = PathSet(ids)

    def remembering(self) -> Structure:
        """The same structure, for one record: it looks at each path once."""
        memory = copy.copy(self)
        memory._words = self._words.remembering()
        memory._fixed = self._fixed.remembering()
        memory._ids = self._ids.remembering()
        return memory

    def is_word(self, leaf: Leaf) -> bool:
        return leaf in self._words

    def is_fixed(self, leaf: Leaf) -> bool:
        """Whether the leaf holds what its format puts there: no value of the record is carried to it."""
        if leaf.is_key or not isinstance(leaf.value, str):
            return False
        if leaf in self._fixed:
            return leaf.value.lower() in FORMAT_WORDS
        return leaf in self._ids and _ID.fullmatch(leaf.value) is not None


INTERACTION_STRUCTURE = Structure(words=INTERACTION_WORDS, fixed=INTERACTION_FIXED)
"""Of `ai.veilstream.interaction.v1`."""
