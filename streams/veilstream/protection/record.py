"""One record: collect what is personal in it, then take it out.

Two visits of the same leaves. `collect` asks the patterns and the key names and declares what they say;
`apply` replaces. What the patterns found in a text is remembered between the two, for this record alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from veilstream.contracts import Detector, Finding
from veilstream.detection import kind_of_names, person_word
from veilstream.detection.base import merge
from veilstream.detection.words import COMMON, NOT_VALUES, ROLES
from veilstream.events.walker import Leaf, Scalar
from veilstream.protection.declared import Declared, normalised
from veilstream.protection.placeholders import OPAQUE, is_opaque, placeholder
from veilstream.protection.policy import Policy
from veilstream.protection.structure import Structure
from veilstream.protection.tokens import Tokens

__all__ = ["Record"]

_PLAIN_NAME = re.compile(r"[A-Za-z_\-]{1,64}")
_UNSPOKEN = " redacted "
_ROUNDS = 8  # a replaced text is looked at again until nothing is found; two rounds do, as a rule
_NUMBER_DIGITS = 7  # a shorter number without a speaking key is a number
_OWN_VALUE_WORDS = 4  # `{"passenger": "Jane Doe"}`: as long as a name, not as a sentence
_OWN_VALUE_CHARACTERS = 64
_NEEDS_LETTERS = frozenset({"PERSON"})  # `{"people": 2}` counts them


class Record:
    """The state of one record's protection; make a new one for each."""

    def __init__(
        self,
        detector: Detector,
        policy: Policy,
        tokens: Tokens,
        structure: Structure,
        count: Callable[[str], None],
    ) -> None:
        self._detector = detector
        self._policy = policy
        self._tokens = tokens
        self._structure = structure.remembering()
        self._rules = policy.paths()
        self._count = count
        self._found: dict[str, list[Finding]] = {}
        self._declared = Declared()
        self._units: dict[str, str] = {}
        self._counting = True
        self._names: dict[str, str] = {}
        self._said: dict[tuple[str, ...], tuple[str | None, bool]] = {}
        self._clean: set[tuple[str, bool]] = set()  # texts that the second visit found nothing in

    def declare(self, kind: str, value: str) -> None:
        """The record's own subject or conversation."""
        self._units[kind] = value
        self._declared.add(kind, value)

    # The first visit

    def collect(self, leaf: Leaf) -> Scalar:
        """Declare what this leaf says; returns the value as it is."""
        value = leaf.value
        if value is None or isinstance(value, bool) or not self._policy.propagate:
            return value
        text = value if isinstance(value, str) else repr(value)
        kind = self._named(leaf, text)
        if kind is not None:
            if self._policy.action(kind) != "keep":
                self._declared.add(kind, text)
            return value
        for start, end in _segments(text):
            for finding in self._findings(text[start:end]):
                self._declared.add(finding.kind, text[start + finding.start : start + finding.end])
        return value

    # The second visit

    def apply(self, leaf: Leaf) -> Scalar:
        """The leaf's value without personal data."""
        value = leaf.value
        if value is None or isinstance(value, bool):
            return value
        text = value if isinstance(value, str) else repr(value)
        position = None if leaf.is_key else self._rules.find(leaf)
        if position is not None:
            rule = self._policy.rules[position]
            if rule.action == "keep" or is_opaque(text) or not text:
                return value
            return self._replaced(rule.kind, rule.action, text)
        unit = self._declared.whole(text)
        kind = unit or self._named(leaf, text)
        if kind is not None and not (unit and self._structure.is_fixed(leaf)):
            action = self._policy.action(kind)
            if action != "keep":
                return self._replaced(kind, action, text)
        if not isinstance(value, str):
            return self._number(value, text)
        return self._text(text, carried=not self._structure.is_fixed(leaf))

    def _named(self, leaf: Leaf, text: str) -> str | None:
        """The kind that the leaf's key names declare."""
        if leaf.is_key or not leaf.names or self._structure.is_word(leaf):
            return None
        said = self._said.get(leaf.names)
        kind, of_a_person = self._say(leaf.names) if said is None else said
        if kind is None:
            if not of_a_person or not _own_value(text):
                return None
            kind = "PERSON"
        stripped = text.strip()
        if not stripped or stripped.lower() in NOT_VALUES or is_opaque(text):
            return None
        if kind in _NEEDS_LETTERS and not any(character.isalpha() for character in stripped):
            return None
        return kind

    def _say(self, above: tuple[str, ...]) -> tuple[str | None, bool]:
        """The kind that these key names declare, and whether the nearest is a word for a person."""
        names = tuple(map(self._name, above))
        kind = kind_of_names(names)
        said = self._said[above] = (kind, kind is None and person_word(names[0]))
        return said

    def _name(self, name: str) -> str:
        """A key as a name: what is personal in it, and so leaves it, does not speak (`jane@name.com`)."""
        if _PLAIN_NAME.fullmatch(name):
            return name
        read = self._names.get(name)
        if read is None:
            self._counting = False  # the key itself is visited, and counted, as a leaf
            read = self._names[name] = OPAQUE.sub(_UNSPOKEN, self._text(name, carried=False))
            self._counting = True
        return read

    def _number(self, value: int | float, text: str) -> Scalar:
        """A number that is personal data becomes a placeholder; any other stays a number."""
        if sum(map(str.isdigit, text)) < _NUMBER_DIGITS:
            digits = text.lstrip("-").removesuffix(".0")  # the subject 77 is also in -77 and 77.0
            carried = [f for f in self._declared.find(digits) if f.kind in self._units]
            if carried and carried[0].start == 0 and carried[0].end == len(digits):
                return self._replaced(carried[0].kind, self._policy.action(carried[0].kind), text)
            return value
        for finding in merge([*self._findings(text), *self._kept_out(self._declared.find(text))]):
            # `4111111111111111.0`: the whole number goes, whatever part of its digits was found.
            return self._replaced(finding.kind, self._policy.action(finding.kind), text)
        return value

    def _text(self, text: str, *, carried: bool) -> str:
        if (text, carried) in self._clean:  # keys and enumerated values repeat within a record
            return text
        for _ in range(_ROUNDS):
            pieces: list[str] = []
            at = 0
            for start, end in _segments(text):
                pieces.append(text[at:start])
                pieces.append(self._segment(text[start:end], carried))
                at = end
            pieces.append(text[at:])
            replaced = "".join(pieces)
            if replaced == text:
                self._clean.add((text, carried))
                return text
            text = replaced
        # Not stable after so many rounds: nothing of it can be trusted.
        return placeholder("SECRET")

    def _segment(self, text: str, carried: bool) -> str:
        findings = self._findings(text)
        if carried and self._declared:
            findings = [*findings, *self._kept_out(self._declared.find(text))]
        if not findings:
            return text
        pieces: list[str] = []
        at = 0
        for finding in merge(findings):
            covered = text[finding.start : finding.end]
            pieces.append(text[at : finding.start])
            pieces.append(self._replaced(finding.kind, self._policy.action(finding.kind), covered))
            at = finding.end
        pieces.append(text[at:])
        return "".join(pieces)

    def _findings(self, text: str) -> list[Finding]:
        """What the patterns find in a text and the policy does not keep."""
        found = self._found.get(text)
        if found is None:
            found = [
                f for f in self._kept_out(self._detector.find(text)) if f.score >= self._policy.min_score
            ]
            self._found[text] = found
        return found

    def _kept_out(self, findings: object) -> list[Finding]:
        return [f for f in findings if self._policy.action(f.kind) != "keep"]  # type: ignore[attr-defined]

    def _replaced(self, kind: str, action: str, value: str) -> str:
        if self._counting:
            self._count(kind)
        if action != "token":
            return placeholder(kind)
        if kind in self._units:
            return placeholder(kind, self._tokens.entity(kind.lower(), self._units[kind]))
        return placeholder(kind, self._tokens.entity(kind.lower(), normalised(value)))


def _segments(text: str) -> list[tuple[int, int]]:
    """The parts of a text between placeholders."""
    if "<" not in text:
        return [(0, len(text))]
    spans: list[tuple[int, int]] = []
    at = 0
    for match in OPAQUE.finditer(text):
        if match.start() > at:
            spans.append((at, match.start()))
        at = match.end()
    if at < len(text):
        spans.append((at, len(text)))
    return spans


def _own_value(text: str) -> bool:
    """Whether a value right under a word for a person can be that person's name or id."""
    words = text.split()
    return (
        0 < len(words) <= _OWN_VALUE_WORDS
        and len(text) <= _OWN_VALUE_CHARACTERS
        and any(character.isalpha() for character in text)
        and text.strip().lower() not in ROLES
        and not OPAQUE.search(text)  # a sentence that has been protected is shorter than it was
        and not all(word.lower().strip(".,!?") in COMMON for word in words)
    )
