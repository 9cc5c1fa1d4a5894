"""Binary content in a text: `data:` URIs (RFC 2397) and long runs of base64 or hexadecimal.

A picture, a voice or a document can show a person in ways that no pattern sees, so it goes whole. Two hundred
characters without a space are no word of any language that writes spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser

__all__ = ["build"]

_LONG = 200
_DATA = re.compile(r"data:[\w.+\-/]{0,80}(?:;[\w.+\-=]{1,40}){0,4},[A-Za-z0-9+/%_=.\-]*")
_RUN = re.compile(rf"[A-Za-z0-9+/_\-]{{{_LONG},}}={{0,2}}")


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        if "data:" in text:
            for match in _DATA.finditer(text):
                yield Finding(match.start(), match.end(), "BLOB", 0.9)
        if len(text) >= _LONG:
            for match in _RUN.finditer(text):
                yield Finding(match.start(), match.end(), "BLOB", 0.9)

    return Recogniser("blob", find)
