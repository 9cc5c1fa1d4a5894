"""What stands in the place of personal data: `<EMAIL_ADDRESS>`, or with a pseudonym `<ACCOUNT:…24
characters…>`.

Placeholders are opaque: whoever meets one, a pattern or a key name, leaves it alone. That is what makes
protection idempotent. An input that contains the text of a placeholder keeps it; it says nothing that its
author did not write, and only the catalogue's kinds count."""

from __future__ import annotations

import re

from veilstream.detection import KINDS

__all__ = ["OPAQUE", "is_opaque", "placeholder"]

OPAQUE = re.compile(rf"<(?:{'|'.join(sorted(KINDS))})(?::[a-z2-7]{{24}})?>")
_WHOLE = re.compile(rf"\s*{OPAQUE.pattern}(?:#\d+)?\s*")


def placeholder(kind: str, token: str | None = None) -> str:
    """The text in place of a value."""
    return f"<{kind}>" if token is None else f"<{kind}:{token}>"


def is_opaque(text: str) -> bool:
    """Whether a text is a placeholder and nothing else."""
    return text.lstrip()[:1] == "<" and _WHOLE.fullmatch(text) is not None
