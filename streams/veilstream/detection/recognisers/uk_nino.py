"""UK National Insurance numbers: Presidio's."""

from __future__ import annotations

from veilstream.detection.base import Recogniser, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]


def build() -> Recogniser:
    return from_presidio(
        "uk_nino",
        predefined().UkNinoRecognizer(),
        trigger=r"\b[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]\b",
        floor=0.5,
    )
