"""The journal in a file, and back: one entry a line, as it stands in the journal.

People stay sealed under the ledger's key, which is not in the file: who restores it needs the key folder too.
What a file says is checked before anything is written: sequence, chains and content, as the fold does.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from veilstream.contracts import Journal, JournalRecord
from veilstream.errors import JournalBroken, LedgerDiffers, RecordInvalid
from veilstream.events.codec import check
from veilstream.events.types import JOURNAL_ENTRY
from veilstream.ledger.chain import GENESIS, linked
from veilstream.ledger.fold import Fold, Opener

__all__ = ["backup", "read_file", "restore"]

_BATCH = 200


async def backup(journal: Journal, path: Path, opener: Opener, *, unsigned: bool = False) -> dict[str, int]:
    """Write the journal's entries so far, each once, to a new file (0600). Returns `budgets`, `entries`.

    Raises:
        JournalBroken: the journal is not whole; the file is then not there.
        FileExistsError: it is there already. OSError: it cannot be written.
        BrokerUnavailable, TopicMismatch.
    """
    folded = Fold(opener, unsigned=unsigned)
    partial = path.with_name(path.name + ".partial")
    if path.exists():
        raise FileExistsError(str(path))
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            async for entry in journal.read():
                seen = folded.entries
                folded.add(entry)
                if folded.entries != seen:
                    file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return {"budgets": len(folded.states), "entries": folded.entries}


async def restore(path: Path, journal: Journal, opener: Opener, *, unsigned: bool = False) -> dict[str, int]:
    """Write a file's entries to a journal that has none, with their public events and releases.

    Raises:
        JournalBroken: the file is not whole; says in which line. Nothing was written.
        LedgerDiffers: the journal has entries already.
        OSError, BrokerUnavailable, TopicMismatch.
    """
    folded = Fold(opener, unsigned=unsigned)
    for number, entry in enumerate(read_file(path), 1):
        try:
            folded.add(entry)
        except JournalBroken as error:
            raise JournalBroken(f"{path.name}, line {number}: {error.message}", hint=error.hint) from None
    if await _any(journal.read()):
        raise LedgerDiffers(
            "the journal has entries already", hint="a backup is restored to a new topic: delete it first"
        )
    heads: dict[str, str] = {}
    batch: list[JournalRecord] = []
    for entry in read_file(path):
        part = entry.get("part")
        name = entry["public"]["budget"]
        public = None
        if part is None or part["index"] + 1 == part["of"]:
            public = linked(heads.get(name, GENESIS), entry["public"])
            heads[name] = public["hash"]
        batch.append(JournalRecord(name, entry, public, entry["release"]))
        if len(batch) == _BATCH:
            await journal.append(batch)
            batch = []
    await journal.append(batch)
    return {"budgets": len(folded.states), "entries": folded.entries}


def read_file(path: Path) -> list[dict[str, Any]]:
    """A backup's entries.

    Raises:
        JournalBroken: a line is no entry, or the last one was cut off; says which.
        OSError.
    """
    entries = []
    data = path.read_bytes()
    lines = data.split(b"\n")
    if lines[-1]:
        raise JournalBroken(
            f"{path.name}, line {len(lines)}: the file ends in the middle of an entry",
            hint="it was cut off: take a whole copy",
        )
    for number, line in enumerate(lines[:-1], 1):
        try:
            entry = orjson.loads(line)
            check(JOURNAL_ENTRY, entry)
        except (orjson.JSONDecodeError, RecordInvalid):
            raise JournalBroken(
                f"{path.name}, line {number}: this is no ledger entry", hint="take a whole copy"
            ) from None
        entries.append(entry)
    return entries


async def _any(entries: AsyncIterator[dict[str, Any]]) -> bool:
    async for _ in entries:
        return True
    return False
