"""Budgets by record: blocks of time pay where people would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ledger_world import DELTA, events, manifest, people
from veilstream.errors import AccountingError, ChargeInvalid
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger, Manifest, MemoryJournal, verify

HOUR = 3600.0


@pytest.fixture
def ledger(store: Redis, tmp_path: Path) -> Ledger:
    provider = FileKeyProvider(tmp_path / "keys")
    provider.create_ledger()
    provider.create_operator()
    return Ledger(store, provider.ledger(), provider=provider)


def over(start: float, end: float, number: int, budget: str = "b") -> Manifest:
    """A window of so many seconds; `number` sets its price apart, so that each is a charge of its own."""
    return replace(manifest(0, (), budget=budget), window=(start, end + number / 1000))


async def create(ledger: Ledger, name: str = "b", epsilon: float = 3.0) -> int:
    """How often a block can pay."""
    await ledger.create_budget(
        name, "acme", epsilon, DELTA, [12], "individual", buckets=4, block_seconds=HOUR
    )
    budget = await ledger.budget(name)
    return budget.caps[0] // manifest(0, ()).charge.charges[0]


async def test_each_block_that_a_window_touches_pays(ledger: Ledger) -> None:
    times = await create(ledger)
    lease = await ledger.lease("b", "m")
    for number in range(times):
        answer = await ledger.charge(over(0.5 * HOUR, 1.5 * HOUR, number), lease)
        assert len(answer.admitted) == 2
    full = await ledger.charge(over(0.5 * HOUR, 1.5 * HOUR, times), lease)
    assert full.admitted == ()
    neighbour = await ledger.charge(over(1.5 * HOUR, 2.5 * HOUR, 0), lease)
    assert len(neighbour.admitted) == 1  # the second block is full, the third is fresh
    assert len((await ledger.charge(over(9 * HOUR, 10 * HOUR - 1, 0), lease)).admitted) == 1
    await events(ledger, journal := MemoryJournal())
    await verify(ledger, journal)
    assert {(e["unit"], e["block_seconds"]) for e in journal.events()} == {("record", HOUR)}


async def test_two_models_of_a_tenant_fill_the_same_blocks(ledger: Ledger) -> None:
    times = await create(ledger, "acme")
    for name in ("acme/a", "acme/b"):
        await create(ledger, name)
    leases = {name: await ledger.lease(name, "m") for name in ("acme/a", "acme/b")}
    admitted = 0
    for number in range(2 * times):
        name = ("acme/a", "acme/b")[number % 2]
        admitted += len((await ledger.charge(over(0.0, 60.0, number, name), leases[name])).admitted)
    assert admitted == times


async def test_people_have_no_place_in_it_nor_has_a_child_of_another_unit(ledger: Ledger) -> None:
    await create(ledger)
    with pytest.raises(ChargeInvalid, match="unit is a record"):
        await ledger.charge(manifest(0, people(1)), await ledger.lease("b", "m"))
    with pytest.raises(AccountingError, match="unit"):
        await ledger.create_budget("b/m", "acme", 1.0, DELTA, [12])
    assert (await ledger.budget("b")).seq == 1
