"""Lines of a file, of a gzip file or of standard input."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

__all__ = ["read_lines"]


def read_lines(file: Path | None, limit: int | None = None) -> Iterator[bytes]:
    """Yield lines that are not blank, without their ends, at most `limit` of them."""
    if file is None:
        yield from islice(_lines(sys.stdin.buffer), limit)
    elif file.suffix == ".gz":
        with gzip.open(file, "rb") as source:
            yield from islice(_lines(source), limit)
    else:
        with file.open("rb") as source:
            yield from islice(_lines(source), limit)


def _lines(source: object) -> Iterator[bytes]:
    for line in source:  # type: ignore[attr-defined]
        stripped = line.strip()
        if stripped:
            yield stripped
