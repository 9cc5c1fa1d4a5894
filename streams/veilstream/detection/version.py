"""The engine's version, without loading the engine: a policy's version contains it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ["RULES", "engine_version"]

RULES = 2
"""Counts up with every change to what the recognisers or the key names find."""


@cache
def engine_version() -> str:
    """`patterns-<rules>` and the versions of the libraries whose patterns it uses."""
    parts = [f"patterns-{RULES}"]
    for package in ("presidio-analyzer", "phonenumbers"):
        try:
            parts.append(f"{package}-{version(package)}")
        except PackageNotFoundError:
            parts.append(f"{package}-none")
    return "/".join(parts)
