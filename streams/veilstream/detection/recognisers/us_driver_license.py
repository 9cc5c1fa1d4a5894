"""US driver licenses: fifty formats, so only beside the word. (Alone, the pattern takes seat numbers.)"""

from __future__ import annotations

from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import CONTEXT_SCORE, Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_EXPLAINED = context(
    "driver'?s? licen[cs]e|driving licen[cs]e|licen[cs]e number|licen[cs]e no|licen[cs]e|dl|cdl|driver id"
)


def build() -> Recogniser:
    presidio = from_presidio(
        "us_driver_license",
        predefined().UsLicenseRecognizer(),
        trigger=r"[A-Za-z]\d{3}|\d{6}|\d[A-Za-z]",
        explained_by=_EXPLAINED,
        floor=CONTEXT_SCORE,
    )

    def find(text: str) -> Iterable[Finding]:
        return presidio.find(text) if _EXPLAINED.search(text) else ()

    return Recogniser("us_driver_license", find, "digit", presidio.trigger)
