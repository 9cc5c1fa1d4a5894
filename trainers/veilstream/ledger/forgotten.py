"""Has the store gone back? What the journal has, and the store does not know of.

A store may come back from before: an old file, a replica that was behind, a write that no disk had. It then
knows neither the charges that it lost nor that the journal has them, and would give their numbers away again:
spent would be less than released, and the journal no longer one. So before a relay writes, and whenever
`verify` looks, what the journal has after the place that the store last noted is compared with the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from veilstream.contracts import Journal, RootKey
from veilstream.errors import BudgetUnknown, LedgerDiffers
from veilstream.ledger.assemble import assemble
from veilstream.ledger.budget import root_of
from veilstream.ledger.store import Keys, read_meta, read_outbox, store_errors

__all__ = ["check_journal", "entry_key", "forgot", "is_whole"]


def entry_key(entry: Mapping[str, Any]) -> tuple[str, int, int]:
    """Budget, sequence number and part."""
    public = entry["public"]
    return public["budget"], public["seq"], entry.get("part", {}).get("index", 0)


def is_whole(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is the last of its sequence number: parts before it that stay alone say nothing."""
    part = entry.get("part")
    return part is None or part["index"] + 1 == part["of"]


def forgot(budget: str, seq: int) -> LedgerDiffers:
    return LedgerDiffers(
        f"budget {budget}: the store has forgotten entry {seq}, which the journal has",
        hint="stop the workers; `veilstream ledger rebuild --force` makes the store from the journal",
    )


async def check_journal(client: Redis, journal: Journal, root: str, root_key: RootKey) -> int:
    """Compare a tree with what the journal has after the place that the store noted at its last append.

    Returns the position that the store had acknowledged. Costs as much as was appended since, by whomever;
    nothing for a tree that had no entry yet.

    Raises:
        LedgerDiffers: the journal has an entry that the store does not know, or knows otherwise.
        JournalBroken: the journal ends before that place.
        BrokerUnavailable, StoreUnavailable.
    """
    with store_errors():
        acked, start = (int(held or 0) for held in await client.hmget(Keys(root).tree, "acked", "journal"))
    late = {
        entry_key(entry): entry["hash"]
        async for entry in journal.read(start=start)
        if root_of(entry["public"]["budget"]) == root and is_whole(entry)
    }
    if not late:
        return acked
    heads: dict[str, tuple[str, str]] = {}
    known: dict[str, tuple[int, int]] = {}  # acknowledged, and last
    for name in {name for name, _, _ in late}:
        try:
            budget, meta = await read_meta(client, name)
        except BudgetUnknown:
            raise forgot(name, 1) from None
        known[name] = int(meta["acked"]), budget.seq
        heads[name] = meta["entry_head"], meta["public_head"]
    made: dict[tuple[str, int, int], str] = {}
    for _position, fields in await read_outbox(client, root, acked):
        name = fields["budget"].decode()
        if name in heads:
            records = assemble(fields, *heads[name], root_key)
            made |= {entry_key(record.entry): record.entry["hash"] for record in records}
            heads[name] = records[-1].entry["hash"], (records[-1].public or {})["hash"]
    for (name, seq, part), digest in late.items():
        acknowledged, last = known[name]
        if seq > last or (seq > acknowledged and made.get((name, seq, part), digest) != digest):
            raise forgot(name, seq)
    return acked
