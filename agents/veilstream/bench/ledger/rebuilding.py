"""`--rebuild`: a journal of so many entries on a real Kafka; how long the store takes to be made from it.

The entries are made by the ledger's own code, without a store between: planned, sealed, signed and linked as
a relay does. Then `rebuild` reads them back, checks every one, and writes an empty store; `verify` compares.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import orjson

from veilstream.bench.ledger.ground import Ground, empty
from veilstream.bench.ledger.options import price
from veilstream.bench.ledger.population import tokens
from veilstream.contracts import JournalRecord, RootKey
from veilstream.keys import FileKeyProvider, seal
from veilstream.ledger import Manifest, rebuild, verify
from veilstream.ledger.applying import admit
from veilstream.ledger.assemble import assemble
from veilstream.ledger.authority import authority
from veilstream.ledger.budget import Budget, decide, define
from veilstream.ledger.chain import GENESIS
from veilstream.ledger.ledger import PEOPLE_PATH, PEOPLE_TOPIC
from veilstream.ledger.manifest import people as sorted_people
from veilstream.ledger.manifest import reservation_id
from veilstream.ledger.planning import plan_of
from veilstream.ledger.projection import event
from veilstream.ledger.state import State

__all__ = ["rebuilding"]

_TIME = "2026-01-01T00:00:00.000Z"
_BATCH = 500
_PEOPLE, _WINDOW = 20_000, 20
_BUCKETS = 8192
_ORDERS = (12,)


class _Life:
    """A budget's journal, entry after entry."""

    def __init__(self, provider: FileKeyProvider, seed: int) -> None:
        self.root: RootKey = provider.ledger()
        self._people, self._random = tokens(_PEOPLE, seed), Random(seed)  # noqa: S311  # nobody's
        self._charge = price(_ORDERS)
        budget = define("bench", "bench", 1e6, 1e-6, _ORDERS, "individual")
        self.state = State(replace(budget, seq=1), _BUCKETS)
        self._heads = GENESIS, GENESIS
        self._windows = 0
        told = event(self.state.budget, 1, "created", _TIME)
        signed = authority(provider.operator(), "bench", orjson.loads(told))
        self.first = self._linked(
            {
                "budget": b"bench",
                "public": told,
                "state": orjson.dumps({"buckets": _BUCKETS, "layout": 2}),
                "authority": orjson.dumps(signed),
            }
        )

    def more(self) -> list[JournalRecord]:
        """The entries of one more charge."""
        budget: Budget = self.state.budget
        who = self._random.sample(self._people, _WINDOW)
        window = (self._windows * 60.0, self._windows * 60.0 + 60.0)
        self._windows += 1
        manifest = Manifest("bench", "bench", "m", window, tuple(who), self._charge)
        people = sorted_people(manifest.people)
        identity = reservation_id(self.root, "bench", "bench", manifest.public(), None, people.packed)
        decision = decide([budget], self._charge.charges)
        plan = orjson.loads(plan_of(manifest, [budget], decision, identity, 1, self.root.version, _TIME).json)
        bitmap = admit([self.state], people.packed, self._charge.charges)
        made: list[JournalRecord] = []
        for entry in plan["entries"]:
            fields = {
                "budget": b"bench",
                "public": entry["public"].encode(),
                "reservation": entry["reservation"].encode(),
            }
            if entry["people"]:
                sealed = seal(self.root, people.packed, tenant=None, topic=PEOPLE_TOPIC, path=PEOPLE_PATH)
                fields |= {
                    "admitted": bitmap, "state": plan["state"].encode(), "parts": b"1", "sealed:1": sealed,
                }  # fmt: skip
            made += self._linked(fields)
        after = decision.steps[0]
        self.state.budget = replace(
            after.after,
            seq=int(plan["levels"][0]["last"]),
            exhausted=budget.exhausted or after.exhausts,
        )
        return made

    def _linked(self, fields: dict[str, bytes]) -> list[JournalRecord]:
        records = assemble(fields, *self._heads, self.root)
        self._heads = records[-1].entry["hash"], (records[-1].public or {})["hash"]
        return records


async def rebuilding(ground: Ground, entries: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds for a rebuild and for a verification of `entries` entries, and this process's memory."""
    async with empty(ground) as (ledger, journal):
        life = _Life(FileKeyProvider(ground.keys_folder), ground.options.seed)
        batch, written, size = life.first, 0, 0
        while written + len(batch) < entries:
            batch += life.more()
            if len(batch) >= _BATCH:
                await journal.append(batch)
                written, size = written + len(batch), size + sum(len(orjson.dumps(r.entry)) for r in batch)
                batch = []
                if written % 20_000 < _BATCH:
                    say(f"journal: {written:,} of {entries:,} entries")
        await journal.append(batch)
        began = time.monotonic()
        report = await rebuild(ledger, journal)
        rebuilt = time.monotonic() - began
        say(f"rebuilt in {rebuilt:.1f} s")
        began = time.monotonic()
        await verify(ledger, journal)
        return {
            "entries": report["entries"],
            "people_per_entry": _WINDOW,
            "journal_mb": size / 1e6,
            "rebuild_s": rebuilt,
            "verify_s": time.monotonic() - began,
            "entries_per_s": report["entries"] / rebuilt,
            "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        }
