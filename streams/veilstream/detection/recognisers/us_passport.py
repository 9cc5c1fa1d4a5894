"""Passport numbers: any nine digits, or a letter and eight, so only beside the word."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import CONTEXT_SCORE, Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_EXPLAINED = context("passport|travel document")
_OTHER = re.compile(r"\b[A-Z]{1,2}\d{6,8}\b|\b\d{8,9}\b", re.IGNORECASE)  # UK, EU and others


def build() -> Recogniser:
    presidio = from_presidio(
        "us_passport",
        predefined().UsPassportRecognizer(),
        trigger=r"\d{6}",
        explained_by=_EXPLAINED,
        floor=CONTEXT_SCORE,
    )

    def find(text: str) -> Iterable[Finding]:
        if not _EXPLAINED.search(text):
            return
        yield from presidio.find(text)
        for match in _OTHER.finditer(text):
            if _EXPLAINED.search(text, max(0, match.start() - 40), match.start()):
                yield Finding(match.start(), match.end(), "PASSPORT", 0.5)

    return Recogniser("us_passport", find, "digit", presidio.trigger)
