"""Models that charge, start and commit until their store is gone, and what they were told until then."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ledger_world import DELTA, card, people, price
from veilstream.errors import BrokerUnavailable, StoreUnavailable
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Lease, Ledger, Manifest, MemoryJournal, Relay, Reservation, dump

ROOT, BUDGET = "acme", "acme/support"
ORDERS = (12,)
MODELS = ("m0", "m1", "m2")
SIZES = (3, 3, 40, 40, 200, 800)  # the last takes more than one script
EVERYBODY = people(*range(900))


@contextlib.asynccontextmanager
async def opened(url: str, folder: Path, replicas: int = 0) -> AsyncIterator[Ledger]:
    """The ledger over a store, by a client that gives up at once."""
    provider = FileKeyProvider(folder / "keys")
    provider.create_ledger()
    provider.create_operator()
    client = Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=20.0)
    try:
        yield Ledger(client, provider.ledger(), provider=provider, replicas=replicas)
    finally:
        await client.aclose()


@dataclass
class Story:
    """What the models of all rounds were told, and the journal, which outlives the store."""

    dice: Random
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    leases: dict[str, Lease] = field(default_factory=dict)
    charged: dict[str, tuple[Manifest, Reservation]] = field(default_factory=dict)
    unanswered: list[Manifest] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    maybe_started: set[str] = field(default_factory=set)
    committed: set[str] = field(default_factory=set)
    acknowledged: int = 0
    ended: list[str] = field(default_factory=list)  # why the models of this round gave up
    _numbers: Any = field(default_factory=itertools.count)

    async def create(self, ledger: Ledger) -> None:
        await ledger.create_budget(ROOT, "acme", 1e6, DELTA, ORDERS, buckets=64)
        await ledger.create_budget(BUDGET, "acme", 1e6, DELTA, ORDERS, buckets=16)
        for model in MODELS:
            self.leases[model] = await ledger.lease(BUDGET, model, 3600.0)

    async def live(self, ledger: Ledger) -> None:
        """Everything at once, until the store does not answer."""
        relay = Relay(ledger, self.journal, "kills", poll_seconds=0.002, ttl_seconds=0.1)
        stop = asyncio.Event()
        moving = asyncio.create_task(relay.run(stop))
        await asyncio.gather(*(self._model(ledger, model) for model in MODELS))
        stop.set()
        await moving

    async def a_while(self) -> None:
        """Until up to six more charges are answered (the first time, one committed), and a moment longer."""
        enough = len(self.charged) + self.dice.randint(0, 6)
        loop = asyncio.get_running_loop()
        end = loop.time() + 60.0
        while len(self.charged) < enough or not self.committed:
            assert not self.ended, self.ended
            assert loop.time() < end
            await asyncio.sleep(0.001)
        if self.dice.random() < 0.3:
            await asyncio.sleep(self.dice.uniform(0.0, 0.03))
            return
        while not self.unanswered:  # mostly, while a charge is asked for
            assert not self.ended, self.ended
            await asyncio.sleep(0)
        await asyncio.sleep(self.dice.uniform(0.0, 0.003))

    async def _model(self, ledger: Ledger, model: str) -> None:
        lease = self.leases[model]
        try:
            while True:
                number = next(self._numbers)
                span = (number * 60.0, number * 60.0 + 60.0)
                who = tuple(self.dice.sample(EVERYBODY, self.dice.choice(SIZES)))
                manifest = Manifest(BUDGET, "acme", model, span, who, price(ORDERS))
                self.unanswered.append(manifest)
                reservation = await ledger.charge(manifest, lease)
                self.unanswered.remove(manifest)
                self.charged[reservation.id] = (manifest, reservation)
                await ledger.wait_acknowledged(BUDGET, reservation.seq, 20.0)
                self.acknowledged = max(self.acknowledged, reservation.seq)
                self.maybe_started.add(reservation.id)
                await ledger.start(reservation.id, lease)
                self.started.add(reservation.id)
                told = card(reservation, f"r{number}", budget=BUDGET) | {"model": model}
                await ledger.commit(reservation.id, lease, {"release": f"r{number}"}, told)
                self.committed.add(reservation.id)
        except (StoreUnavailable, BrokerUnavailable) as error:
            self.ended.append(error.message)

    async def ask_again(self, ledger: Ledger) -> int:
        """Charge what was not answered once more; how many of these had been charged before."""
        self.ended.clear()
        again, self.unanswered = self.unanswered, []
        repeated = 0
        for manifest in again:
            reservation = await ledger.charge(manifest, self.leases[manifest.model])
            repeated += reservation.repeated
            self.charged[reservation.id] = (manifest, reservation)
        return repeated

    async def check(self, ledger: Ledger) -> None:
        """Everything that was told is in the store, nothing else is, and nothing is there twice."""
        held = orjson.loads(await dump(ledger.client, BUDGET))
        kept = held["reservations"]
        assert kept.keys() == self.charged.keys()
        for identity, (_, reservation) in self.charged.items():
            assert kept[identity]["seq"] == reservation.seq
        states: dict[str, set[str]] = {}
        for identity, attempt in kept.items():
            states.setdefault(attempt["state"], set()).add(identity)
        committed = states.get("committed", set())
        assert self.committed <= committed <= self.started
        assert self.started <= committed | states.get("started", set()) <= self.maybe_started
        assert held["relayed"]["seq"] >= self.acknowledged
        # Paid: each charge once, by everyone in it once, at both budgets.
        (units,) = price(ORDERS).charges
        paid = Counter(token for _, made in self.charged.values() for token in made.admitted)
        for budget in (BUDGET, ROOT):
            both = orjson.loads(await dump(ledger.client, budget))
            assert both["budget"]["spent"] == [units * len(self.charged)]
            assert both["people"] == {token: [units * times] for token, times in paid.items()}
