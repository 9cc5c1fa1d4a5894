"""IBANs: Presidio's pattern, check digits and country formats, in either case.

One that fails its check is still taken beside the word "iban": a typing error does not make it public.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import CONTEXT_SCORE, Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_TRIGGER = r"(?i)(?<![A-Z0-9])[A-Z]{2}[0-9]{2}[ \-]?[A-Z0-9]{4}"
_SHAPE = re.compile(
    r"(?i)(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?(?![A-Z0-9])"
)
_EXPLAINED = context("iban|bank account|account")


def build() -> Recogniser:
    presidio = from_presidio("iban", predefined().IbanRecognizer(), trigger=_TRIGGER)

    def find(text: str) -> Iterable[Finding]:
        yield from presidio.find(text)
        upper = text.upper()
        if upper != text and len(upper) == len(text):
            yield from presidio.find(upper)
        for match in _SHAPE.finditer(text):
            if _EXPLAINED.search(text, max(0, match.start() - 32), match.start()):
                yield Finding(match.start(), match.end(), "IBAN_CODE", CONTEXT_SCORE)

    return Recogniser("iban", find, "digit", re.compile(_TRIGGER))
