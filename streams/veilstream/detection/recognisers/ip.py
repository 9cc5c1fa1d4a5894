"""IP addresses: Presidio's. Loopback and unspecified addresses name no one and are left."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_TRIGGER = r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d|::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]"
_NO_ONE = re.compile(r"127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1?|255\.255\.255\.\d+")


def build() -> Recogniser:
    presidio = from_presidio("ip", predefined().IpRecognizer(), trigger=_TRIGGER, floor=0.5)

    def find(text: str) -> Iterable[Finding]:
        for finding in presidio.find(text):
            if not _NO_ONE.fullmatch(text, finding.start, finding.end):
                yield finding

    return Recogniser("ip", find, "any", re.compile(_TRIGGER))
