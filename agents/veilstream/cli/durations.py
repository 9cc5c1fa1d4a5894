"""Durations as people write them: `90s`, `15m`, `12h`, `30d`, `2w`; a bare number is seconds."""

from __future__ import annotations

import re

import typer

__all__ = ["duration", "seconds"]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


def seconds(text: str | float) -> float:
    """Seconds of a duration. Raises typer.BadParameter for what is none."""
    if isinstance(text, float):  # a default, which is parsed already
        return text
    found = _DURATION.fullmatch(text.strip())
    if found is None or float(found[1]) == 0.0:
        raise typer.BadParameter("takes a duration above 0, such as 90s, 15m, 12h, 30d or 2w")
    return float(found[1]) * _UNITS[found[2]]


def duration(length: float) -> str:
    """Seconds in the largest unit that divides them."""
    for unit, size in reversed(_UNITS.items()):
        if unit and length % size == 0:
            return f"{length / size:g}{unit}"
    return f"{length:g}s"
