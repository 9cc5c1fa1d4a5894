"""The ledger's operations on windows: charging them. What they mean stands in the room's docstring."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from redis.asyncio import Redis

from veilstream.contracts import KeyProvider, RootKey
from veilstream.errors import BrokerUnavailable, BudgetExhausted, ChargeInvalid
from veilstream.keys import seal
from veilstream.ledger.attempts import Attempts
from veilstream.ledger.budget import Budget, decide, root_of
from veilstream.ledger.budgets import Budgets
from veilstream.ledger.helping import people_per_script
from veilstream.ledger.lease import Lease
from veilstream.ledger.manifest import TOKEN_BYTES, Manifest, People, reservation_id, validate
from veilstream.ledger.planning import plan_of
from veilstream.ledger.projection import refusal_key, rfc3339
from veilstream.ledger.refusals import TRIES, contended, refused, same_model
from veilstream.ledger.scripts import Scripts
from veilstream.ledger.store import Keys, attempt_field, moved_to, read_attempt, store_errors, wait_for
from veilstream.telemetry.metrics import counter

__all__ = ["PEOPLE_PATH", "PEOPLE_TOPIC", "Ledger", "Reservation"]

PEOPLE_TOPIC = "ledger.journal"
PEOPLE_PATH = "people"

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Reservation:
    """The answer to a charge. `admitted` are the people to train on: ledger tokens, inside the boundary."""

    id: str
    seq: int
    admitted: tuple[str, ...]
    attempt: int
    repeated: bool  # this manifest had been charged before; nothing was charged now
    epsilon_spent: float  # of the public odometer after the charge


class Ledger(Attempts, Budgets):
    """The ledger over a store.

    Args:
        client: Valkey or Redis with AOF and `appendfsync always` (`durability` tells); it does not decode.
        root: the ledger's root key.
        clock: Unix seconds, for the events' time; nothing is decided by it.
        random: gives n random bytes.
        provider: opens sealed people for `rebuild`, `verify`, and has the operator's key, which changing a
            budget takes; not needed to charge.
        operator: the operator's root key, where there is no provider.
        by: who acts, as the journal names them when a budget is changed.
        max_entry_bytes: the largest journal entry; people who do not fit go into entries before it.
        replicas: of the store, that must have a charge before the journal gets it, and a start before it
            counts.
    """

    def __init__(
        self,
        client: Redis,
        root: RootKey,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
        provider: KeyProvider | None = None,
        operator: RootKey | None = None,
        by: str = "operator",
        max_entry_bytes: int = 1_000_000,
        replicas: int = 0,
    ) -> None:
        self.client = client
        self.root = root
        self.provider = provider
        self.operator = operator
        self.by = by.encode("utf-8", "replace").decode()[:128]
        self.scripts = Scripts(client)
        self.random = random
        self._clock = clock
        self._turns: dict[str, asyncio.Lock] = {}  # by root
        self.max_entry_bytes = max_entry_bytes
        self.replicas = replicas

    async def charge(self, manifest: Manifest, lease: Lease) -> Reservation:
        """Charge a window to its people and to the odometers, of its budget and of all above; never refunded.

        The same manifest again gives the same answer and charges nothing. Train on `admitted` only, after
        `wait_acknowledged` and `start`.

        Raises:
            ChargeInvalid: malformed, or not the next attempt at its window; nothing was changed.
            BudgetExhausted: the odometer has no room (mode `odometer`). A `refused` event tells it once for a
                charge of the same public parameters, until the budget is raised.
            BudgetUnknown, Fenced, StoreUnavailable.
        """
        # Taken before anything is done that takes as long as there are people: events say it outside.
        now = self.now()
        same_model(lease, manifest.budget, manifest.model)
        path = await self._refreshed_path(manifest.budget)
        people = validate(manifest, path[0])
        public = manifest.public()
        identity = reservation_id(
            self.root, manifest.budget, manifest.tenant, public, manifest.parent, people.packed
        )
        sealed = self._sealed(people.packed)
        # The store does one at a time anyway; in turn, models of one process do not tell each other `moved`.
        turn = self._turns.setdefault(root_of(manifest.budget), asyncio.Lock())
        waits = turn.locked()
        async with turn:
            if waits:  # others have changed it since
                path = await self.path(manifest.budget)
            return await self._in_turn(manifest, lease, path, identity, people, sealed, now)

    async def _in_turn(
        self,
        manifest: Manifest,
        lease: Lease,
        path: list[Budget],
        identity: str,
        people: People,
        sealed: list[bytes],
        now: str,
    ) -> Reservation:
        keys, public = Keys(manifest.budget), manifest.public()
        for _ in range(TRIES):
            decision = decide(path, manifest.charge.charges)
            plan = plan_of(manifest, path, decision, identity, lease.epoch, self.root.version, now)
            status, answer = await self.write(
                manifest.budget,
                "charge",
                [
                    keys.tree,
                    keys.lease(lease.name),
                    keys.reservation(identity),
                    keys.outbox,
                    keys.attempts,
                    keys.refusals,
                    keys.pending,
                    keys.pending_people,
                    *(Keys(budget.name).meta for budget in path),
                ],
                [
                    *lease.proof,
                    attempt_field(manifest.model, manifest.window),
                    manifest.attempt,
                    refusal_key(public),
                    plan.verdict,
                    ",".join(map(str, manifest.charge.charges)),
                    plan.odometers,
                    people_per_script(len(path[0].orders), len(path)),
                    people.packed,
                    plan.json,
                    *sealed,
                ],
            )
            if status == "begun":
                finished = await self.finish_pending(manifest.budget)
                if finished is not None and finished[0] == identity:
                    return self._charged("charged", finished[1], manifest, identity, people)
                # Somebody else ended it: its answer stands in the store, as for any repeated charge.
                known = await read_attempt(self.client, keys.reservation(identity))
                if known is not None:
                    return self._charged("charged", known.answer, manifest, identity, people)
            elif status != "moved":
                return self._charged(status, answer, manifest, identity, people)
            path = moved_to(path, answer) if status == "moved" else await self.path(manifest.budget)
        raise contended(manifest.budget)

    async def _refreshed_path(self, name: str) -> list[Budget]:
        """The path, after the periods that are due have begun: a charge counts in the period of its time."""
        now = self.unix()
        path = await self.path(name)
        due = [budget for budget in path if budget.due_period(now) > budget.period]
        for budget in due:
            await self.refresh_budget(budget.name)
        return await self.path(name) if due else path

    def _sealed(self, packed: bytes) -> list[bytes]:
        """The people under the ledger's key, in as many parts as the journal's entries need."""
        # base64 takes 4 for 3, the bitmap a bit for each person; 8,000 bytes are more than all else there is.
        room = self.max_entry_bytes - 8_000 - len(packed) // TOKEN_BYTES // 6
        size = room * 3 // 4 // TOKEN_BYTES * TOKEN_BYTES
        if size < TOKEN_BYTES:
            raise ChargeInvalid(
                "not even the bitmap of so many people fits into a journal entry",
                hint="raise kafka.max_record_bytes, or take shorter windows",
            )
        return [
            seal(
                self.root,
                packed[at : at + size],
                tenant=None,
                topic=PEOPLE_TOPIC,
                path=PEOPLE_PATH,
                random=self.random,
            )
            for at in range(0, max(1, len(packed)), size)
        ]

    def _charged(
        self, status: str, answer: Sequence[bytes], manifest: Manifest, identity: str, people: People
    ) -> Reservation:
        counter("ledger_charges", budget=manifest.budget, outcome=status).inc()
        if status in ("charged", "repeated"):
            seq, attempt, bitmap, epsilon_spent = answer
            chosen = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=len(people.tokens))
            admitted = tuple(compress(people.tokens, chosen.tolist()))
            return Reservation(
                identity, int(seq), admitted, int(attempt), status == "repeated", float(epsilon_spent)
            )
        if status == "refused":
            raise BudgetExhausted(
                f"budget {manifest.budget}, or one above it, has no room for this charge or is frozen",
                hint="`veilstream budget list` tells; `veilstream budget raise`, or more noise, fewer steps, "
                "a lower sampling rate",
            )
        if status == "attempt":
            raise ChargeInvalid(
                f"{int(answer[0])} attempts at this window were charged, so the next is {int(answer[0]) + 1}",
                hint="a restart is a new attempt with a new charge",
            )
        raise refused(status, manifest.budget)

    async def next_attempt(self, budget: str, model: str, window: tuple[float, float]) -> int:
        """The number that the next attempt at a window must have."""
        with store_errors():
            found = await self.client.hget(Keys(budget).attempts, attempt_field(model, window))
        return int(found or 0) + 1

    async def wait_acknowledged(self, budget: str, seq: int, timeout: float = 30.0) -> None:
        """Return when the journal has acknowledged everything up to `seq`; `timeout` in seconds.

        Raises:
            BrokerUnavailable: it has not, within the timeout.
            BudgetUnknown, StoreUnavailable.
        """
        if not await wait_for(self.client, budget, seq, timeout, _POLL_SECONDS):
            raise BrokerUnavailable(
                f"the journal has not acknowledged entry {seq} of budget {budget}",
                hint="see that Kafka is up and that a worker's relay runs",
            )

    def now(self) -> str:
        return rfc3339(self._clock())

    def unix(self) -> float:
        return self._clock()
