"""Handles: `@name` as people write it in social networks. Code that begins with `@` is left (decorators,
package scopes, tags of documentation)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser
from veilstream.detection.words import word_set

__all__ = ["build"]

_HANDLE = re.compile(r"(?<![\w@./\-])@[A-Za-z_][\w.]{1,29}[A-Za-z0-9_](?![\w@/(])")
_CODE = word_set(
    """
    dataclass property staticmethod classmethod override abstractmethod cached_property wraps contextmanager
    media import charset keyframes font-face supports param params return returns throws see author
    deprecated link since version example type types angular babel app pytest fixture cache lru_cache
    router component everyone here channel all
    """
)


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        for match in _HANDLE.finditer(text):
            word = match[0][1:].split(".")[0].lower()
            if word not in _CODE:
                yield Finding(match.start(), match.end(), "ACCOUNT", 0.5)

    return Recogniser("handle", find, "at")
