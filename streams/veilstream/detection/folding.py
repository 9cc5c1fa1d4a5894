"""Unicode spellings that look like plain text and hide from patterns, folded away before these look.

Full-width letters and digits, the digits of other scripts, no-break and thin spaces, typographic dashes
between digits, and characters without width (a soft hyphen, a zero-width space) inside a word. People type
the first, word processors and web pages put the others in: `4111 1111 1111 1111` copied from a page has
no-break spaces in it.

A finding's place is that of the text as it was. Text in ASCII is not looked at twice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

__all__ = ["WITHOUT_WIDTH", "fold"]

WITHOUT_WIDTH = "\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
"""Inside a character class: what shows nothing, and so may stand anywhere in a value."""

_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63"
_FOLDED = re.compile(
    rf"(?P<nothing>[{WITHOUT_WIDTH}])"
    r"|(?P<space>[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000])"
    rf"|(?P<dash>(?<=\d)[{_DASHES}](?=\d))"
    r"|(?P<other>[\uff01-\uff5e\ufe52\ufe6b]|(?![0-9])\d)"
)


def fold(text: str) -> tuple[str, Callable[[int, int], tuple[int, int]]]:
    """The text as patterns should see it, and a function from a span of it to the span in `text`."""
    if text.isascii() or _FOLDED.search(text) is None:
        return text, _same
    pieces: list[str] = []
    places: list[int] = []  # of each character of what comes out
    at = 0
    for match in _FOLDED.finditer(text):
        new = _new(match)
        pieces += (text[at : match.start()], new)
        places += range(at, match.start())
        places += [match.start()] * len(new)
        at = match.end()
    pieces.append(text[at:])
    places += range(at, len(text))

    def back(start: int, end: int) -> tuple[int, int]:
        if start >= end:
            return (places[start] if start < len(places) else len(text),) * 2
        return places[start], places[end - 1] + 1

    return "".join(pieces), back


def _same(start: int, end: int) -> tuple[int, int]:
    return start, end


def _new(match: re.Match[str]) -> str:
    if match["nothing"]:
        return ""
    if match["space"]:
        return " "
    if match["dash"]:
        return "-"
    digit = unicodedata.decimal(match[0], None)
    return str(digit) if digit is not None else unicodedata.normalize("NFKC", match[0])
