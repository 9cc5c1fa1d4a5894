"""Trees of budgets: who pays, who refuses; freezing, correcting, refreshing; by whose authority."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from ledger_world import DELTA, events, manifest, people
from veilstream.errors import (
    AccountingError,
    BudgetExhausted,
    BudgetUnknown,
    JournalBroken,
    KeyMissing,
    LedgerDiffers,
)
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger, MemoryJournal, Relay, dump, rebuild, verify
from veilstream.ledger.assemble import seal_of
from veilstream.ledger.chain import linked
from veilstream.ledger.projection import rfc3339

PATH = ("acme/support/m", "acme/support", "acme")


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(store: Redis, tmp_path: Path, clock: Clock) -> Ledger:
    provider = FileKeyProvider(tmp_path / "keys")
    provider.create_ledger()
    provider.create_operator()
    return Ledger(store, provider.ledger(), provider=provider, clock=clock, by="officer")


async def tree(ledger: Ledger, epsilons: Sequence[float] = (3.0, 4.0, 6.0), mode: str = "odometer") -> None:
    for name, epsilon in zip(reversed(PATH), reversed(epsilons), strict=True):
        await ledger.create_budget(name, "acme", epsilon, DELTA, [12], mode, buckets=4)


async def spent(ledger: Ledger) -> list[int]:
    return [(await ledger.budget(name)).spent[0] for name in PATH]


async def settled(ledger: Ledger) -> MemoryJournal:
    journal = MemoryJournal()
    await events(ledger, journal)
    await verify(ledger, journal)
    return journal


async def fill(ledger: Ledger, budget: str, first: int = 0) -> int:
    """Charge windows of one person each until the budget refuses; how many were charged."""
    lease = await ledger.lease(budget, "m")
    for window in range(first, first + 100):
        try:
            await ledger.charge(manifest(window, people(1), budget=budget), lease)
        except BudgetExhausted:
            await ledger.release(lease)
            return window - first
    raise AssertionError("it never refused")


async def test_a_charge_is_paid_at_every_budget_of_the_path(ledger: Ledger, store: Redis) -> None:
    await tree(ledger)
    lease = await ledger.lease(PATH[0], "m")
    made = manifest(0, people(1, 2), budget=PATH[0])
    reservation = await ledger.charge(made, lease)
    assert reservation.admitted == tuple(sorted(made.people)) or set(reservation.admitted) == set(made.people)
    assert await spent(ledger) == [made.charge.charges[0]] * 3
    journal = await settled(ledger)
    told = [(e["budget"], e.get("by"), e["seq"]) for e in journal.events() if e["event"] == "charged"]
    assert told == [("acme", PATH[0], 2), ("acme/support", PATH[0], 2), (PATH[0], None, 2)]
    held = [orjson.loads(await dump(store, name))["people"] for name in PATH]
    assert held[0] == held[1] == held[2] != {}


async def test_a_person_is_bound_by_what_all_models_below_a_budget_take_together(ledger: Ledger) -> None:
    await ledger.create_budget("acme", "acme", 4.0, DELTA, [12], "individual", buckets=4)
    for name in ("acme/a", "acme/b"):
        await ledger.create_budget(name, "acme", 3.0, DELTA, [12], "individual", buckets=4)
    windows = 0
    leases = {name: await ledger.lease(name, "m") for name in ("acme/a", "acme/b")}
    while True:
        name = ("acme/a", "acme/b")[windows % 2]
        answer = await ledger.charge(manifest(windows, people(1), budget=name), leases[name])
        if not answer.admitted:
            break
        windows += 1
    root, child = await ledger.budget("acme"), await ledger.budget("acme/a")
    each = manifest(0, ()).charge.charges[0]
    assert windows == root.caps[0] // each  # bound by the root: each child alone had room
    assert windows // 2 < child.caps[0] // each
    await settled(ledger)


async def test_the_budget_above_refuses_and_is_named(ledger: Ledger) -> None:
    await tree(ledger, (3.0, 3.0, 3.0))
    await ledger.create_budget("acme/research", "acme", 3.0, DELTA, [12], buckets=4)
    assert await fill(ledger, "acme/research") > 1
    lease = await ledger.lease(PATH[0], "m")
    before = await spent(ledger)
    with pytest.raises(BudgetExhausted):
        await ledger.charge(manifest(0, people(2), budget=PATH[0]), lease)
    assert await spent(ledger) == before
    journal = await settled(ledger)
    refused = [e for e in journal.events() if e["event"] == "refused" and e["budget"] == PATH[0]]
    assert [(e["at"], e["reason"]) for e in refused] == [("acme", "no_room")]


async def test_a_child_has_its_parents_terms(ledger: Ledger) -> None:
    await tree(ledger)
    for arguments in (
        ("acme/x", "other", 1.0, DELTA, [12]),
        ("acme/x", "acme", 7.0, DELTA, [12]),
        ("acme/x", "acme", 3.0, 1e-7, [12]),
        ("acme/x", "acme", 3.0, DELTA, [13]),
    ):
        with pytest.raises(AccountingError):
            await ledger.create_budget(*arguments)
    with pytest.raises(BudgetUnknown):
        await ledger.create_budget("nobody/x", "acme", 3.0, DELTA, [12])
    with pytest.raises(AccountingError, match="at most the parent's"):
        await ledger.raise_budget(PATH[0], 5.0)
    await ledger.raise_budget("acme/support", 5.0)
    await ledger.raise_budget(PATH[0], 5.0)
    await settled(ledger)


async def test_a_frozen_budget_stops_those_below_and_what_is_paid_goes_on(ledger: Ledger) -> None:
    await tree(ledger)
    lease = await ledger.lease(PATH[0], "m")
    paid = await ledger.charge(manifest(0, people(1), budget=PATH[0]), lease)
    await ledger.freeze_budget("acme")
    assert (await ledger.freeze_budget("acme"))["frozen"]
    for _ in range(2):
        with pytest.raises(BudgetExhausted):
            await ledger.charge(manifest(1, people(1), budget=PATH[0]), lease)
    await Relay(ledger, MemoryJournal(), "r").drain()
    await ledger.start(paid.id, lease)
    await ledger.freeze_budget("acme", False)
    await ledger.charge(manifest(1, people(1), budget=PATH[0]), lease)


async def test_freezing_and_unfreezing_stand_in_the_journal(ledger: Ledger) -> None:
    await tree(ledger)
    await ledger.freeze_budget("acme")
    lease = await ledger.lease(PATH[0], "m")
    with pytest.raises(BudgetExhausted):
        await ledger.charge(manifest(0, people(1), budget=PATH[0]), lease)
    await ledger.freeze_budget("acme", False)
    journal = await settled(ledger)
    told = [(e["budget"], e["event"], e.get("frozen"), e.get("at")) for e in journal.events()[3:]]
    assert told == [
        ("acme", "frozen", True, None),
        (PATH[0], "refused", None, "acme"),
        ("acme", "unfrozen", None, None),
    ]


async def test_a_correction_takes_room_from_everyone(ledger: Ledger) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], "individual", buckets=4)
    plain = await ledger.budget("b")
    each = manifest(0, ()).charge.charges[0]
    fits = plain.caps[0] // each
    await ledger.correct_budget("b", [each * (fits - 1)])
    lease = await ledger.lease("b", "m")
    assert (await ledger.charge(manifest(0, people(1)), lease)).admitted
    assert not (await ledger.charge(manifest(1, people(1)), lease)).admitted
    assert (await ledger.charge(manifest(1, people(2), attempt=2), lease)).admitted
    with pytest.raises(AccountingError):
        await ledger.correct_budget("b", [-1])
    journal = await settled(ledger)
    corrected = next(e for e in journal.events() if e["event"] == "corrected")
    assert corrected["corrected"] == corrected["spent"] == [each * (fits - 1)]


async def test_a_period_begins_anew_and_its_people_are_forgotten(
    ledger: Ledger, store: Redis, clock: Clock
) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=4, refresh_seconds=1000.0)
    first = (await ledger.budget("b")).period
    assert first == 1_700_000
    charged = await fill(ledger, "b")
    clock.now -= 5000.0  # a clock that jumps back begins no period
    assert await fill(ledger, "b", charged) == 0
    clock.now += 6500.0
    assert await fill(ledger, "b", 50) == charged
    assert (await ledger.budget("b")).period == first + 1
    journal = await settled(ledger)
    kinds = [e["event"] for e in journal.events()]
    assert kinds.count("refreshed") == 1
    assert kinds.count("charged") == 2 * charged
    assert not [key async for key in store.scan_iter(match=f"*people:b:{first}:*")]
    held = await dump(store, "b")
    await rebuild(ledger, journal, force=True)
    assert await dump(store, "b") == held


async def test_a_clock_ahead_of_the_stores_gives_no_fresh_budget(ledger: Ledger, clock: Clock) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=4, refresh_seconds=1000.0)
    charged = await fill(ledger, "b")
    clock.now = 4_000_000_000.0  # the year 2096
    assert not await ledger.refresh_budget("b")
    assert await fill(ledger, "b", charged) == 0


async def test_a_parent_for_a_lifetime_bounds_a_child_that_is_refreshed(ledger: Ledger, clock: Clock) -> None:
    await ledger.create_budget("acme", "acme", 4.0, DELTA, [12], buckets=4)
    await ledger.create_budget("acme/m", "acme", 3.0, DELTA, [12], buckets=4, refresh_seconds=1000.0)
    total, root = 0, await ledger.budget("acme")
    for _ in range(6):
        total += await fill(ledger, "acme/m", total)
        clock.now += 1000.0
    assert total == root.caps[0] // manifest(0, ()).charge.charges[0]
    await settled(ledger)


async def test_a_relay_begins_the_period_when_nobody_charges(ledger: Ledger, clock: Clock) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=4, refresh_seconds=1000.0)
    clock.now += 1000.0
    journal = MemoryJournal()
    relay = Relay(ledger, journal, "r")
    await relay.drain()
    await relay.drain()
    assert [e["event"] for e in journal.events()] == ["created", "refreshed"]


async def test_without_the_operators_key_no_budget_is_changed(ledger: Ledger, store: Redis) -> None:
    await tree(ledger)
    worker = Ledger(store, ledger.root)
    for call in (
        worker.create_budget("x", "acme", 3.0, DELTA, [12]),
        worker.raise_budget("acme", 9.0),
        worker.freeze_budget("acme"),
        worker.correct_budget("acme", [1]),
    ):
        with pytest.raises(KeyMissing):
            await call
    assert (await ledger.budget("acme")).seq == 1
    assert await ledger.budgets() == sorted(PATH)


async def test_a_raise_that_nobody_with_the_key_made_is_found(ledger: Ledger) -> None:
    """Who can write to the journal, and holds the ledger's key, and not the operator's."""
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=4)
    await ledger.raise_budget("b", 4.0)
    journal = await settled(ledger)
    first, second = journal.entries()
    for forged in (
        {key: value for key, value in second.items() if key != "authority"},
        {**second, "authority": {**second["authority"], "by": "somebody"}},
        {**second, "authority": first["authority"]},
        {**second, "public": {**second["public"], "time": "2030-01-01T00:00:00.000Z"}},
    ):
        entry = linked(first["hash"], {key: value for key, value in forged.items() if key != "mac"})
        journal.lines[1] = orjson.dumps({**entry, "mac": seal_of(ledger.root, entry)})
        with pytest.raises(JournalBroken, match="did not hold the operator's key"):
            await verify(ledger, journal)


async def test_a_store_of_an_earlier_version_is_named_and_made_again(ledger: Ledger, store: Redis) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=4)
    journal = await settled(ledger)
    held = await dump(store, "b")
    meta: Any = await store.hgetall("veil:ledger:{b}:meta:b")
    await store.flushdb()
    await store.sadd("veil:ledger:budgets", "b")
    await store.hset("veil:ledger:{b}:meta", mapping=meta)
    with pytest.raises(LedgerDiffers, match="earlier version"):
        await ledger.budget("b")
    await rebuild(ledger, journal, force=True)
    assert await dump(store, "b") == held


async def test_a_journal_that_ends_within_a_charge_shows_more_never_less(ledger: Ledger) -> None:
    await tree(ledger)
    lease = await ledger.lease(PATH[0], "m")
    await ledger.charge(manifest(0, people(1), budget=PATH[0]), lease)
    journal = await settled(ledger)
    del journal.lines[-1]  # the charged budget's own entry, which training waits for
    await rebuild(ledger, journal, force=True)
    each = manifest(0, ()).charge.charges[0]
    assert await spent(ledger) == [0, each, each]
    again = await ledger.lease(PATH[0], "m")
    await ledger.charge(manifest(0, people(1), budget=PATH[0]), again)
    assert await spent(ledger) == [each, 2 * each, 2 * each]
    await Relay(ledger, journal, "r").drain()
    await verify(ledger, journal)


async def test_a_charge_whose_path_does_not_pay_is_found(ledger: Ledger) -> None:
    """A journal in which a budget above was left out, hashed anew."""
    await ledger.create_budget("acme", "acme", 4.0, DELTA, [12], buckets=4)
    await ledger.create_budget("acme/m", "acme", 3.0, DELTA, [12], buckets=4)
    lease = await ledger.lease("acme/m", "m")
    await ledger.charge(replace(manifest(0, people(1)), budget="acme/m"), lease)
    journal = await settled(ledger)
    journal.lines = [
        line for line in journal.lines
        if (e := orjson.loads(line)["public"])["budget"] != "acme" or e["event"] == "created"
    ]  # fmt: skip
    with pytest.raises(JournalBroken, match="does not stand at the budget above, acme"):
        await rebuild(ledger, journal, force=True)


async def test_a_correction_counts_at_every_budget_above(ledger: Ledger) -> None:
    await tree(ledger)
    await ledger.correct_budget("acme/support", [1_000_000])
    assert await spent(ledger) == [0, 1_000_000, 1_000_000]
    await settled(ledger)


async def test_a_tree_that_is_refused_holds_up_no_other(ledger: Ledger, store: Redis) -> None:
    for name in ("a", "b"):
        await ledger.create_budget(name, "acme", 3.0, DELTA, [12], buckets=4)
    journal = await settled(ledger)
    held = {key: await store.dump(key) or b"" async for key in store.scan_iter(match="*{a}*")}
    await ledger.freeze_budget("a")
    await Relay(ledger, journal, "r").drain()
    for key, value in held.items():
        await store.restore(key, 0, value, replace=True)
    await ledger.raise_budget("a", 4.0)  # of the same number as the freezing that the store forgot
    await ledger.raise_budget("b", 4.0)
    relay, stop = Relay(ledger, journal, "r", own="b", poll_seconds=0.01), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    await ledger.wait_acknowledged("b", 2)
    stop.set()
    await running
    assert list(relay.refused) == ["a"]
    assert (await ledger.show("a"))["acknowledged"] == 1
    with pytest.raises(LedgerDiffers):
        await Relay(ledger, journal, "r").drain()


async def test_a_store_that_went_back_lease_and_all_is_looked_at_again(ledger: Ledger, store: Redis) -> None:
    """The relay that runs still has the lease of a store that is as it was before."""
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=4)
    journal = MemoryJournal()
    relay, stop = Relay(ledger, journal, "r", poll_seconds=0.01), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    await ledger.wait_acknowledged("b", 1)
    held = {key: await store.dump(key) or b"" async for key in store.scan_iter(match="veil:ledger:*")}
    await ledger.freeze_budget("b")
    await ledger.wait_acknowledged("b", 2)
    await store.flushdb()
    for key, value in held.items():
        await store.restore(key, 0, value)
    await ledger.raise_budget("b", 4.0)
    with pytest.raises(LedgerDiffers, match="has forgotten entry 2"):
        await running
    assert len(journal.lines) == 2


async def test_the_time_of_an_event_is_from_before_the_people_are_looked_at(
    ledger: Ledger, clock: Clock
) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=4)
    lease = await ledger.lease("b", "m")

    class Slow(tuple[str, ...]):
        def __iter__(self) -> Iterator[str]:
            clock.now += 60.0
            return super().__iter__()

    await ledger.charge(replace(manifest(0, ()), people=Slow(people(1, 2, 3))), lease)
    told = (await events(ledger, MemoryJournal()))[-1]
    assert told["time"] == rfc3339(1_700_000_000.0)
    assert clock.now > 1_700_000_000.0
