"""The pattern engine: every recogniser of `recognisers.ALL`, behind cheap prefilters.

It calls Presidio's recognisers themselves and not `AnalyzerEngine.analyze`. With the `no_op` engine that
adds nothing (no tokens, no lemmas, no context words), and it takes an artefact object, a trace and a sort for
every text. `veilstream bench` measures both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser
from veilstream.detection.folding import fold
from veilstream.detection.recognisers import build
from veilstream.detection.version import engine_version

__all__ = ["PatternEngine"]

_DIGIT = re.compile(r"\d")


class PatternEngine:
    """`Detector` over patterns. Findings may overlap, and are sorted by start; see `base.merge`."""

    def __init__(self, recognisers: Sequence[Recogniser] | None = None) -> None:
        self._recognisers = tuple(build() if recognisers is None else recognisers)
        self._always = [r for r in self._recognisers if r.needs == "any"]
        self._on_digit = [r for r in self._recognisers if r.needs == "digit"]
        self._on_at = [r for r in self._recognisers if r.needs == "at"]

    @property
    def version(self) -> str:
        return engine_version()

    def find(self, text: str) -> Sequence[Finding]:
        """Personal data in a text; empty for an empty text. Offsets are in code points."""
        text, back = fold(text)
        candidates = list(self._always)
        if _DIGIT.search(text):
            candidates += self._on_digit
        if "@" in text:
            candidates += self._on_at
        found: list[Finding] = []
        for recogniser in candidates:
            if recogniser.trigger is None or recogniser.trigger.search(text):
                found += recogniser.find(text)
        found = [Finding(*back(f.start, f.end), f.kind, f.score) for f in found]
        if len(found) > 1:
            found.sort(key=lambda f: (f.start, -f.end, f.kind))
        return found
