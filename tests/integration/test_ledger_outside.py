"""Nothing outside depends on one person: the same schedule, one person less everywhere, is the same bytes.

Schedules are drawn: windows around the sizes where a charge takes one run more (8 people a run) or its
journal entry one part more (29 people), repeated, refused, begun by a process that dies and finished by
whoever comes, trained, released, abandoned; a budget raised, frozen, corrected, refreshed; the store lost
after the relay's last pass. Times and release ids are given, so the public events and cards, hashes
included, must be equal byte for byte. Two things are not compared, and differ: when an event is seen (a run
less is a moment less), and what a loss *in the middle of* a charge leaves of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

import veilstream.ledger.ledger as charging
from ledger_world import DELTA, card, people, price
from veilstream.errors import BudgetExhausted, ChargeInvalid
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger, Manifest, MemoryJournal, Relay, Reservation, rebuild, verify
from veilstream.ledger.scripts import Scripts

ROOT, CHILDREN = "acme", ("acme/a", "acme/b")
ORDERS = (9, 14)
EVERYONE = people(*range(40))
PEOPLE_A_RUN, ENTRY_BYTES = 8, 8_600
SIZES = (0, 1, 2, 8, 9, 16, 17, 29, 30, 31, 40)
KINDS = (
    "charge",
    "charge",
    "charge",
    "die",
    "again",
    "release",
    "release",
    "give up",
    "operate",
    "wait",
    "lose",
)


class Step(NamedTuple):
    kind: str
    child: str
    window: int
    first: int
    size: int
    noise: float


class Died(Exception):
    pass


STEPS = st.builds(
    Step,
    st.sampled_from(KINDS),
    st.sampled_from(CHILDREN),
    st.integers(0, 2),
    st.integers(0, 39),
    st.sampled_from(SIZES),
    st.sampled_from([2.0, 2.5]),
)


class Run:
    """A schedule carried out, without one person or with all."""

    def __init__(self, ledger: Ledger, without: str | None) -> None:
        self.ledger = ledger
        self.without = without
        self.journal = MemoryJournal()
        self.charged: list[tuple[Manifest, Reservation]] = []
        self.now = 1_700_000_000.0
        self.releases = 0
        self.refusals = 0

    async def carry_out(self, mode: str, schedule: list[Step]) -> list[bytes]:
        ledger = self.ledger
        ledger._clock = lambda: self.now
        await ledger.client.flushall()
        for name, epsilon in ((ROOT, 3.0), (CHILDREN[0], 2.0), (CHILDREN[1], 1.5)):
            seconds = 1000.0 if name == CHILDREN[1] else None
            await ledger.create_budget(
                name, "acme", epsilon, DELTA, ORDERS, mode, buckets=4, refresh_seconds=seconds
            )
        await self.take()
        for step in schedule:
            self.now += 1.0
            with contextlib.suppress(ChargeInvalid):
                await self.take_step(step)
        await self.relay()
        await verify(ledger, self.journal)
        return [*self.journal.public, *self.journal.releases]

    async def take(self) -> None:
        """New processes, which first give up what those before them left open."""
        self.leases = {}
        for child in CHILDREN:
            self.leases[child] = await self.ledger.lease(child, "m")
            for left in await self.ledger.open_reservations(child, "m"):
                await self.ledger.abandon(left.id, self.leases[child], "crashed")

    async def relay(self) -> None:
        await Relay(self.ledger, self.journal, "outside").drain()

    async def take_step(self, step: Step) -> None:
        ledger, lease = self.ledger, self.leases[step.child]
        if step.kind in ("charge", "die"):
            await self.charge(step)
        elif step.kind == "wait":
            self.now += 1000.0
        elif step.kind == "lose":
            await self.relay()
            await ledger.client.flushall()
            await rebuild(ledger, self.journal)
            await self.take()
        elif step.kind == "operate":
            await self.operate(step)
        elif self.charged:
            made, paid = self.charged[-1 - step.window % len(self.charged)]
            lease = self.leases[made.budget]
            if step.kind == "again":
                assert (await ledger.charge(made, lease)).repeated
            elif step.kind == "give up":
                await ledger.abandon(paid.id, lease, "failed")
            else:
                await self.relay()
                await ledger.start(paid.id, lease)
                self.releases += 1
                record = card(paid, f"r{self.releases}", budget=made.budget)
                await ledger.commit(paid.id, lease, {"n": self.releases}, record)

    async def charge(self, step: Step) -> None:
        span = (step.window * 60.0, step.window * 60.0 + 60.0)
        who = (EVERYONE[(step.first + n) % 40] for n in range(step.size))
        attempt = await self.ledger.next_attempt(step.child, "m", span)
        present = tuple(person for person in who if person != self.without)
        made = Manifest(step.child, "acme", "m", span, present, price(ORDERS, step.noise), attempt)
        try:
            if step.kind == "charge":
                self.charged.append((made, await self.ledger.charge(made, self.leases[step.child])))
                return
            with contextlib.suppress(Died):
                await self.die(made, step.first % 5)
        except BudgetExhausted:
            self.refusals += 1
            return
        for child in CHILDREN:
            await self.ledger.release(self.leases[child])
        await self.take()

    async def die(self, made: Manifest, runs: int) -> None:
        """Charge, and be gone after so many runs, or after the answer."""
        run, left = self.ledger.scripts.run, runs

        async def dying(name: str, keys: Any, args: Any) -> tuple[str, list[bytes]]:
            nonlocal left
            if name == "advance":
                if left == 0:
                    raise Died
                left -= 1
            return await run(name, keys, args)

        self.ledger.scripts.run = dying  # type: ignore[method-assign]
        try:
            await self.ledger.charge(made, self.leases[made.budget])
        finally:
            self.ledger.scripts.run = run  # type: ignore[method-assign]

    async def operate(self, step: Step) -> None:
        name = (ROOT, *CHILDREN)[step.window]
        budget = await self.ledger.budget(name)
        if budget.frozen:
            await self.ledger.freeze_budget(name, False)
        elif step.size == 0:
            await self.ledger.freeze_budget(name)
        elif step.size < 10:
            await self.ledger.correct_budget(name, [max(1, cap // 50) for cap in budget.caps])
        elif name == ROOT:
            await self.ledger.raise_budget(name, budget.epsilon + 0.5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(charging, "people_per_script", lambda orders, levels: PEOPLE_A_RUN)
    provider = FileKeyProvider(tmp_path)
    provider.create_ledger()
    provider.create_operator()
    return tmp_path


def compare(url: str, folder: Path, mode: str, schedule: list[Step], person: int) -> bool:
    """Whether the outside sees the same of both runs."""

    async def both() -> bool:
        client = Redis.from_url(url)
        provider = FileKeyProvider(folder)
        ledger = Ledger(client, provider.ledger(), provider=provider, max_entry_bytes=ENTRY_BYTES)
        everyone, fewer = Run(ledger, None), Run(ledger, EVERYONE[person])
        try:
            seen = await everyone.carry_out(mode, schedule), await fewer.carry_out(mode, schedule)
        finally:
            await client.aclose()
        return seen[0] == seen[1]

    return asyncio.run(both())


ONE_PERSON_LESS = given(
    mode=st.sampled_from(["odometer", "individual"]),
    schedule=st.lists(STEPS, min_size=4, max_size=14),
    person=st.integers(0, 39),
)


QUIET = [HealthCheck.function_scoped_fixture]  # keys and the size of a run: the same for every example


@settings(max_examples=15, deadline=None, suppress_health_check=QUIET)
@ONE_PERSON_LESS
def test_one_person_less_is_the_same_outside(
    store_url: str, folder: Path, mode: str, schedule: list[Step], person: int
) -> None:
    assert compare(store_url, folder, mode, schedule, person)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=QUIET)
@ONE_PERSON_LESS
def test_nor_in_many_more_schedules(
    store_url: str, folder: Path, mode: str, schedule: list[Step], person: int
) -> None:
    assert compare(store_url, folder, mode, schedule, person)


EACH = [Step(kind, CHILDREN[0], n % 3, 0, 9, 2.5) for n, kind in enumerate(KINDS)]


@pytest.mark.parametrize(
    "schedule",
    [
        [Step("die", CHILDREN[0], 0, first, size, 2.5), Step("charge", CHILDREN[0], 0, 0, 9, 2.5)]
        for first, size in ((0, 9), (35, 9), (2, 17), (3, 30))
    ]
    + [[Step("charge", CHILDREN[1], n % 3, 0, 30, 2.0) for n in range(9)], EACH],
    ids=["dies at once", "dies of one run", "after two", "in parts", "refused at last", "everything"],
)
@pytest.mark.parametrize("mode", ["odometer", "individual"])
def test_where_a_run_or_a_part_more_is_taken(
    store_url: str, folder: Path, mode: str, schedule: list[Step]
) -> None:
    for person in (0, 4):
        assert compare(store_url, folder, mode, schedule, person)


def test_an_event_that_tells_of_runs_is_seen(
    store_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: who finishes a charge notes it in the next public event's time."""
    run = Scripts.run
    schedule = [Step("charge", CHILDREN[0], 0, 0, 9, 2.5), Step("charge", CHILDREN[0], 1, 0, 9, 2.5)]

    async def telling(self: Scripts, name: str, keys: Any, args: Any) -> tuple[str, list[bytes]]:
        if name == "acknowledge":  # the end of a run
            counted.clear()
        if name == "advance":
            counted.append(name)
        return await run(self, name, keys, args)

    counted: list[str] = []
    monkeypatch.setattr(Scripts, "run", telling)
    monkeypatch.setattr(Ledger, "now", lambda self: f"2026-01-01T00:00:00.{len(counted):03}Z")
    assert compare(store_url, folder, "odometer", schedule, 39)  # who is in no window
    assert not compare(store_url, folder, "odometer", schedule, 0)
