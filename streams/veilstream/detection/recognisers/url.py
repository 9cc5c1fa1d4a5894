"""Web addresses, whole: host, path and query can all hold a person (`/users/jane.doe?token=…`).

Ours: Presidio's pattern tries 700 suffixes at every place of a host and does not take what follows `?`
without a path. Here: anything with a scheme and `//`, anything after `www.`, and a bare host under a
common suffix. Suffixes that are English words, or fields of a dotted name (`it`, `me`, `info`, `app`),
count only with a path: people forget the space after a full stop, and keys look like `user.info`. Hosts
that stand for the machine itself (localhost) are left unless there is more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from veilstream.contracts import Finding
from veilstream.detection.base import Recogniser

__all__ = ["build"]

_REST = r"[^\s<>\"'`{}|\\^\[\]()]"
_SURE = "com|net|org|edu|gov|mil|eu|de|fr|uk|nl|es|ca|au|jp|cn|br|ru|pl|ch|se|dk|fi"
_WORDS = (
    "info|biz|io|dev|app|co|ai|tv|in|it|me|no|us|at|be|is|so|to|am|as|my|by|pro|name|online|site|page|link|live|"
    "cloud|tech|xyz|ly|gl"
)
_URL = re.compile(
    rf"(?i)\b[a-z][a-z0-9+.\-]{{1,15}}://{_REST}+(?:\([^\s()]*\){_REST}*)?"
    rf"|\bmailto:{_REST}+"
    rf"|\bwww\d?\.{_REST}+"
    rf"|(?<![\w@.\-])(?:[a-z0-9](?:[a-z0-9\-]{{0,61}}[a-z0-9])?\.){{1,6}}"
    rf"(?:(?:{_SURE})(?![\w\-])(?::\d+)?(?:[/?#]{_REST}*)?|(?:{_WORDS})(?![\w\-])(?::\d+)?[/?#]{_REST}+)"
)
_TRAILING = ".,;:!?*_'\""
_ITSELF = re.compile(r"(?i)https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::\d+)?/?")


def build() -> Recogniser:
    def find(text: str) -> Iterable[Finding]:
        for match in _URL.finditer(text):
            address = match[0].rstrip(_TRAILING)
            if not _ITSELF.fullmatch(address):
                yield Finding(match.start(), match.start() + len(address), "URL", 0.5)

    return Recogniser("url", find, "any", re.compile(r"\w\.\w|://|mailto:"))
