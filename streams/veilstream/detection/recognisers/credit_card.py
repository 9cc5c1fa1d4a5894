"""Payment cards: Presidio's pattern and Luhn check; what fails it counts beside a word for a card."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import CONTEXT_SCORE, Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_TRIGGER = r"\d(?:[ \-.]?\d){11}"
_SHAPE = re.compile(
    r"(?<![\w.\-])\d{4}([ \-.]?)\d{4}\1\d{4}\1\d{3,7}(?![\w\-])"
    r"|(?<![\w.\-])3\d{3}[ \-]?\d{6}[ \-]?\d{5}(?![\w\-])"
    r"|(?<![\w.\-])[3-6]\d{11,18}(?![\w\-])"  # Maestro has 12 to 19 digits
)
_EXPLAINED = context("card|credit|debit|visa|mastercard|amex|american express|discover|maestro|jcb|diners|cc")
_GROUPED_SCORE = 0.5  # four groups of four are written for cards and for little else


def build() -> Recogniser:
    presidio = from_presidio("credit_card", predefined().CreditCardRecognizer(), trigger=_TRIGGER)

    def find(text: str) -> Iterable[Finding]:
        yield from presidio.find(text)
        for match in _SHAPE.finditer(text):
            if _EXPLAINED.search(text, max(0, match.start() - 40), match.start()):
                yield Finding(match.start(), match.end(), "CREDIT_CARD", CONTEXT_SCORE)
            elif match[1]:
                yield Finding(match.start(), match.end(), "CREDIT_CARD", _GROUPED_SCORE)

    return Recogniser("credit_card", find, "digit", re.compile(_TRIGGER))
