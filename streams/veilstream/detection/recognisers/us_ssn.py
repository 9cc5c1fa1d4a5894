"""US social security numbers: Presidio's; digits without separators only beside a word that explains them."""

from __future__ import annotations

from veilstream.detection.base import Recogniser, context, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_EXPLAINED = context("ssn|ssns|social security|social|soc sec|ss#|tax id|taxpayer")


def build() -> Recogniser:
    return from_presidio(
        "us_ssn",
        predefined().UsSsnRecognizer(),
        trigger=r"(?<!\d)\d{3}[\-. ]?\d{2}[\-. ]?\d{4}(?!\d)",
        explained_by=_EXPLAINED,
    )
