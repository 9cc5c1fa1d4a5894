"""Values with a label in the text: `password=hunter2`, `"user_id": "4711"`, `Name: Jane Doe`,
`<email>…</email>`.

Logs inside strings (logfmt, headers, query strings, YAML, Python's repr, JSON that was cut off) name their
values just as keys do, so the same names decide (`names.kind_of_names`). Each separator is looked at with
the label before it and the value after it, so the time is linear."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser
from veilstream.detection.names import kind_of_names
from veilstream.detection.words import COMMON, NOT_VALUES, word_set

__all__ = ["build"]

_CLOSING = r"(?:\\{0,8}[\"'\]]){0,2}"  # of the label; JSON that was quoted in a string has backslashes there
_SEPARATOR = re.compile(_CLOSING + r"\s{0,3}(?:=>|->|:=|=|:(?!//))\s{0,3}")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*(?:[ ][A-Za-z][A-Za-z0-9_.\-]*){0,4}\Z")
_LABEL_REACH = 48
_QUOTED = re.compile(r"\\{0,8}([\"'])(.{1,512}?)(?:(?<!\\)\1|\\{1,8}\1|\Z)", re.DOTALL)
_WORD = re.compile(r"[^\s,;&|\"'<>{}()\[\]]{1,256}")
_LINE = re.compile(r"[^,;&|\"<>{}()\[\]\n\r\t=:]{1,96}")
_ADDRESS_LINE = re.compile(r"[^;&|\"<>{}()\[\]\n\r\t=:]{1,120}")
_MARKUP = re.compile(r"<([A-Za-z][\w.:\-]{0,40})(?:\s[^<>]{0,200})?>([^<>]{1,512})</\1>")
_SAYS = re.compile(
    r"(?i)\b(password|passcode|passphrase|pwd|pin|pin code|cvv|cvc|security code|access code|username|"
    r"user name|user id|login|account name|account id|customer id|member id|api key|ssn|handle|nickname|"
    r"screen name)"
    r"\s(?:is|was|will be|to)[\s:]{1,3}[\"'`]?([^\s,;\"'`]{2,128})"
)
_SAYS_NOTHING = word_set(
    """
    wrong incorrect required invalid missing not forgotten expired too correct valid empty weak strong set
    being needed blocked locked already taken
    """
)
_SCORE = 0.6
_LONGEST_NAME_WORDS = 4
_LINES = frozenset({"PERSON", "DATE_OF_BIRTH", "PHONE_NUMBER", "CREDIT_CARD", "BANK_ACCOUNT", "IBAN_CODE"})


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        for separator in _SEPARATOR.finditer(text):
            label_end = separator.start()
            if label_end == 0 or not (text[label_end - 1].isalnum() or text[label_end - 1] == "_"):
                continue
            label = _LABEL.search(text, max(0, label_end - _LABEL_REACH), label_end)
            if label is None:
                continue
            kind = kind_of_names((label[0],))
            if kind is not None:
                span = _value(text, separator.end(), kind)
                if span is not None:
                    yield Finding(span[0], span[1], kind, _SCORE)
        for match in _MARKUP.finditer(text):
            kind = kind_of_names((match[1],))
            if kind is not None and match[2].strip():
                yield Finding(match.start(2), match.end(2), kind, _SCORE)
        for match in _SAYS.finditer(text):
            value = match[2].rstrip(".!?)")
            shaped = any(not c.isalpha() for c in value) or not (value.islower() or value.istitle())
            kind = kind_of_names((match[1],))
            if kind is None or not value:
                continue
            if (shaped or value.lower() not in COMMON) and value.lower() not in _SAYS_NOTHING:
                yield Finding(match.start(2), match.start(2) + len(value), kind, _SCORE)

    return Recogniser(
        "labelled",
        find,
        "any",
        re.compile(rf"\w{_CLOSING}\s{{0,3}}[=:\-][>=\s\w\"'\\]|</|(?i:\s(?:is|was|will be|to)[\s:])"),
    )


def _value(text: str, at: int, kind: str) -> tuple[int, int] | None:
    quoted = _QUOTED.match(text, at)
    if quoted is not None:
        start, end = quoted.span(2)
    else:
        pattern = _ADDRESS_LINE if kind == "ADDRESS" else _LINE if kind in _LINES else _WORD
        match = pattern.match(text, at)
        if match is None:
            return None
        start, end = match.span()
        if kind == "PERSON":
            words = match[0].split(" ")
            end = start + len(" ".join(words[:_LONGEST_NAME_WORDS]))
        value = text[start:end].rstrip(" .!?")
        end = start + len(value)
    value = text[start:end].strip()
    if not value or value.lower() in NOT_VALUES or not any(c.isalnum() for c in value):
        return None
    if quoted is None and value.lower() in COMMON:
        return None
    # "time: 11:30", "address: the": a label in running text, not a value.
    if quoted is None and kind in {"ADDRESS", "PERSON"} and " " in value:
        first = value.split()[0].lower()
        if first in COMMON and not any(c.isdigit() for c in value):
            return None
    return start, end
