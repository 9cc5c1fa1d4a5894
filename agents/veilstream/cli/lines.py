"""Lines of a file, of a gzip file or of standard input."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

__all__ = ["open_lines", "read_lines"]


def open_lines(file: Path | None) -> BinaryIO:
    """A file, unpacked where its name ends in .gz; standard input where there is none."""
    if file is None:
        return sys.stdin.buffer
    return cast(BinaryIO, gzip.open(file, "rb")) if file.suffix == ".gz" else file.open("rb")


def read_lines(file: Path | None, limit: int | None = None) -> Iterator[bytes]:
    """Yield lines that are not blank, without their ends, at most `limit` of them."""
    with open_lines(file) as source:
        yield from islice(_not_blank(source), limit)


def _not_blank(source: Iterable[bytes]) -> Iterator[bytes]:
    for line in source:
        stripped = line.strip()
        if stripped:
            yield stripped
