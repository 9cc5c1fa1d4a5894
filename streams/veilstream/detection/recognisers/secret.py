"""Secrets: API keys, tokens, private keys. Agents' logs are full of them, and a key opens a person's account.

Ours; Presidio has none. By the prefixes that issuers give their keys (public formats), JSON Web Tokens (RFC
7519), HTTP credentials (RFC 6750, RFC 7617) and PEM blocks (RFC 7468; to the end of the text where the end is
cut off). Passwords without a shape are found by their label (`labelled`) or their key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser

__all__ = ["build"]

_SHAPES = (
    r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?s:.*?)-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|(?s:.*))",
    r"\beyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*){0,3}",
    r"\bsk-[A-Za-z0-9_\-]{12,}",
    r"\b(?:sk|pk|rk|whsec)_(?:live|test)?_?[A-Za-z0-9]{12,}",
    r"\b(?:AKIA|ASIA|AIDA|AROA|ABIA|ACCA)[A-Z0-9]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bgl(?:pat|dt|rt|soat)-[A-Za-z0-9_\-]{16,}",
    r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}|\bxapp-[A-Za-z0-9\-]{10,}",
    r"\bAIza[A-Za-z0-9_\-]{30,}|\bya29\.[A-Za-z0-9_\-]{16,}",
    r"\b(?:hf|npm|pypi|dop_v1|shpat|shpss|sq0atp|sq0csp)[_\-][A-Za-z0-9_\-]{20,}",
    r"\bSG\.[A-Za-z0-9_\-]{12,}\.[A-Za-z0-9_\-]{12,}",
    r"(?i:\bbearer)\s{1,3}[A-Za-z0-9._~+/\-]{8,}=*",
    r"(?i:\bbasic)\s{1,3}(?=[A-Za-z0-9+/]*[0-9A-Z])[A-Za-z0-9+/]{10,}={0,2}(?=$|[\s\"',;])",
)
_HINTS = (
    "-----BEGIN",
    "eyJ",
    "sk-",
    "k_",
    "whsec_",
    "AKIA",
    "ASIA",
    "AIDA",
    "AROA",
    "ABIA",
    "ACCA",
    "gh",
    "glpat",
    "gldt",
    "glrt",
    "glsoat",
    "xox",
    "xapp",
    "AIza",
    "ya29",
    "hf_",
    "npm_",
    "pypi-",
    "dop_v1_",
    "shp",
    "sq0",
    "SG.",
)
_ANY = re.compile("|".join(_SHAPES))
_SCHEME = re.compile(r"(?i)\b(?:bearer|basic)\s")


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        if any(hint in text for hint in _HINTS) or _SCHEME.search(text):
            for match in _ANY.finditer(text):
                yield Finding(match.start(), match.end(), "SECRET", 0.9)

    return Recogniser("secret", find)
