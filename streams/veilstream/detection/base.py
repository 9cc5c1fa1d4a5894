"""What a recogniser is, and the adapter from Presidio's to ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from veilstream.contracts import Finding

__all__ = ["CONTEXT_SCORE", "Needs", "Recogniser", "context", "from_presidio", "merge"]

CONTEXT_SCORE = 0.6
"""Score of a weak match beside a word that explains it ("passport", "ssn")."""

_CONTEXT_REACH = 48  # characters before a match in which such a word counts

Needs = Literal["digit", "at", "any"]


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Finds one kind (or a few) in a text.

    `needs` and `trigger` are sound prefilters: a text without that character, or without a match of
    `trigger`, cannot hold what `find` looks for. `find` must be linear in the text."""

    name: str
    find: Callable[[str], Iterable[Finding]]
    needs: Needs = "any"
    trigger: re.Pattern[str] | None = None


def context(words: str) -> re.Pattern[str]:
    """A pattern of words, `|` between them, that explain a number when they stand before it."""
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


def from_presidio(
    name: str,
    recogniser: Any,
    *,
    trigger: str,
    needs: Needs = "digit",
    kind: str | None = None,
    explained_by: re.Pattern[str] | None = None,
    floor: float = 0.3,
) -> Recogniser:
    """Wrap a Presidio pattern recogniser.

    Presidio raises weak scores by context words from a language model, which the `no_op` engine does not
    have; here a word of `explained_by` shortly before the match does it. What stays below `floor` is
    dropped."""

    def find(text: str) -> Iterable[Finding]:
        for result in recogniser.analyze(text, [], None):
            score = float(result.score)
            if (
                explained_by is not None
                and score < CONTEXT_SCORE
                and explained_by.search(text, max(0, result.start - _CONTEXT_REACH), result.start)
            ):
                score = CONTEXT_SCORE
            if score >= floor:
                yield Finding(result.start, result.end, kind or result.entity_type, score)

    return Recogniser(name, find, needs, re.compile(trigger))


def merge(findings: Sequence[Finding]) -> list[Finding]:
    """Overlapping findings become one that covers them all, of the best one's kind: score, then length."""
    joined: list[Finding] = []
    best: tuple[float, int] = (0.0, 0)
    for finding in sorted(findings, key=lambda f: (f.start, -f.end)):
        rank = (finding.score, finding.end - finding.start)
        if joined and finding.start < joined[-1].end:
            last = joined[-1]
            better = finding if rank > best else last
            joined[-1] = Finding(last.start, max(last.end, finding.end), better.kind, better.score)
            best = max(best, rank)
        else:
            joined.append(finding)
            best = rank
    return joined
