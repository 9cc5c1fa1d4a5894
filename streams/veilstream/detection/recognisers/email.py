"""E-mail addresses. Presidio's pattern, run around each `@` only.

Presidio's pattern looks for the local part first, which takes quadratic time on a long word; here each `@` is
looked at with the characters around it, so the time is linear. Its check against the public suffix list runs
on the list that tldextract ships. An address under no public suffix (`jane@corp.internal`) is still one: it
keeps the pattern's score instead of being dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser
from veilstream.detection.presidio import predefined, suffixes

__all__ = ["build"]

_LOCAL = re.compile(r"[\w!#$%&'*+\-/=?^`{|}~.]+\Z")
_LOCAL_LONGEST = 128  # RFC 5321 allows 64 octets; agents paste worse
_HOST = re.compile(r"\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)*")
_HOST_LONGEST = 255
_WRITTEN_AT = (
    r"\s?[\[(]\s?at\s?[\])]\s?|%(?:25){0,3}40|&#0{0,4}64;|&#x0{0,4}40;|&commat;|\\{1,4}u0040|\\{1,4}x40"
)
_WRITTEN_DOT = r"\.|%(?:25){0,3}2e|&#0{0,4}46;|&#x0{0,4}2e;|&period;|\s?[\[(]\s?dot\s?[\])]\s?"
_ENCODED_AT = re.compile(
    rf"(?i)(?:[\w.+\-%]|&#46;|&period;){{1,64}}(?:{_WRITTEN_AT})[\w\-]{{1,63}}(?:(?:{_WRITTEN_DOT})[\w\-]{{1,63}}){{1,5}}"
)
_ANY_AT = re.compile(rf"(?i)@|{_WRITTEN_AT}")


def build() -> Recogniser:
    extract: Any = suffixes()
    presidio_score = float(predefined().EmailRecognizer.PATTERNS[0].score)

    def find(text: str) -> Iterable[Finding]:
        at = text.find("@")
        while at >= 0:
            local = _LOCAL.search(text, max(0, at - _LOCAL_LONGEST), at)
            host = _HOST.match(text, at + 1, at + 1 + _HOST_LONGEST)
            if local and host:
                # A leading quote, slash or bracket of the text around belongs to it, not to the address.
                start = local.start() + len(local[0]) - len(local[0].lstrip("'`/={|}."))
                name = host[0]
                if start < at and ("." in name or name == "localhost"):
                    known = "." in name and extract.extract_str(name).fqdn
                    yield Finding(start, host.end(), "EMAIL_ADDRESS", 1.0 if known else presidio_score)
            at = text.find("@", at + 1)
        if "%" in text or "&" in text or "\\" in text or "(" in text or "[" in text:
            for match in _ENCODED_AT.finditer(text):
                yield Finding(match.start(), match.end(), "EMAIL_ADDRESS", 0.6)

    return Recogniser("email", find, "any", _ANY_AT)
