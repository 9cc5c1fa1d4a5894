"""Taking, keeping and giving back leases: the store's side of `lease`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from redis.asyncio import Redis

from veilstream.errors import ChargeInvalid, Fenced
from veilstream.ledger.lease import RELAY, Lease, model_lease
from veilstream.ledger.manifest import MODEL_NAME
from veilstream.ledger.scripts import Scripts
from veilstream.ledger.store import Keys, read_meta
from veilstream.telemetry.logs import emit

__all__ = ["Leasing"]


class Leasing:
    """The part of `Ledger` that deals in leases."""

    client: Redis
    scripts: Scripts
    random: Callable[[int], bytes]

    async def lease(
        self, budget: str, model: str, ttl_seconds: float = 30.0, *, wait_seconds: float = 0.0
    ) -> Lease:
        """Take the lease of a model: a new epoch, which fences every earlier one.

        While another process holds it (its time to live is not over and it was not released) this waits up to
        `wait_seconds`. After a crash of the holder that is at most its `ttl_seconds`.

        Raises:
            Fenced: another process holds it.
            BudgetUnknown, ChargeInvalid (a model's name that cannot be), StoreUnavailable.
        """
        if not MODEL_NAME.fullmatch(model):
            raise ChargeInvalid("a model's name is up to 128 of a-z 0-9 . _ -, the first a letter or digit")
        return await self.take(budget, model_lease(model), ttl_seconds, wait_seconds=wait_seconds)

    async def take(self, budget: str, name: str, ttl_seconds: float, *, wait_seconds: float = 0.0) -> Lease:
        """As `lease`, for any name."""
        if not 0.0 < ttl_seconds <= 86400.0:
            raise ChargeInvalid("a lease lives for more than 0 seconds and at most a day")
        await read_meta(self.client, budget)
        owner = self.random(16).hex()
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_seconds
        while True:
            status, answer = await self._run(budget, name, "acquire", "", owner, ttl_seconds)
            if status == "ok":
                level = logging.DEBUG if name == RELAY else logging.INFO  # relays come and go all the time
                emit("lease_taken", level=level, name=f"{budget}/{name}", epoch=int(answer[0]))
                return Lease(budget, name, int(answer[0]), owner)
            rest = int(answer[0]) / 1000
            if loop.time() >= end:
                raise Fenced(
                    f"another process holds the lease {name} of budget {budget}",
                    hint=f"it runs out in {rest:.1f} s, if that process is gone",
                )
            await asyncio.sleep(max(0.01, min(rest, end - loop.time(), 0.5)))

    async def renew(self, lease: Lease, ttl_seconds: float = 30.0) -> None:
        """Keep a lease for so many seconds from now. Raises Fenced where a newer one was taken."""
        status, _ = await self._run(
            lease.budget, lease.name, "renew", lease.proof[0], lease.owner, ttl_seconds
        )
        if status != "ok":
            emit("lease_lost", name=f"{lease.budget}/{lease.name}", epoch=lease.epoch)
            raise Fenced(f"a newer lease {lease.name} of budget {lease.budget} was taken", hint="stop")

    async def release(self, lease: Lease) -> None:
        """Give a lease back: it is worth nothing from here on. A lease that was lost is let be."""
        await self._run(lease.budget, lease.name, "release", lease.proof[0], lease.owner, 0.0)

    async def _run(
        self, budget: str, name: str, operation: str, epoch: str, owner: str, ttl_seconds: float
    ) -> tuple[str, list[bytes]]:
        key = Keys(budget).lease(name)
        return await self.scripts.run("lease", [key], [operation, epoch, owner, round(ttl_seconds * 1000)])
