"""From the outbox to the journal: one relay at a time for each tree of budgets, in order, with both chains.

The leased relay reads the outbox, links each entry to the heads that the store keeps, appends to the journal,
and when the journal has acknowledged it moves the heads and trims the outbox in one fenced script. If it dies
in between, the next relay appends the same entries again, byte for byte (`assemble`), and readers drop them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from veilstream.contracts import Journal, JournalRecord
from veilstream.errors import (
    BrokerUnavailable,
    BudgetUnknown,
    Fenced,
    JournalBroken,
    LedgerDiffers,
    StoreUnavailable,
    VeilstreamError,
)
from veilstream.ledger.assemble import assemble
from veilstream.ledger.budget import root_of
from veilstream.ledger.forgotten import check_journal
from veilstream.ledger.lease import RELAY, Lease
from veilstream.ledger.ledger import Ledger
from veilstream.ledger.store import Keys, read_outbox, read_path, store_errors
from veilstream.telemetry.logs import emit
from veilstream.telemetry.metrics import gauge

__all__ = ["Relay"]

_BATCH_ENTRIES = 100
_BATCH_BYTES = 4_000_000
_REFRESH_SECONDS = 1.0
_REFUSED_SECONDS = 30.0


class Relay:
    """Moves the outbox of every tree of budgets, and begins the periods that are due.

    Args:
        ledger: whose outbox.
        journal: where to.
        owner: name of this process, for its log lines; leases are told apart by a random owner of their own.
        ttl_seconds: how long another relay waits after this one has died.
        poll_seconds: how often an empty outbox is looked at.
        own: the one tree whose refusal ends `run` and `drain`; any tree's by default. Others are logged, and
            looked at again after a while: a rebuild may have mended them.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        owner: str,
        *,
        ttl_seconds: float = 5.0,
        poll_seconds: float = 0.02,
        own: str | None = None,
    ) -> None:
        self.owner = owner
        self._ledger = ledger
        self._journal = journal
        self._ttl_seconds = ttl_seconds
        self._poll_seconds = poll_seconds
        self._own = own
        self._leases: dict[str, Lease] = {}  # by root
        self._acked: dict[str, int] = {}  # by root: the position that this relay saw or set last
        self.refused: dict[str, VeilstreamError] = {}  # by root: why a tree is not moved
        self._again: dict[str, float] = {}  # by root: when a refused tree is looked at again, in loop time
        self._refresh_at = 0.0
        self._moved = False  # whether the last pass moved anything
        self._moving = asyncio.Lock()  # `drain` and `run` of one relay share its leases

    async def drain(self, timeout: float = 60.0) -> None:
        """Move what there is until every outbox is empty, then give the leases back.

        Where another relay holds a budget's lease, it is waited for: it moves the entries, or its lease runs
        out and this one does.

        Raises:
            BrokerUnavailable: the journal does not take them, or not within `timeout` seconds.
            StoreUnavailable.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        try:
            while not await self._pass():
                if loop.time() > end:
                    raise BrokerUnavailable(
                        "the ledger's outbox is not empty yet", hint="another relay holds it; see its log"
                    )
                await asyncio.sleep(self._poll_seconds)
        finally:
            await self.close()

    async def run(self, stop_event: asyncio.Event) -> None:
        """Move entries as they come until `stop_event` is set. Broker and store may go and come back."""
        try:
            failures = 0
            while not stop_event.is_set():
                failures = await self._try(failures)
                if self._moved and not failures:
                    await asyncio.sleep(0)  # there is more where that came from
                    continue
                try:
                    async with asyncio.timeout(min(self._poll_seconds * 2**failures, 5.0)):
                        await stop_event.wait()
                except TimeoutError:
                    continue
        finally:
            await self.close()

    async def close(self) -> None:
        """Give the leases back, so that the next relay need not wait. Never raises."""
        async with self._moving:
            for root in list(self._leases):
                await self._let_go(root)

    async def _let_go(self, root: str) -> None:
        """Give lease and claim back. A lease that was lost is let be; one that stays runs out by itself."""
        lease = self._leases.pop(root, None)
        self._acked.pop(root, None)
        await self._journal.release(root)
        if lease is not None:
            with suppress(StoreUnavailable):
                await self._ledger.release(lease)

    async def _try(self, failures: int) -> int:
        """One pass; how many in a row have failed now."""
        try:
            await self._pass()
            return 0
        except BrokerUnavailable as error:
            event, kind = "broker_unreachable", type(error).__name__
        except StoreUnavailable as error:
            event, kind = "store_unreachable", type(error).__name__
        emit(event, level=logging.WARNING, error_type=kind, attempt=failures + 1)
        return min(failures + 1, 10)

    async def _pass(self) -> bool:
        """Move every tree's entries once; True when nothing is left anywhere."""
        async with self._moving:
            self._moved = False
            roots = sorted({root_of(name) for name in await self._ledger.budgets()})
            await self._refresh()
            now = asyncio.get_running_loop().time()
            return all(
                [await self._unless_refused(root) for root in roots if now >= self._again.get(root, 0.0)]
            )

    async def _unless_refused(self, root: str) -> bool:
        """`_tree`; a tree whose store and journal do not agree is let be for a while, and others go on."""
        try:
            done = await self._tree(root)
            self.refused.pop(root, None)
            return done
        except (LedgerDiffers, JournalBroken) as error:
            self.refused[root] = error
            self._again[root] = asyncio.get_running_loop().time() + _REFUSED_SECONDS
            await self._let_go(root)
            emit("tree_refused", level=logging.ERROR, budget=root, code=error.code, message=error.message)
            if self._own is None or root == self._own:
                raise
            return True

    async def _refresh(self) -> None:
        """Begin the periods of budgets that are due, now and then: a new one tells who waits for room."""
        now = asyncio.get_running_loop().time()
        if now >= self._refresh_at:
            self._refresh_at = now + _REFRESH_SECONDS
            for name in await self._ledger.budgets():
                # What is wrong with one tree is said when its own entries are moved, and holds up no other.
                with suppress(LedgerDiffers, BudgetUnknown):
                    await self._ledger.refresh_budget(name)

    async def _tree(self, root: str) -> bool:
        client = self._ledger.client
        with store_errors():
            waiting = await client.xlen(Keys(root).outbox)
        gauge("ledger_outbox", budget=root).set(waiting)
        if not waiting:
            return True
        try:
            lease = self._leases.get(root)
            if lease is None:
                lease = await self._take(root)
            return await self._move(root, lease)
        except Fenced:
            await self._let_go(root)
            return False
        except BaseException:
            await self._let_go(root)  # the claim may be over: the next pass makes another, and looks again
            raise

    async def _take(self, root: str) -> Lease:
        """Lease and claim of a tree, when its journal and its store agree."""
        lease = await self._ledger.take(root, RELAY, self._ttl_seconds)
        try:
            async with self._kept(lease):
                # From here on no earlier relay of the tree can write; then what it wrote is looked at.
                await self._journal.claim(root)
                self._acked[root] = await check_journal(
                    self._ledger.client, self._journal, root, self._ledger.root
                )
        except BaseException:
            self._leases[root] = lease
            await self._let_go(root)
            raise
        self._leases[root] = lease
        return lease

    @asynccontextmanager
    async def _kept(self, lease: Lease) -> AsyncIterator[None]:
        """Renew a lease while the broker is waited for: two relays would else fence each other in turn."""

        async def keep() -> None:
            while True:
                await asyncio.sleep(self._ttl_seconds / 3)
                with suppress(Fenced, StoreUnavailable):  # the next script of the lease says it
                    await self._ledger.renew(lease, self._ttl_seconds)

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeping.cancel()

    async def _move(self, root: str, lease: Lease) -> bool:
        client = self._ledger.client
        keys = Keys(root)
        with store_errors():
            acked, journal = (int(held or 0) for held in await client.hmget(keys.tree, "acked", "journal"))
        if acked != self._acked[root]:
            # Only who has the lease moves it, so the store has gone back, lease and all: look again.
            raise Fenced(f"the store of {root} is not what it was under this lease")
        found = await read_outbox(client, root, acked, _BATCH_ENTRIES)
        names = sorted({fields["budget"].decode() for _, fields in found})
        heads = {
            name: (int(meta["acked"]), meta["entry_head"], meta["public_head"])
            for name, (_, meta) in zip(names, await read_path(client, names), strict=True)
        }
        records: list[JournalRecord] = []
        size, last = 0, acked
        for position, fields in found:
            size += sum(len(value) for value in fields.values())
            if records and size > _BATCH_BYTES:
                break
            name = fields["budget"].decode()
            made = assemble(fields, *heads[name][1:], self._ledger.root)
            public = made[-1].public or {}
            heads[name] = (int(fields["seq"]), made[-1].entry["hash"], public["hash"])
            last = position
            records += made
        # Right before the journal is touched: a relay that slept past its lease stops here.
        await self._ledger.renew(lease, self._ttl_seconds)
        end = journal
        if records:
            await self._ledger.replicated(root)
            async with self._kept(lease):
                end = await self._journal.append(records)
        status, _ = await self._ledger.scripts.run(
            "acknowledge",
            [keys.tree, keys.lease(RELAY), keys.outbox, *(Keys(name).meta for name in names)],
            [*lease.proof, acked, last, end, *(value for name in names for value in heads[name])],
        )
        if status != "ok":
            raise Fenced(f"another relay moves the outbox of {root}")
        self._acked[root] = last
        self._moved = self._moved or bool(records)
        for name in names:
            emit("journal_relayed", budget=name, seq=heads[name][0])
        return last == (found[-1][0] if found else acked) and len(found) < _BATCH_ENTRIES
