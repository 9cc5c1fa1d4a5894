"""US individual taxpayer numbers: Presidio's; the weak shapes only beside a word that explains them."""

from __future__ import annotations

from veilstream.detection.base import Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_EXPLAINED = context("itin|tin|taxpayer|tax id|tax|individual taxpayer")


def build() -> Recogniser:
    return from_presidio(
        "us_itin",
        predefined().UsItinRecognizer(),
        trigger=r"(?<!\d)9\d{2}[\- ]?\d{2}[\- ]?\d{4}(?!\d)",
        explained_by=_EXPLAINED,
        floor=0.5,
    )
