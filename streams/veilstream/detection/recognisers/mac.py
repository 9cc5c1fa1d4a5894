"""Hardware addresses: Presidio's."""

from __future__ import annotations

from veilstream.detection.base import Recogniser, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]


def build() -> Recogniser:
    return from_presidio(
        "mac",
        predefined().MacAddressRecognizer(),
        trigger=r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.",
        needs="any",
    )
