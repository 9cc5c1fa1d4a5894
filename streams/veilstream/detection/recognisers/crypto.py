"""Wallet addresses: Presidio's Bitcoin pattern and checksums, and Ethereum's shape."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser, from_presidio
from veilstream.detection.presidio import predefined

__all__ = ["build"]

_TRIGGER = r"(?:bc1|[13]|0x)[A-Za-z0-9]{25}"
_ETHEREUM = re.compile(r"\b0x[0-9A-Fa-f]{40}\b")


def build() -> Recogniser:
    presidio = from_presidio("crypto", predefined().CryptoRecognizer(), trigger=_TRIGGER)

    def find(text: str) -> Iterable[Finding]:
        yield from presidio.find(text)
        for match in _ETHEREUM.finditer(text):
            yield Finding(match.start(), match.end(), "CRYPTO", 0.5)

    return Recogniser("crypto", find, "digit", re.compile(_TRIGGER))
