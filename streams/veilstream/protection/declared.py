"""Values that one place of a record declares personal, looked for in all its other places.

`recipient_account_name: "Amelia"` in a tool call takes "send it to Amelia" out of the utterance as well.
Values are compared word by word, in any case and any spelling of Unicode, whatever separates the words, so
that `Amelia Jones` is found in `amelia_jones` and in `JONES`; numbers also with other separators
(`408-971-8523`, `4089718523`).

A value is carried over when it can hardly be anything else: at least three letters or five digits; a common
word (`words.COMMON`) only as it was written, and not at all in lower case. The parts of a person's name are
carried too where they have three letters, unless the name is a firm's. The record's own subject and
conversation are carried at any length above one.

Only the record itself is read. The time is linear in the text, whatever the number of values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from veilstream.contracts import Finding
from veilstream.detection.folding import WITHOUT_WIDTH
from veilstream.detection.words import COMMON, NOT_VALUES, ORGANISATION

__all__ = ["Declared", "normalised"]

_WORD = re.compile(r"[^\W_]+")
_SEEN_WORD = re.compile(
    rf"[^\W_](?:[^\W_]|[\u0300-\u036f{WITHOUT_WIDTH}])*"
)  # accents may stand by themselves
_UNSEEN = re.compile(f"[{WITHOUT_WIDTH}]")
_GAP = 4  # characters that may separate two words of a value: ", " or ") "
_LONGEST_CHARACTERS = 256
_LONGEST_WORDS = 24
_LONGEST_DIGITS = 34
_SCORE = 0.95
_UNIT_SCORE = 2.0  # the subject is the subject, also where it looks like an address
_UNITS = frozenset({"SUBJECT", "CONVERSATION"})
_NOT_CARRIED = frozenset({"BLOB", "FILE", "COORDINATES"})
_WITHOUT_SPACES = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")


def normalised(value: str) -> str:
    """A value as it is compared: its words in folded case, one space between them."""
    words = [word.casefold() for word in _WORD.findall(value)]
    return " ".join(words) if words else value


def _plain(word: str) -> str:
    """A word as it looks: composed, of ordinary width, without what cannot be seen."""
    return word if word.isascii() else unicodedata.normalize("NFKC", _UNSEEN.sub("", word))


def _folded(text: str) -> list[str]:
    """The words of a text in folded case."""
    if text.isascii():  # then lower case is folded case, and no word becomes longer
        return _SEEN_WORD.findall(text.lower())
    return [_plain(word).casefold() for word in _SEEN_WORD.findall(text)]


class Declared:
    """The declared values of one record."""

    def __init__(self) -> None:
        self._folded: dict[tuple[str, ...], str] = {}
        self._exact: dict[tuple[str, ...], str] = {}  # common words, as they were written
        self._lengths: dict[
            str, list[int]
        ] = {}  # by first word: in how many words values go on, longest first
        self._digits: dict[str, str] = {}
        self._literal: dict[str, str] = {}
        self._whole: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._lengths or self._digits or self._literal)

    def add(self, kind: str, value: str) -> None:
        """Declare a value; one that cannot be told from ordinary words is only taken as a whole leaf."""
        value = value.strip()
        unit = kind in _UNITS
        if not value or kind in _NOT_CARRIED or len(value) > _LONGEST_CHARACTERS:
            return
        if unit:
            self._whole.setdefault(value, kind)
        elif value.lower() in NOT_VALUES:
            return
        if _WITHOUT_SPACES.search(value):
            if len(value) >= 2:
                self._literal.setdefault(value, kind)
            return
        words = [_plain(word) for word in _SEEN_WORD.findall(value)]
        if not words or len(words) > _LONGEST_WORDS:
            return
        self._add_words(kind, words, least_letters=2 if unit else 3, least_digits=2 if unit else 5)
        if kind == "PERSON" or (unit and len(words) > 1 and all(word.isalpha() for word in words)):
            self._add_parts(value, words)

    def _add_words(self, kind: str, words: list[str], *, least_letters: int, least_digits: int) -> None:
        joined = "".join(words)
        if joined.isdigit():
            if least_digits <= len(joined) <= _LONGEST_DIGITS:
                self._digits.setdefault(joined, kind)
            return
        if len(joined) < least_letters:
            return
        folded = tuple(word.casefold() for word in words)
        exact = all(word in COMMON or (word.isdigit() and len(word) < 3) for word in folded)
        if exact and all(word.islower() or word.isdigit() for word in words):
            return
        if exact:
            self._exact.setdefault(tuple(words), kind)
        else:
            self._folded.setdefault(folded, kind)
        lengths = self._lengths.setdefault(folded[0], [])
        if len(folded) not in lengths:
            lengths.append(len(folded))
            lengths.sort(reverse=True)

    def _add_parts(self, value: str, words: list[str]) -> None:
        firm = any(word.casefold() in ORGANISATION or word.isdigit() for word in words)
        if firm or len(words) > 5 or "&" in value:
            return
        for word in words:
            if word.isalpha() and len(word) > 2:
                self._add_words("PERSON", [word], least_letters=3, least_digits=5)

    def whole(self, text: str) -> str | None:
        """SUBJECT or CONVERSATION, where the text is just that."""
        return self._whole.get(text.strip())

    def find(self, text: str) -> Iterator[Finding]:
        """Occurrences of declared values; of those that start at one word the longest."""
        for value, kind in self._literal.items():
            at = text.find(value)
            while at >= 0:
                yield Finding(at, at + len(value), kind, _UNIT_SCORE if kind in _UNITS else _SCORE)
                at = text.find(value, at + len(value))
        if not self._lengths and not self._digits:
            return
        folded = _folded(text)
        lengths, digits = self._lengths, bool(self._digits)
        starts = [at for at, word in enumerate(folded) if word in lengths or (digits and word.isdigit())]
        if not starts:
            return
        matches = list(_SEEN_WORD.finditer(text))
        words = [_plain(match[0]) for match in matches]
        for position in starts:
            found = self._at(matches, words, folded, position, folded[position])
            if found is not None:
                end, kind = found
                yield Finding(matches[position].start(), end, kind, _UNIT_SCORE if kind in _UNITS else _SCORE)

    def _at(
        self, matches: list[re.Match[str]], words: list[str], folded: list[str], position: int, first: str
    ) -> tuple[int, str] | None:
        for length in self._lengths.get(first, ()):
            end = position + length
            if end > len(words):
                continue
            kind = self._folded.get(tuple(folded[position:end])) or self._exact.get(
                tuple(words[position:end])
            )
            if kind is not None and all(
                matches[i + 1].start() - matches[i].end() <= _GAP for i in range(position, end - 1)
            ):
                return matches[end - 1].end(), kind
        if self._digits and first.isdigit():
            return self._digits_at(matches, words, position)
        return None

    def _digits_at(
        self, matches: list[re.Match[str]], words: list[str], position: int
    ) -> tuple[int, str] | None:
        joined, found = "", None
        for i in range(position, len(words)):
            if not words[i].isdigit() or len(joined) + len(words[i]) > _LONGEST_DIGITS:
                break
            if i > position and matches[i].start() - matches[i - 1].end() > _GAP:
                break
            joined += words[i]
            kind = self._digits.get(joined)
            if kind is not None:
                found = (matches[i].end(), kind)
        return found
