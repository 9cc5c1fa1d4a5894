"""The ledger under every interleaving: hypothesis drives two workers, a relay, crashes and rebuilds on a real
Valkey, against a model of some lines. What must always hold:

* spent ≥ released: every release belongs to an attempt that was charged and started before;
* no person passes their cap, nor does the odometer in its mode;
* no attempt starts twice; the same manifest again charges nothing;
* the store is what the journal and the outbox say.
"""

import asyncio
import base64
import contextlib
import hashlib
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import ClassVar, TypeVar

import orjson
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.asyncio import Redis

from veilstream.errors import BudgetExhausted, ChargeInvalid, Fenced
from veilstream.keys import FileKeyProvider
from veilstream.ledger import (
    Charge,
    Lease,
    Ledger,
    Manifest,
    MemoryJournal,
    Relay,
    Reservation,
    dump,
    rebuild,
    verify,
)

T = TypeVar("T")
DELTA, ORDERS = 1e-6, (9, 14)
PEOPLE = [base64.b32encode(hashlib.sha256(bytes([n])).digest()[:15]).decode().lower() for n in range(12)]


def price(noise: float) -> Charge:
    return Charge.of(
        ORDERS,
        sampling_rate=0.2,
        noise_multiplier=noise,
        steps=20,
        clip_norm=1.0,
        records_per_person=1,
        expected_batch=2.0,
    )


class Machine(RuleBasedStateMachine):
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client: Redis = Redis.from_url(self.url)
        self.folder = tempfile.TemporaryDirectory()
        provider = FileKeyProvider(Path(self.folder.name))
        provider.create_ledger()
        provider.create_operator()
        self.ledger = Ledger(self.client, provider.ledger(), provider=provider)
        self.journal = MemoryJournal()
        self.relay = Relay(self.ledger, self.journal, "machine")
        self.leases: list[Lease] = []  # the last one is the newest
        self.charged: list[tuple[Manifest, Reservation]] = []
        self.started: set[str] = set()
        self.released: set[str] = set()
        self.spent = (0, 0)

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.ensure_future(work, loop=self.loop))

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.loop.close()
        self.folder.cleanup()

    @initialize(mode=st.sampled_from(["odometer", "individual"]))
    def create(self, mode: str) -> None:
        self.mode = mode
        self.run(self.client.flushall())
        self.run(self.ledger.create_budget("b", "acme", 3.0, DELTA, ORDERS, mode, buckets=4))
        self.take()

    @rule()
    def take(self) -> None:
        """Another worker takes over; the old one lives on and does not know."""
        if self.leases:
            self.run(self.ledger.renew(self.leases[-1], 0.001))
        self.leases.append(self.run(self.ledger.lease("b", "m", wait_seconds=5.0)))

    @rule(
        window=st.integers(0, 3),
        who=st.sets(st.sampled_from(PEOPLE)),
        noise=st.sampled_from([1.5, 3.0, 6.0]),
        zombie=st.booleans(),
    )
    def charge(self, window: int, who: set[str], noise: float, zombie: bool) -> None:
        span = (window * 1.0, window + 1.0)
        attempt = self.run(self.ledger.next_attempt("b", "m", span))
        made = Manifest("b", "acme", "m", span, tuple(who), price(noise), attempt)
        old = zombie and len(self.leases) > 1
        with contextlib.suppress(BudgetExhausted, Fenced):
            answer = self.run(self.ledger.charge(made, self.leases[0 if old else -1]))
            assert not old
            assert not answer.repeated
            self.charged.append((made, answer))
            self.spent = tuple(a + b for a, b in zip(self.spent, made.charge.charges, strict=True))  # type: ignore[assignment]

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def charge_again(self, data: st.DataObject) -> None:
        made, answer = data.draw(st.sampled_from(self.charged))
        again = self.run(self.ledger.charge(made, self.leases[-1]))
        assert again.repeated
        assert (again.id, again.seq, again.admitted) == (answer.id, answer.seq, answer.admitted)

    @precondition(lambda self: self.charged)
    @rule(data=st.data(), zombie=st.booleans())
    def start(self, data: st.DataObject, zombie: bool) -> None:
        """Of the last two charges, so that one attempt is often asked for twice."""
        _, reservation = data.draw(st.sampled_from(self.charged[-2:]))
        old = zombie and len(self.leases) > 1
        self.run(self.relay.drain())
        with contextlib.suppress(ChargeInvalid, Fenced):
            self.run(self.ledger.start(reservation.id, self.leases[0 if old else -1]))
            assert not old
            assert reservation.id not in self.started
            self.started.add(reservation.id)

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        _, reservation = data.draw(st.sampled_from(self.charged[-2:]))
        release = f"r{len(self.released)}-{reservation.seq}"
        card = {
            "release": release,
            "tenant": "acme",
            "model": "m",
            "created": "2026-11-24T00:00:00Z",
            "parent": None,
            "artifact": {"sha256": "0" * 64, "bytes": 1, "format": "safetensors", "location": "x"},
            "card": {
                "unit": "subject",
                "epsilon_spent": reservation.epsilon_spent,
                "delta": DELTA,
                "budget": "b",
                "seq": reservation.seq,
                "mechanism": "poisson_subsampled_gaussian",
                "numerics": "real arithmetic",
                "encoder": {},
                "labels": [],
            },
        }
        with contextlib.suppress(ChargeInvalid):
            self.run(self.ledger.commit(reservation.id, self.leases[-1], {"release": release}, card))
            assert reservation.id in self.started
            assert reservation.id not in self.released
            self.released.add(reservation.id)

    @precondition(lambda self: self.charged)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        _, reservation = data.draw(st.sampled_from(self.charged))
        with contextlib.suppress(ChargeInvalid):
            self.run(self.ledger.abandon(reservation.id, self.leases[-1], "crashed"))
            assert reservation.id not in self.released

    @rule(more=st.sampled_from([0.5, 2.0]))
    def raise_budget(self, more: float) -> None:
        epsilon = self.run(self.ledger.show("b"))["epsilon"]
        self.run(self.ledger.raise_budget("b", min(epsilon + more, 9.0)))

    @rule()
    def relay_all(self) -> None:
        self.run(self.relay.drain())

    @rule()
    def write_again(self) -> None:
        """What a relay does that died before the acknowledgement was noted."""
        self.journal.lines += self.journal.lines[-2:]

    @rule()
    def rebuild_all(self) -> None:
        """The store is lost after the relay's last pass, and made again; leases are gone."""
        self.run(self.relay.drain())
        held = self.run(dump(self.client, "b"))
        self.run(self.client.flushall())
        self.run(rebuild(self.ledger, self.journal))
        assert self.run(dump(self.client, "b")) == held
        old = self.leases[-1]
        self.leases = [old, self.run(self.ledger.lease("b", "m"))]

    @invariant()
    def nothing_is_overspent(self) -> None:
        if not self.leases:
            return
        held = orjson.loads(self.run(dump(self.client, "b")))
        spent, caps = held["budget"]["spent"], held["budget"]["caps"]
        assert tuple(spent) == self.spent
        rows = [*held["people"].values(), *([spent] if self.mode == "odometer" else [])]
        for units in rows:
            assert any(used <= cap for used, cap in zip(units, caps, strict=True))
            assert all(used <= total for used, total in zip(units, spent, strict=True))
        paid = {key for key, kept in held["reservations"].items() if kept["state"] == "committed"}
        assert paid == self.released <= self.started
        self.run(verify(self.ledger, self.journal))


@pytest.fixture(autouse=True)
def _store(store_url: str) -> None:
    Machine.url = store_url


TestLedger = Machine.TestCase
# Without shrinking: each step asks a real store, and some 25 steps are short enough to read.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
TestLedger.settings = settings(max_examples=25, stateful_step_count=30, deadline=None, phases=PHASES)
