"""A charge too large for one script: run by run, finished by whoever comes, in the journal in parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

import veilstream.ledger.ledger as charging
from ledger_world import DELTA, events, manifest, people
from veilstream.errors import JournalBroken
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Lease, Ledger, MemoryJournal, Relay, Reservation, dump, rebuild, verify
from veilstream.ledger.store import Keys

EVERYONE = people(*range(100))
RUNS = 13  # of 8 people


@pytest.fixture
def ledger(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(charging, "people_per_script", lambda orders, levels: 8)
    provider = FileKeyProvider(tmp_path / "keys")
    provider.create_ledger()
    provider.create_operator()
    return Ledger(store, provider.ledger(), provider=provider)


async def ready(ledger: Ledger, orders: tuple[int, ...] = (12,)) -> Lease:
    await ledger.create_budget("b", "acme", 3.0, DELTA, orders, "individual", buckets=4)
    return await ledger.lease("b", "m")


class Died(Exception):
    pass


async def die_after(ledger: Ledger, lease: Lease, runs: int, window: int = 0) -> None:
    """A process that begins a charge, and is gone after so many runs."""
    left = runs
    run = ledger.scripts.run

    async def dying(name: str, keys: Any, args: Any) -> tuple[str, list[bytes]]:
        nonlocal left
        if name == "advance":
            if left == 0:
                raise Died
            left -= 1
        return await run(name, keys, args)

    ledger.scripts.run = dying  # type: ignore[method-assign]
    try:
        with pytest.raises(Died):
            await ledger.charge(manifest(window, EVERYONE), lease)
    finally:
        ledger.scripts.run = run  # type: ignore[method-assign]


async def whole(ledger: Ledger, lease: Lease) -> Reservation:
    return await ledger.charge(manifest(0, EVERYONE), lease)


@pytest.mark.parametrize("orders", [(12,), (5, 12, 64)])
async def test_runs_say_what_one_script_would(
    ledger: Ledger, store: Redis, monkeypatch: pytest.MonkeyPatch, orders: tuple[int, ...]
) -> None:
    answers, dumps = [], []
    for chunk in (8, 10_000):
        await store.flushdb()
        monkeypatch.setattr(charging, "people_per_script", lambda orders, levels, chunk=chunk: chunk)
        lease = await ready(ledger, orders)
        for window in range(40):
            who = EVERYONE[: 100 - 2 * window]
            answers.append((await ledger.charge(manifest(window, who, orders), lease)).admitted)
        dumps.append(orjson.loads(await dump(store, "b")))
        await events(ledger, journal := MemoryJournal())
        await verify(ledger, journal)
    assert answers[:40] == answers[40:]
    assert {len(admitted) for admitted in answers} > {0}
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize("runs", [0, 1, 7, RUNS - 1])
async def test_a_process_that_died_in_any_place_is_helped(ledger: Ledger, store: Redis, runs: int) -> None:
    lease = await ready(ledger)
    before = await ledger.budget("b")
    await die_after(ledger, lease, runs)
    assert await ledger.budget("b") == before  # nothing shows until all of it does
    await verify(ledger, MemoryJournal())  # and store and outbox agree at every place
    other = await ledger.lease("b", "other")
    answer = await ledger.charge(manifest(0, people(500), model="other"), other)
    assert answer.seq == 3
    again = await whole(ledger, lease)
    assert (again.repeated, again.seq, set(again.admitted)) == (True, 2, set(EVERYONE))
    each = manifest(0, ()).charge.charges[0]
    assert (await ledger.budget("b")).spent == (2 * each,)
    assert not await store.exists(Keys("b").pending, Keys("b").pending_people)
    await events(ledger, journal := MemoryJournal())
    await verify(ledger, journal)


async def test_the_same_charge_again_finishes_what_its_process_began(ledger: Ledger) -> None:
    lease = await ready(ledger)
    await die_after(ledger, lease, 5)
    answer = await whole(ledger, lease)
    assert (answer.repeated, answer.seq) == (True, 2)
    assert (await ledger.budget("b")).spent == manifest(0, ()).charge.charges


async def test_a_fenced_process_changes_nothing_and_what_it_began_is_charged_once(ledger: Ledger) -> None:
    """Decided and fenced when it began: the new holder finishes it, and the charge stays, as every charge."""
    lease = await ready(ledger)
    await die_after(ledger, lease, 2)
    await ledger.release(lease)
    newer = await ledger.lease("b", "m")
    answer = await whole(ledger, newer)
    assert answer.repeated
    assert (await ledger.budget("b")).spent == manifest(0, ()).charge.charges


async def test_every_other_writer_waits_for_no_process(ledger: Ledger) -> None:
    lease = await ready(ledger)
    writes: list[Callable[[], Awaitable[Any]]] = [
        lambda: ledger.raise_budget("b", 4.0),
        lambda: ledger.freeze_budget("b"),
        lambda: ledger.freeze_budget("b", False),
        lambda: ledger.correct_budget("b", [1]),
        lambda: ledger.create_budget("b/m", "acme", 3.0, DELTA, [12]),
    ]
    for window, write in enumerate(writes):
        if window == 2:
            await write()  # a frozen budget begins nothing
            continue
        await die_after(ledger, lease, 3, window)
        await write()
    await events(ledger, journal := MemoryJournal())
    await verify(ledger, journal)
    assert sum(e["event"] == "charged" for e in journal.events()) == 4


async def test_many_people_stand_in_the_journal_in_parts(ledger: Ledger, store: Redis) -> None:
    lease = await ready(ledger)
    small = Ledger(store, ledger.root, provider=ledger.provider, max_entry_bytes=8_600)
    answer = await small.charge(manifest(0, EVERYONE), lease)
    await ledger.charge(manifest(1, people(1)), lease)
    journal = MemoryJournal()
    told = await events(ledger, journal)
    entries = journal.entries()
    parts = [entry.get("part", {}).get("index") for entry in entries]
    assert parts == [None, 0, 1, 2, 3, None]
    assert [event["seq"] for event in told] == [1, 2, 3]  # how many parts there are is not seen outside
    assert all(len(line) < 8_600 for line in journal.lines)
    held = await dump(store, "b")
    await verify(ledger, journal)
    await rebuild(ledger, journal, force=True)
    assert await dump(store, "b") == held
    assert (
        await small.charge(manifest(0, EVERYONE), await ledger.lease("b", "m"))
    ).admitted == answer.admitted


async def test_parts_that_were_never_whole_are_passed_over(ledger: Ledger, store: Redis) -> None:
    """The journal ended within a charge, the store was lost, and the number went to another charge."""
    lease = await ready(ledger)
    small = Ledger(store, ledger.root, provider=ledger.provider, max_entry_bytes=8_600)
    await small.charge(manifest(0, EVERYONE), lease)
    await events(ledger, journal := MemoryJournal())
    journal.lines, late = journal.lines[:3], journal.lines[1:3]
    await rebuild(ledger, journal, force=True)
    await verify(ledger, journal)
    again = await ledger.lease("b", "m")
    await small.charge(manifest(0, EVERYONE), again)
    await Relay(ledger, journal, "r").drain()
    journal.lines += late
    await verify(ledger, journal)
    assert (await ledger.budget("b")).spent == manifest(0, ()).charge.charges


async def test_who_takes_over_finds_a_charge_that_was_left_half_way(ledger: Ledger) -> None:
    lease = await ready(ledger)
    await die_after(ledger, lease, 1)
    (left,) = await ledger.open_reservations("b", "m")
    assert (left.state, left.attempt) == ("reserved", 1)
    assert await ledger.next_attempt("b", "m", left.window) == 2


@pytest.mark.parametrize("gone", [1, 2, 3])
async def test_a_part_that_is_missing_or_moved_is_found(ledger: Ledger, store: Redis, gone: int) -> None:
    lease = await ready(ledger)
    small = Ledger(store, ledger.root, provider=ledger.provider, max_entry_bytes=8_600)
    await small.charge(manifest(0, EVERYONE), lease)
    await events(ledger, journal := MemoryJournal())
    lines = list(journal.lines)
    journal.lines = lines[:gone] + lines[gone + 1 :]
    with pytest.raises(JournalBroken, match="entry 2: it is missing: part"):
        await verify(ledger, journal)
    journal.lines = [*lines[:gone], lines[gone + 1], lines[gone], *lines[gone + 2 :]]
    with pytest.raises(JournalBroken):
        await verify(ledger, journal)
    journal.lines = lines[: gone + 1] + lines[1 : gone + 1] + lines[gone + 1 :]  # a relay that began again
    await verify(ledger, journal)
