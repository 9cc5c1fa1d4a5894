"""From the outbox to the journal: one relay at a time for each budget, in order, with both hash chains.

The leased relay reads the outbox, links each entry to the heads that the store keeps, appends to the journal,
and when the journal has acknowledged it moves the heads and trims the outbox in one fenced script. If it dies
in between, the next relay appends the same entries again, byte for byte (`assemble`), and readers drop them.
"""

from __future__ import annotations

import asyncio
import logging

from veilstream.contracts import Journal, JournalRecord
from veilstream.errors import BrokerUnavailable, Fenced, StoreUnavailable
from veilstream.ledger.assemble import assemble
from veilstream.ledger.lease import RELAY, Lease
from veilstream.ledger.ledger import Ledger
from veilstream.ledger.store import Keys, read_meta, read_outbox, store_errors
from veilstream.telemetry.logs import emit
from veilstream.telemetry.metrics import gauge

__all__ = ["Relay"]

_BATCH_ENTRIES = 100
_BATCH_BYTES = 4_000_000


class Relay:
    """Moves every budget's outbox.

    Args:
        ledger: whose outbox.
        journal: where to.
        owner: name of this process, for its log lines; leases are told apart by a random owner of their own.
        ttl_seconds: how long another relay waits after this one has died.
        poll_seconds: how often an empty outbox is looked at.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        owner: str,
        *,
        ttl_seconds: float = 5.0,
        poll_seconds: float = 0.05,
    ) -> None:
        self.owner = owner
        self._ledger = ledger
        self._journal = journal
        self._ttl_seconds = ttl_seconds
        self._poll_seconds = poll_seconds
        self._leases: dict[str, Lease] = {}
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
            leases, self._leases = self._leases, {}
            for lease in leases.values():
                try:
                    await self._ledger.release(lease)
                except StoreUnavailable:
                    continue  # it runs out by itself

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
        """Move every budget's entries once; True when nothing is left anywhere."""
        async with self._moving:
            done = [await self._budget(name) for name in await self._ledger.budgets()]
            return all(done)

    async def _budget(self, name: str) -> bool:
        client = self._ledger.client
        with store_errors():
            waiting = await client.xlen(Keys(name).outbox)
        gauge("ledger_outbox", budget=name).set(waiting)
        if not waiting:
            return True
        try:
            lease = self._leases.get(name)
            if lease is None:
                lease = await self._ledger.take(name, RELAY, self._ttl_seconds)
                self._leases[name] = lease
            return await self._move(name, lease)
        except Fenced:
            self._leases.pop(name, None)
            return False

    async def _move(self, name: str, lease: Lease) -> bool:
        _, meta = await read_meta(self._ledger.client, name)
        acked, entry_head, public_head = int(meta["acked"]), meta["entry_head"], meta["public_head"]
        records: list[JournalRecord] = []
        size = 0
        last = acked
        found = await read_outbox(self._ledger.client, name, acked, _BATCH_ENTRIES)
        for seq, fields in found:
            size += sum(len(value) for value in fields.values())
            if records and size > _BATCH_BYTES:
                break
            record = assemble(name, fields, entry_head, public_head)
            entry_head, public_head, last = record.entry["hash"], record.public["hash"], seq
            records.append(record)
        # Right before the journal is touched: a relay that slept past its lease stops here.
        await self._ledger.renew(lease, self._ttl_seconds)
        if records:
            await self._journal.append(records)
        keys = Keys(name)
        status, _ = await self._ledger.scripts.run(
            "acknowledge",
            [keys.meta, keys.lease(RELAY), keys.outbox],
            [*lease.proof, acked, last, entry_head, public_head],
        )
        if status != "ok":
            raise Fenced(f"another relay moves the outbox of budget {name}")
        if records:
            emit("journal_relayed", budget=name, seq=last)
        return last == (found[-1][0] if found else acked) and len(found) < _BATCH_ENTRIES
