"""A machine that drives a ledger on a real store and knows what must hold: see `test_ledger_machine`."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from redis.asyncio import Redis

from ledger_oracle import Happened, Oracle
from ledger_world import DELTA, card, people
from veilstream.contracts import JournalRecord
from veilstream.errors import BrokerUnavailable, BudgetExhausted, ChargeInvalid, Fenced
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
from veilstream.ledger import manifest as manifests
from veilstream.ledger.store import Keys, read_attempt

__all__ = ["PEOPLE_A_RUN", "Machine"]

T = TypeVar("T")
ORDERS = (9, 14)
EVERYONE = people(*range(40))
ROOT, CHILDREN = "acme", ("acme/a", "acme/b")
REFRESHED, PERIOD_SECONDS = "acme/b", 1000.0
PEOPLE_A_RUN, ENTRY_BYTES = 8, 8_600  # some 29 people in a part
BEGINNING = 1_700_000_000.0  # long before the store's own clock, which must agree that a period has begun


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


class CutJournal(MemoryJournal):
    """Takes so many records more, and then no others."""

    WHOLE_GROUPS = False
    room: int | None = None

    async def append(self, records: Sequence[JournalRecord]) -> int:
        if self.room is not None and len(records) > self.room:
            end = self.room
            while self.WHOLE_GROUPS and end and records[end - 1].public is None:
                end += 1
            await super().append(records[:end])
            raise BrokerUnavailable("the journal is full")
        return await super().append(records)


class Died(Exception):
    pass


class Machine(RuleBasedStateMachine):
    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client: Redis = Redis.from_url(self.url)
        self.folder = tempfile.TemporaryDirectory()
        self.now = BEGINNING
        provider = FileKeyProvider(Path(self.folder.name))
        provider.create_ledger()
        provider.create_operator()
        self.ledger = Ledger(
            self.client, provider.ledger(), provider=provider, clock=lambda: self.now,
            max_entry_bytes=ENTRY_BYTES,
        )  # fmt: skip
        self.journal = CutJournal()
        self.relay = Relay(self.ledger, self.journal, "machine")
        self.leases: dict[str, list[Lease]] = {}  # the last one is the newest
        self.charged: list[tuple[Manifest, Reservation]] = []
        self.pending: tuple[Manifest, str] | None = None  # begun by a process that died; and its id
        self.trained: set[str] = set()  # ever, whatever the store forgot since

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.ensure_future(work, loop=self.loop))

    def teardown(self) -> None:
        self.run(self.client.aclose())
        self.loop.close()
        self.folder.cleanup()

    @initialize(modes=st.tuples(*[st.sampled_from(["odometer", "individual"])] * 3))
    def create(self, modes: tuple[str, str, str]) -> None:
        self.run(self.client.flushall())
        made = {}
        for name, mode, epsilon in zip((ROOT, *CHILDREN), modes, (3.5, 3.0, 2.5), strict=True):
            seconds = PERIOD_SECONDS if name == REFRESHED else None
            shown = self.run(
                self.ledger.create_budget(
                    name, "acme", epsilon, DELTA, ORDERS, mode, buckets=4, refresh_seconds=seconds
                )
            )
            made[name] = mode, tuple(shown["caps"]), shown.get("period", 0)
        self.oracle = Oracle(made)
        self.run(self.relay.drain())
        self.leases = {name: [self.run(self.ledger.lease(name, "m"))] for name in CHILDREN}

    # What a call of another's sets going

    def helped(self) -> None:
        """Whoever writes next finishes the charge whose process died: then it has happened."""
        if self.pending is None:
            return
        (made, identity), self.pending = self.pending, None
        self.paid(made, identity)

    def paid(self, made: Manifest, identity: str) -> set[str]:
        units = made.charge.charges
        admitted = self.oracle.admits(made.budget, units, made.people)
        self.oracle.add(Happened("charged", made.budget, identity, units, tuple(sorted(admitted))))
        return admitted

    def refreshed(self) -> None:
        """A period that is due begins with the next charge, or relay."""
        period = int(self.now // PERIOD_SECONDS)
        if period > self.oracle.budgets[REFRESHED].period:
            self.helped()  # beginning it is a write as any other
            self.oracle.add(Happened("refreshed", REFRESHED, period))

    # Charging

    def manifest(self, child: str, window: int, who: set[int], noise: float) -> Manifest:
        span = (window * 1.0, window + 1.0)
        attempt = self.run(self.ledger.next_attempt(child, "m", span))
        return Manifest(child, "acme", "m", span, tuple(EVERYONE[n] for n in who), price(noise), attempt)

    def lease_of(self, child: str, zombie: bool) -> tuple[Lease, bool]:
        old = zombie and len(self.leases[child]) > 1
        return self.leases[child][0 if old else -1], old

    @rule(child=st.sampled_from(CHILDREN))
    def take(self, child: str) -> None:
        """Another worker takes over; the old one lives on and does not know."""
        self.run(self.ledger.renew(self.leases[child][-1], 0.001))
        self.leases[child].append(self.run(self.ledger.lease(child, "m", wait_seconds=5.0)))

    @rule(
        child=st.sampled_from(CHILDREN),
        window=st.integers(0, 3),
        who=st.sets(st.integers(0, 11)),
        noise=st.sampled_from([1.5, 3.0, 6.0]),
        zombie=st.booleans(),
    )
    def charge_some(self, child: str, window: int, who: set[int], noise: float, zombie: bool) -> None:
        self.charge(child, window, who, noise, zombie)

    @rule(
        child=st.sampled_from(CHILDREN),
        window=st.integers(0, 3),
        count=st.integers(30, 40),
        noise=st.sampled_from([2.0, 3.0]),
    )
    def charge_many(self, child: str, window: int, count: int, noise: float) -> None:
        self.charge(child, window, set(range(count)), noise, zombie=False)

    def charge(self, child: str, window: int, who: set[int], noise: float, zombie: bool) -> None:
        made = self.manifest(child, window, who, noise)
        lease, old = self.lease_of(child, zombie)
        there = self.pending
        self.refreshed() if child == REFRESHED else None
        self.helped()
        known = there is not None and (there[0].budget, there[0].window) == (child, made.window)
        refuses = self.oracle.refuses(child, made.charge.charges)
        try:
            answer = self.run(self.ledger.charge(made, lease))
        except Fenced:
            assert old
        except BudgetExhausted:
            assert refuses
            assert not old
        except ChargeInvalid:
            assert known  # what was begun has become the attempt
            assert not old
        else:
            assert not old
            if answer.repeated:
                assert known
            else:
                assert not refuses
                assert set(answer.admitted) == self.paid(made, answer.id)
                with pytest.raises(ChargeInvalid):  # the journal does not have it yet
                    self.run(self.ledger.start(answer.id, lease))
            self.charged.append((made, answer))

    @precondition(lambda self: self.pending is None)
    @rule(
        child=st.sampled_from(CHILDREN),
        window=st.integers(0, 3),
        count=st.integers(9, 40),
        noise=st.sampled_from([1.5, 3.0]),
        runs=st.integers(0, 5),
    )
    def die(self, child: str, window: int, count: int, noise: float, runs: int) -> None:
        """A process begins a charge that takes several runs, and is gone after so many of them."""
        made = self.manifest(child, window, set(range(40 - count, 40)), noise)
        self.refreshed() if child == REFRESHED else None
        refuses = self.oracle.refuses(child, made.charge.charges)
        run, left = self.ledger.scripts.run, min(runs, (count - 1) // PEOPLE_A_RUN)

        async def dying(name: str, keys: Any, args: Any) -> tuple[str, list[bytes]]:
            nonlocal left
            if name == "advance":
                if left == 0:
                    raise Died
                left -= 1
            return await run(name, keys, args)

        self.ledger.scripts.run = dying  # type: ignore[method-assign]
        try:
            self.run(self.ledger.charge(made, self.leases[child][-1]))
        except Died:
            plan = orjson.loads(self.run(self.client.hget(Keys(child).pending, "plan")))  # type: ignore[arg-type]
            self.pending = made, plan["id"]
            assert not refuses
        except BudgetExhausted:
            assert refuses
        finally:
            self.ledger.scripts.run = run  # type: ignore[method-assign]

    @precondition(lambda self: self.pending)
    @rule()
    def help(self) -> None:
        """Somebody who wants nothing else finishes it; its answer is there for whoever asks again."""
        assert self.pending is not None
        made, identity = self.pending
        self.helped()
        self.run(self.ledger.finish_pending(made.budget))
        kept = self.run(read_attempt(self.client, Keys(made.budget).reservation(identity)))
        assert kept is not None
        tokens = manifests.people(made.people).tokens
        bits = np.unpackbits(np.frombuffer(kept.admitted, np.uint8), count=len(tokens))
        assert set(compress(tokens, bits.tolist())) == set(self.oracle.log[-1].people)

    @precondition(lambda self: self.charged)
    @rule(at=st.integers(0, 9))
    def charge_again(self, at: int) -> None:
        made, answer = self.charged[-1 - at % len(self.charged)]
        self.refreshed() if made.budget == REFRESHED else None
        self.helped()
        again = self.run(self.ledger.charge(made, self.leases[made.budget][-1]))
        assert again.repeated
        assert (again.id, again.seq, again.admitted) == (answer.id, answer.seq, answer.admitted)

    # Attempts

    def moved(self, kind: str, made: Manifest, seq: int) -> None:
        self.oracle.add(Happened(kind, made.budget, seq))

    @precondition(lambda self: self.charged)
    @rule(at=st.integers(0, 9), zombie=st.booleans(), relayed=st.booleans())
    def start(self, at: int, zombie: bool, relayed: bool) -> None:
        """Of the last two charges, so that one attempt is often asked for twice."""
        if relayed:
            self.relay_all()
        self.start_one(self.charged[-1 - at % min(2, len(self.charged))], zombie)

    def start_one(self, charged: tuple[Manifest, Reservation], zombie: bool) -> None:
        made, reservation = charged
        lease, old = self.lease_of(made.budget, zombie)
        self.helped()
        with contextlib.suppress(ChargeInvalid, Fenced):
            seq = self.run(self.ledger.start(reservation.id, lease))
            assert not old
            assert reservation.id not in self.trained
            self.trained.add(reservation.id)
            self.moved("started", made, seq)

    @precondition(lambda self: self.charged)
    @rule(at=st.integers(0, 9), zombie=st.booleans())
    def commit(self, at: int, zombie: bool) -> None:
        self.commit_one(self.charged[-1 - at % min(2, len(self.charged))], zombie)

    def commit_one(self, charged: tuple[Manifest, Reservation], zombie: bool) -> None:
        made, reservation = charged
        lease, old = self.lease_of(made.budget, zombie)
        release = f"{made.budget.replace('/', '-')}-{reservation.seq}-{len(self.oracle.log)}"
        record = card(reservation, release, budget=made.budget)
        self.helped()
        with contextlib.suppress(ChargeInvalid, Fenced):
            seq = self.run(self.ledger.commit(reservation.id, lease, {"release": release}, record))
            assert not old
            assert reservation.id in self.trained
            self.moved("committed", made, seq)

    @precondition(lambda self: self.charged)
    @rule()
    def train(self) -> None:
        """As it should go: the journal has it, it starts, it is released."""
        self.relay_all()
        self.start_one(self.charged[-1], zombie=False)
        self.commit_one(self.charged[-1], zombie=False)

    @precondition(lambda self: self.charged)
    @rule(at=st.integers(0, 9))
    def abandon(self, at: int) -> None:
        made, reservation = self.charged[-1 - at % len(self.charged)]
        self.helped()
        with contextlib.suppress(ChargeInvalid):
            seq = self.run(self.ledger.abandon(reservation.id, self.leases[made.budget][-1], "crashed"))
            self.moved("abandoned", made, seq)

    @rule(child=st.sampled_from(CHILDREN))
    def recover(self, child: str) -> None:
        """What a worker does first: whatever is open is given up, what somebody began included."""
        self.helped()
        for left in self.run(self.ledger.open_reservations(child, "m")):
            seq = self.run(self.ledger.abandon(left.id, self.leases[child][-1], "crashed"))
            self.oracle.add(Happened("abandoned", child, seq))

    # Budgets

    @rule(
        change=st.sampled_from(["raise", "raise", "freeze", "correct"]),
        name=st.sampled_from((ROOT, *CHILDREN)),
        more=st.sampled_from([0.5, 1.0]),
    )
    def operate(self, change: str, name: str, more: float) -> None:
        """An operator changes a budget. What is frozen is unfrozen before anything else is done."""
        cold = [name for name, budget in self.oracle.budgets.items() if budget.frozen]
        self.helped()
        if cold or change == "freeze":
            name = cold[0] if cold else name
            shown = self.run(self.ledger.freeze_budget(name, not cold))
            self.oracle.add(Happened("unfrozen" if cold else "frozen", name, shown["seq"]))
        elif change == "correct":
            units = tuple(max(1, cap // 40) for cap in self.oracle.budgets[name].caps)
            self.run(self.ledger.correct_budget(name, units))
            for over in reversed(self.oracle.path(name)):  # all above count it, too
                seq = self.run(self.ledger.budget(over)).seq
                self.oracle.add(Happened("corrected", over, seq, units))
        else:
            most = self.run(self.ledger.show(ROOT))["epsilon"]
            epsilon = self.run(self.ledger.show(name))["epsilon"]
            if epsilon == most or name == ROOT:
                name, most = ROOT, 100.0
                epsilon = self.run(self.ledger.show(ROOT))["epsilon"]
            shown = self.run(self.ledger.raise_budget(name, min(epsilon + more, most)))
            self.oracle.add(Happened("raised", name, shown["seq"], caps=tuple(shown["caps"])))

    @rule(seconds=st.sampled_from([PERIOD_SECONDS, 300.0, -400.0]), at_once=st.booleans())
    def time_passes(self, seconds: float, at_once: bool) -> None:
        """Or the clock jumps back, which begins no period; nor does one that is ahead of the store's."""
        self.now += seconds
        if not at_once:
            return
        self.refreshed()
        self.run(self.ledger.refresh_due())
        self.helped()
        right, self.now = self.now, 4e9
        assert self.run(self.ledger.refresh_due()) == []
        self.now = right

    # Relay, loss

    @rule()
    def relay_all(self) -> None:
        before = self.oracle.budgets[REFRESHED].period
        self.run(self.relay.drain())
        if self.run(self.ledger.budget(REFRESHED)).period > before:
            self.refreshed()

    @rule()
    def write_again(self) -> None:
        """What a relay does that died before the acknowledgement was noted."""
        self.journal.lines += self.journal.lines[-2:]

    @rule(cut=st.one_of(st.none(), st.integers(0, 6)))
    def lose_the_store(self, cut: int | None) -> None:
        """After the relay's last pass, or after so many records of it; then it is made again."""
        self.journal.room = cut
        with contextlib.suppress(BrokerUnavailable):
            self.relay_all()
        self.journal.room = None
        self.run(self.client.flushall())
        self.run(rebuild(self.ledger, self.journal))
        self.pending = None
        paid = self.oracle.forget(self.journal.entries())
        assert self.trained <= paid
        self.charged = [(made, answer) for made, answer in self.charged if answer.id in paid]
        for name in CHILDREN:
            self.leases[name].append(self.run(self.ledger.lease(name, "m")))
        for made, answer in self.charged[-2:]:  # nobody can know whether it had started
            with pytest.raises(ChargeInvalid):
                self.run(self.ledger.start(answer.id, self.leases[made.budget][-1]))

    # What must hold

    @invariant()
    def everything_is_as_it_must_be(self) -> None:
        if not self.leases:
            return
        for name, due in self.oracle.budgets.items():
            held = orjson.loads(self.run(dump(self.client, name)))
            spent, caps = tuple(held["budget"]["spent"]), tuple(held["budget"]["caps"])
            assert (spent, caps) == (due.spent, due.caps)
            assert held["budget"].get("frozen", False) == due.frozen
            assert held["budget"].get("period", 0) == due.period
            if self.pending is None:
                assert {who: tuple(units) for who, units in held["people"].items()} == due.people
            for units in due.people.values():
                assert all(used <= total for used, total in zip(units, spent, strict=True))
            states = {h.mark for h in self.oracle.log if h.kind == "charged" and h.budget == name}
            assert set(held["reservations"]) <= states
        self.run(verify(self.ledger, self.journal))
        paid = {
            entry["reservation"] for entry in self.journal.entries()
            if entry["public"]["event"] == "charged" and entry["admitted"] is not None
        }  # fmt: skip
        assert self.trained <= paid
