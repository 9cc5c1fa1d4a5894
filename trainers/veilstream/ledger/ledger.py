"""The ledger's operations. Each is one script in the store; what they mean stands in the room's docstring.

Every event's bytes, its time included, are made here before the script runs, for the sequence number that the
budget is seen to be at. The script refuses if another event came in between ("moved"), and this is tried
again. So an entry is fixed by the same script that changes the state, and whoever relays it later, twice or
after a pause, can write nothing else for its sequence number.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from redis.asyncio import Redis

from veilstream.contracts import KeyProvider, RootKey
from veilstream.errors import (
    BrokerUnavailable,
    BudgetExhausted,
    BudgetExists,
    ChargeInvalid,
)
from veilstream.keys import seal
from veilstream.ledger.attempts import TRIES, Attempts
from veilstream.ledger.budget import MAX_BUCKETS, Budget, decide, define, raised
from veilstream.ledger.chain import GENESIS
from veilstream.ledger.lease import Lease
from veilstream.ledger.manifest import Manifest, reservation_id, unpack, validate
from veilstream.ledger.projection import event, refusal_key, rfc3339, show
from veilstream.ledger.refusals import contended, refused, same_model
from veilstream.ledger.scripts import Scripts
from veilstream.ledger.store import (
    BUDGETS,
    Keys,
    attempt_field,
    members,
    meta_of,
    read_meta,
    store_errors,
    wait_for,
)
from veilstream.telemetry.logs import emit
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


class Ledger(Attempts):
    """The ledger over a store.

    Args:
        client: Valkey or Redis with AOF and `appendfsync always` (`durability` tells); it does not decode.
        root: the ledger's root key.
        clock: Unix seconds, for the events' time; nothing is decided by it.
        random: gives n random bytes.
        provider: opens sealed people for `rebuild`, `verify`; not needed to charge.
        max_entry_bytes: the largest journal entry; a charge that would not fit is refused before it is made.
    """

    def __init__(
        self,
        client: Redis,
        root: RootKey,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
        provider: KeyProvider | None = None,
        max_entry_bytes: int = 1_000_000,
    ) -> None:
        self.client = client
        self.root = root
        self.provider = provider
        self.scripts = Scripts(client)
        self.random = random
        self._clock = clock
        self.max_entry_bytes = max_entry_bytes

    # Budgets

    async def create_budget(
        self,
        name: str,
        tenant: str,
        epsilon: float,
        delta: float,
        orders: Sequence[float],
        mode: str = "odometer",
        *,
        buckets: int = 8192,
    ) -> dict[str, Any]:
        """Create a budget; the same again changes nothing. Returns its public state.

        `buckets` hashes hold its people, 1 to 65,536: some 100 people in each use the least memory.

        Raises:
            AccountingError: a parameter outside its domain.
            BudgetExists: the name is taken by a budget that was created with other parameters.
        """
        budget = replace(define(name, tenant, epsilon, delta, orders, mode), seq=1)
        if type(buckets) is not int or not 1 <= buckets <= MAX_BUCKETS:
            raise ChargeInvalid(f"buckets is an integer from 1 to {MAX_BUCKETS}")
        meta = meta_of(budget, buckets)
        meta |= {"acked": "0", "rebuilt": "0", "entry_head": GENESIS, "public_head": GENESIS}
        created = event(budget, 1, "created", self.now())
        keys = Keys(name)
        with store_errors():
            await self.client.sadd(BUDGETS, name)
        fields = [part for pair in meta.items() for part in pair]
        status, _ = await self.scripts.run(
            "create", [keys.meta, keys.outbox], [created, orjson.dumps({"buckets": buckets}), *fields]
        )
        if status == "ok":
            emit("budget_created", budget=name, epsilon=budget.epsilon, delta=budget.delta)
            return show(budget)
        there, _ = await read_meta(self.client, name)
        same = (there.tenant, there.created_epsilon, there.delta, there.orders, there.mode)
        if same != (budget.tenant, budget.epsilon, budget.delta, budget.orders, budget.mode):
            raise BudgetExists(
                f"budget {name} exists with other parameters",
                hint="take another name, or `veilstream budget raise` for a larger ε",
            )
        return show(there)

    async def raise_budget(self, name: str, epsilon: float) -> dict[str, Any]:
        """Raise a budget's ε, upwards only: a journalled event, with new caps. Returns its public state.

        The same ε again changes nothing.

        Raises:
            AccountingError: ε outside its domain, or smaller than now.
            BudgetUnknown.
        """
        keys = Keys(name)
        for _ in range(TRIES):
            budget, _meta = await read_meta(self.client, name)
            if epsilon == budget.epsilon:
                return show(budget)
            larger = replace(raised(budget, epsilon), seq=budget.seq + 1)
            fields = meta_of(larger, 1)
            told = event(larger, larger.seq, "raised", self.now())
            status, _ = await self.scripts.run(
                "raise", [keys.meta, keys.outbox], [budget.seq, fields["epsilon"], fields["caps"], told]
            )
            if status == "ok":
                emit("budget_raised", budget=name, epsilon=larger.epsilon)
                return show(larger)
        raise contended(name)

    async def budgets(self) -> list[str]:
        """Names of the budgets that there are, sorted."""
        names = sorted(await members(self.client, BUDGETS))
        with store_errors():
            return [name for name in names if await self.client.exists(Keys(name).meta)]

    async def budget(self, name: str) -> Budget:
        """A budget's public state as a value. Raises BudgetUnknown."""
        return (await read_meta(self.client, name))[0]

    async def show(self, name: str) -> dict[str, Any]:
        """A budget's public state, and up to which entry the journal has acknowledged. BudgetUnknown."""
        budget, meta = await read_meta(self.client, name)
        return {**show(budget), "exhausted": budget.exhausted, "acknowledged": int(meta["acked"])}

    # Charging

    async def charge(self, manifest: Manifest, lease: Lease) -> Reservation:
        """Charge a window to its people and to the odometer, in one script; never refunded.

        The same manifest again gives the same answer and charges nothing. Train on `admitted` only, after
        `wait_acknowledged` and `start`.

        Raises:
            ChargeInvalid: malformed, or not the next attempt at its window; nothing was changed.
            BudgetExhausted: the odometer has no room (mode `odometer`). A `refused` event tells it once for a
                charge of the same public parameters, until the budget is raised.
            BudgetUnknown, Fenced, StoreUnavailable.
        """
        same_model(lease, manifest.budget, manifest.model)
        budget, _ = await read_meta(self.client, manifest.budget)
        people = validate(manifest, budget)
        joined = b"".join(people)
        public = manifest.public()
        identity = reservation_id(
            self.root, manifest.budget, manifest.tenant, public, manifest.parent, joined
        )
        sealed = seal(
            self.root, joined, tenant=None, topic=PEOPLE_TOPIC, path=PEOPLE_PATH, random=self.random
        )
        state = orjson.dumps(
            {"epoch": lease.epoch, "parent": manifest.parent, "key_version": self.root.version}
        )
        # base64 takes 4 for 3; 4,000 bytes are more than an entry's other fields.
        if (len(sealed) + len(people) // 8) * 4 // 3 + 4000 > self.max_entry_bytes:
            raise ChargeInvalid(
                "too many people for one journal entry",
                hint="raise kafka.max_record_bytes, or take shorter windows",
            )
        keys = Keys(manifest.budget)
        field = attempt_field(manifest.model, manifest.window)
        for _ in range(TRIES):
            decision = decide(budget, manifest.charge.charges)
            seq, spent = budget.seq + 1, decision.after
            verdict = "charged" if decision.admitted else "refused"
            now = self.now()
            reason = {} if decision.admitted else {"reason": "no_room"}
            told = event(spent, seq, verdict, now, **public, **reason)
            also = event(
                spent, seq + 1, "exhausted", now, model=public["model"], charge=public["charge"],
                reason="no_room_for_the_same_charge",
            ) if decision.exhausts else b""  # fmt: skip
            status, answer = await self.scripts.run(
                "charge",
                [
                    keys.meta,
                    keys.lease(lease.name),
                    keys.reservation(identity),
                    keys.outbox,
                    keys.attempts,
                    keys.open(manifest.model),
                    keys.refusals,
                ],
                [
                    *lease.proof,
                    budget.seq,
                    verdict,
                    ",".join(map(str, manifest.charge.charges)),
                    ",".join(map(str, spent.spent)),
                    int(decision.exhausts),
                    field,
                    manifest.attempt,
                    refusal_key(public),
                    keys.people,
                    joined,
                    sealed,
                    told,
                    also,
                    state,
                    identity,
                    manifest.model,
                    repr(float(manifest.window[0])),
                    repr(float(manifest.window[1])),
                    repr(show(spent)["epsilon_spent"]),
                ],
            )
            if status != "moved":
                return self._charged(status, answer, manifest, identity, people)
            budget, _ = await read_meta(self.client, manifest.budget)
        raise contended(manifest.budget)

    def _charged(
        self, status: str, answer: list[bytes], manifest: Manifest, identity: str, people: list[bytes]
    ) -> Reservation:
        outcomes = counter("ledger_charges", budget=manifest.budget, outcome=status)
        outcomes.inc()
        if status in ("charged", "repeated"):
            seq, attempt, bitmap, epsilon_spent = answer
            admitted = tuple(
                unpack(packed)
                for position, packed in enumerate(people)
                if bitmap[position // 8] >> (7 - position % 8) & 1
            )
            return Reservation(
                identity, int(seq), admitted, int(attempt), status == "repeated", float(epsilon_spent)
            )
        if status == "refused":
            raise BudgetExhausted(
                f"budget {manifest.budget} has no room for this charge",
                hint="`veilstream budget raise`, or more noise, fewer steps, a lower sampling rate",
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
