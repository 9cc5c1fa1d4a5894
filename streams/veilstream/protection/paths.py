"""Patterns of JSON paths, for policy rules and for an event's structure.

`*` is one key, `**` any number of steps, `[]` any index, and `?field=a|b` at the end asks that the object
which holds the value has `a` or `b` in `field`. A path that goes on inside an opened string (`{json}`) is
matched too."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from veilstream.events.walker import Leaf

__all__ = ["PATTERN", "PathPattern", "PathSet"]

PATTERN = re.compile(r"[A-Za-z0-9_*.\-\[\]{}:]+(?:\?[A-Za-z0-9_]+=[A-Za-z0-9_\-]+(?:\|[A-Za-z0-9_\-]+)*)?")
_PIECE = re.compile(r"\*\*\.|\*\*|\*|[^*]+")
_MEANING = {"**.": r"(?:.*[.}\]])?", "**": r".*", "*": r"[^.\[\]]*"}


class PathPattern:
    """One pattern."""

    def __init__(self, text: str) -> None:
        if not PATTERN.fullmatch(text):
            raise ValueError("not a path pattern")
        path, _, condition = text.partition("?")
        self.field, _, values = condition.partition("=")
        self.values = frozenset(values.split("|"))
        self.regex = "".join(_MEANING.get(piece) or re.escape(piece) for piece in _PIECE.findall(path))
        self._compiled = re.compile(self.regex + r"(?:\{json\})?", re.DOTALL)

    def matches(self, leaf: Leaf) -> bool:
        return self.fits(leaf.path) and self.allows(leaf.owner)

    def fits(self, path: str) -> bool:
        """Whether the path is the pattern's."""
        return self._compiled.fullmatch(path) is not None

    def allows(self, owner: dict[str, Any] | None) -> bool:
        """Whether the object that holds the value has what the condition asks for."""
        if not self.field:
            return True
        beside = owner.get(self.field) if owner else None
        return isinstance(beside, str) and beside in self.values


class PathSet:
    """Several patterns behind one regular expression, which decides most leaves."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.patterns = [PathPattern(text) for text in texts]
        joined = "|".join(pattern.regex for pattern in self.patterns)
        self._any = re.compile(rf"(?:{joined})(?:\{{json\}})?", re.DOTALL) if self.patterns else None
        self._seen: dict[str, list[tuple[int, PathPattern]]] | None = None

    def remembering(self) -> PathSet:
        """The same set, for one record: it looks at each path once, and keeps what it saw of it."""
        memory = copy.copy(self)
        memory._seen = {}
        return memory

    def find(self, leaf: Leaf) -> int | None:
        """The position of the first pattern that matches the leaf."""
        if self._any is None:
            return None
        fitting = None if self._seen is None else self._seen.get(leaf.path)
        if fitting is None:
            fitting = self._fitting(leaf.path)
            if self._seen is not None:
                self._seen[leaf.path] = fitting
        for position, pattern in fitting:
            if not pattern.field or pattern.allows(leaf.owner):
                return position
        return None

    def _fitting(self, path: str) -> list[tuple[int, PathPattern]]:
        """The patterns that a path fits, with their positions."""
        if self._any is None or not self._any.fullmatch(path):
            return []
        return [(at, pattern) for at, pattern in enumerate(self.patterns) if pattern.fits(path)]

    def __contains__(self, leaf: object) -> bool:
        return isinstance(leaf, Leaf) and self.find(leaf) is not None
