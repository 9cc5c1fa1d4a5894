"""Dates of birth: a date beside a word for birth. Other dates are not personal and stay."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser

__all__ = ["build"]

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
_DATE = (
    rf"(?:\d{{1,4}}[\-/.]\d{{1,2}}[\-/.]\d{{1,4}}|\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+\d{{2,4}}"
    rf"|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?(?:\s+\d{{2,4}})?|\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}|(?:19|20)\d\d)"
)
_BIRTH = re.compile(
    r"(?i)\b(?:born|date of birth|birth ?date|birth ?day|d\.?o\.?b\.?)\b[\s:=\-–,]{0,4}"
    r"(?:(?:is|was|on|in|the|falls|my|his|her)\s+){0,4}" + f"({_DATE})"
)


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        for match in _BIRTH.finditer(text):
            yield Finding(match.start(1), match.end(1), "DATE_OF_BIRTH", 0.7)

    return Recogniser("birth_date", find, "digit", re.compile(r"(?i)b(?:orn|irth)|d\.?o\.?b"))
