"""Names of people where the text itself says that a name follows: "my name is …", "Mrs …", "Dear …".

Ours. A name in running text without such a word is not found (see the room's docstring).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser
from veilstream.detection.words import COMMON

__all__ = ["build"]

_WORD = r"[^\W\d_][^\W\d_]*(?:['’\-][^\W\d_]+)*\.?"
_CAPITAL = r"(?:[A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻĽŁŃŅŇŌŐŒŔŘŚŞŠŤŪŮŰŲŹŻŽ]" + r"[^\W\d_]*(?:['’\-][^\W\d_]+)*)"
_PARTICLE = r"(?:de|del|della|da|di|dos|van|von|der|den|la|le|bin|al|el|ibn|ter)"
_NAME = rf"{_CAPITAL}(?:\.?\s{{1,2}}(?:{_PARTICLE}\s){{0,2}}{_CAPITAL}){{0,3}}"

_TITLE = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Madam|Señor|Señora|Herr|Frau|Monsieur|Madame)\.?\s{{1,2}}({_NAME})"
)
_SAYS = re.compile(
    r"(?i:\b(?:my|his|her|their|the (?:customer|patient|passenger|client|guest)'?s?)\s"
    r"(?:full\s|first\s|last\s)?name(?:'s|\sis|\swas)|\bname'?s|\bi am called|\bthey call me"
    rf"|\bunder the name(?: of)?|\bin the name of|\bon behalf of|\bspeaking with|\bspeak to"
    rf"|\bsincerely,?|\bregards,?|\bdear|\bsigned,?|\battn:?|\bc/o)\s{{1,3}}({_NAME})"
)
_SAYS_LOWER = re.compile(rf"(?i:\bmy\s(?:full\s)?name(?:'s|\sis))\s{{1,3}}({_WORD}(?:\s{_WORD})?)")
_IS = re.compile(
    rf"\b(?:I am|I'm|I’m|[Tt]his is)\s({_CAPITAL}\s{_CAPITAL})"
    r"(?=\s*(?:[.,;!?)]|$|\s(?:and|from|with|calling|here|speaking)\b))"
)


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        for pattern in (_TITLE, _SAYS, _IS):
            for match in pattern.finditer(text):
                yield from _accept(text, match.start(1), match.end(1), 0.6)
        for match in _SAYS_LOWER.finditer(text):
            words = match[1].split()
            kept = [word for word in words if word.lower().strip(".") not in COMMON]
            if words and kept and words[0] == kept[0]:
                end = match.start(1) + len(match[1] if len(kept) == len(words) else words[0])
                yield from _accept(text, match.start(1), end, 0.5)

    return Recogniser(
        "person",
        find,
        "any",
        re.compile(
            r"(?i)\bname|\b(?:mr|mrs|ms|miss|mx|dr|prof|professor|sir|madam|señor|señora|herr|frau|monsieur|madame)\b"
            r"|\bi['’]?\s?a?m\b|\bthis is\b|\bdear\b|\bregards\b|\bsincerely\b|\bsigned\b|\battn\b"
            r"|c/o|call me|behalf of|speak"
        ),
    )


def _accept(text: str, start: int, end: int, score: float) -> Iterable[Finding]:
    """Drop common words from the end, and the finding where nothing else is left."""
    words = text[start:end].split()
    while words and words[-1].lower().strip(".,'’") in COMMON and len(words) > 1:
        words.pop()
    name = " ".join(words).rstrip(".")
    if name and name.lower() not in COMMON:
        length = len(name) if text.startswith(name, start) else end - start
        yield Finding(start, start + length, "PERSON", score)
