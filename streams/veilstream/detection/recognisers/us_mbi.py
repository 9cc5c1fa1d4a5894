"""US Medicare beneficiary identifiers: Presidio's."""

from __future__ import annotations

from veilstream.detection.base import Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_EXPLAINED = context("medicare|mbi|beneficiary|medicaid|hicn")


def build() -> Recogniser:
    return from_presidio(
        "us_mbi",
        predefined().UsMbiRecognizer(),
        trigger=r"\b\d[A-Za-z][A-Za-z0-9]\d-?[A-Za-z]",
        explained_by=_EXPLAINED,
        floor=0.5,
    )
