"""A journal in memory: for tests, and for trying the ledger without a broker. It forgets with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from veilstream.contracts import JournalRecord
from veilstream.errors import JournalBroken

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """`contracts.Journal`. Keeps bytes, so that what is read is a copy, as from a broker."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.public: list[bytes] = []
        self.releases: list[bytes] = []

    async def claim(self, tree: str) -> None:
        """Nobody else writes to this one."""

    async def release(self, tree: str) -> None:
        """Nothing was claimed."""

    async def append(self, records: Sequence[JournalRecord]) -> int:
        for record in records:
            self.lines.append(orjson.dumps(record.entry))
            if record.public is not None:
                self.public.append(orjson.dumps(record.public))
            if record.release is not None:
                self.releases.append(orjson.dumps(record.release))
        return len(self.lines)

    async def end(self) -> int:
        return len(self.lines)

    async def read(self, budget: str | None = None, *, start: int = 0) -> AsyncIterator[dict[str, Any]]:
        if start > len(self.lines):
            raise JournalBroken("the journal ends before what it had acknowledged")
        for entry in (orjson.loads(line) for line in self.lines[start:]):
            if budget is None or entry["public"]["budget"] == budget:
                yield entry

    def entries(self) -> list[dict[str, Any]]:
        """The entries as they stand there, repeats included."""
        return [orjson.loads(line) for line in self.lines]

    def events(self) -> list[dict[str, Any]]:
        """What the outside sees."""
        return [orjson.loads(line) for line in self.public]
