"""Between RFC 3339 and Unix milliseconds. No clock is read here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["parse_time", "rfc3339"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_MS = 253_402_300_799_000  # 9999-12-31T23:59:59Z


def parse_time(text: str) -> int | None:
    """Unix milliseconds of an RFC 3339 time; None where it is none (no offset, not a date)."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found - _EPOCH) // timedelta(milliseconds=1) if found.tzinfo is not None else None


def rfc3339(unix_ms: int) -> str:
    """UTC, to the millisecond. What lies outside of the years 1970 to 9999 becomes the nearer end."""
    stamp = _EPOCH + timedelta(milliseconds=min(max(unix_ms, 0), _LONGEST_MS))
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
