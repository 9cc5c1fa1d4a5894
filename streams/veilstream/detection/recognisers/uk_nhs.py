"""NHS numbers: Presidio's pattern and checksum, only beside the word.

One in eleven telephone numbers of ten digits passes the checksum; without the word it is a phone number here.
"""

from __future__ import annotations

from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_EXPLAINED = context("nhs|national health service|health service|health authority|patient number")


def build() -> Recogniser:
    presidio = from_presidio(
        "uk_nhs", predefined().NhsRecognizer(), trigger=r"(?<!\d)\d{3}[\- ]?\d{3}[\- ]?\d{4}(?!\d)"
    )

    def find(text: str) -> Iterable[Finding]:
        return presidio.find(text) if _EXPLAINED.search(text) else ()

    return Recogniser("uk_nhs", find, "digit", presidio.trigger)
