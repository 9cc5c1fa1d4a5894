"""A charge under way: whoever meets one helps to finish it, then goes on with their own.

A window of many people would hold the store for as long as it takes to charge them. So `lua/charge.lua` only
writes such a charge down, decided and fenced, and `lua/advance.lua` charges its people run by run; with the
last run everything else of it is applied in the same script. All that it needs is in the store. If the
process that began it dies, the next one that writes to the same tree finishes it, whoever that is; nobody
waits for a process.
"""

from __future__ import annotations

from collections.abc import Sequence

from veilstream.errors import LedgerDiffers, StoreUnavailable
from veilstream.ledger.leasing import Leasing
from veilstream.ledger.store import Keys, store_errors

__all__ = ["SCRIPT_MICROSECONDS", "Helping", "people_per_script"]

SCRIPT_MICROSECONDS = 3_000
"""How long a script should hold the store on a quiet machine, where it may for 10 ms."""

_REPLICA_SECONDS = 5.0

_ONE_ORDER_MICROSECONDS = 4.0
_SEVERAL_ORDERS_MICROSECONDS = (4.0, 0.4)  # a person, and each order


def people_per_script(orders: int, levels: int) -> int:
    """How many people one script charges: a multiple of 8, so that the bitmaps of the runs can be joined."""
    base, each = _SEVERAL_ORDERS_MICROSECONDS
    cost = _ONE_ORDER_MICROSECONDS if orders == 1 else base + each * orders
    return max(8, int(SCRIPT_MICROSECONDS / (cost * levels)) // 8 * 8)


class Helping(Leasing):
    """The part of `Ledger` that runs scripts which a charge under way keeps out, and waits for replicas."""

    replicas: int

    async def finish_pending(self, budget: str) -> tuple[str, list[bytes]] | None:
        """Finish what is under way in a budget's tree: its reservation id and its answer.

        None where nothing is, or somebody else ended it. Raises StoreUnavailable, LedgerDiffers.
        """
        keys = Keys(budget)
        while True:
            status, answer = await self.scripts.run(
                "advance", [keys.tree, keys.pending, keys.pending_people, keys.outbox], []
            )
            if status == "charged":
                return answer[0].decode(), answer[1:]
            if status == "none":
                return None
            if status == "gone":
                raise LedgerDiffers(
                    f"a charge of {budget} is under way to a budget that is not there",
                    hint="a rebuild was broken off: `veilstream ledger rebuild --force`",
                )

    async def replicated(self, budget: str) -> None:
        """Return when `replicas` replicas have every write so far; at once where none is asked for.

        WAIT speaks of the writes of its own connection: one of its own comes first, behind all others'.

        Raises StoreUnavailable: too few have it in time.
        """
        if not self.replicas:
            return
        with store_errors():
            async with self.client.pipeline(transaction=False) as pipeline:  # one connection
                pipeline.hincrby(Keys(budget).tree, "waits", 1)
                pipeline.execute_command("WAIT", self.replicas, round(_REPLICA_SECONDS * 1000))
                _, reached = await pipeline.execute()
        if reached < self.replicas:
            raise StoreUnavailable(
                f"{reached} of {self.replicas} replicas of the store have the last charge",
                hint="see that they run; store.replicas says how many must have it",
            )

    async def write(
        self, budget: str, name: str, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> tuple[str, list[bytes]]:
        """`Scripts.run` for a script that changes a tree, after whatever is under way there."""
        while True:
            status, answer = await self.scripts.run(name, keys, args)
            if status != "pending":
                return status, answer
            await self.finish_pending(budget)
