"""Budgets and charges in a real Valkey: each against what is said of it."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from ledger_world import DELTA, card, events, manifest, people, price
from veilstream.accounting import INFINITE
from veilstream.errors import (
    AccountingError,
    BudgetExhausted,
    BudgetExists,
    BudgetUnknown,
    ChargeInvalid,
)
from veilstream.keys import FileKeyProvider
from veilstream.ledger import (
    Ledger,
    MemoryJournal,
    Relay,
    dump,
    verify,
)


@pytest.fixture
def ledger(store: Redis, tmp_path: Path) -> Ledger:
    provider = FileKeyProvider(tmp_path / "keys")
    provider.create_ledger()
    provider.create_operator()
    return Ledger(store, provider.ledger(), provider=provider)


# Budgets


async def test_creating_again_changes_nothing_and_other_parameters_are_refused(ledger: Ledger) -> None:
    first = await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    assert await ledger.create_budget("b", "acme", 3.0, DELTA, [12]) == first
    same: dict[str, Any] = {"tenant": "acme", "epsilon": 3.0, "delta": DELTA, "orders": [12]}
    for other in (
        {"epsilon": 4.0},
        {"delta": 1e-7},
        {"orders": [13]},
        {"tenant": "zeta"},
        {"mode": "individual"},
    ):
        with pytest.raises(BudgetExists):
            await ledger.create_budget("b", **{**same, **other})
    assert await ledger.budgets() == ["b"]
    assert (await ledger.show("b"))["seq"] == 1


async def test_a_raise_is_an_event_and_goes_upwards_only(ledger: Ledger) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    larger = await ledger.raise_budget("b", 5.0)
    assert await ledger.raise_budget("b", 5.0) == larger
    with pytest.raises(AccountingError):
        await ledger.raise_budget("b", 4.0)
    with pytest.raises(BudgetUnknown):
        await ledger.raise_budget("nobody", 4.0)
    assert (await ledger.create_budget("b", "acme", 3.0, DELTA, [12]))["epsilon"] == 5.0  # as it was created
    told = await events(ledger, MemoryJournal())
    assert [(e["event"], e["epsilon"]) for e in told] == [("created", 3.0), ("raised", 5.0)]


async def test_a_refused_budget_leaves_no_trace(ledger: Ledger, store: Redis) -> None:
    with pytest.raises(AccountingError):
        await ledger.create_budget("b", "acme", float("nan"), DELTA, [12])
    assert await store.dbsize() == 0


# Charges


async def test_the_same_manifest_is_charged_once(ledger: Ledger, store: Redis) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    first = await ledger.charge(manifest(0, people(1, 2, 3)), lease)
    held = await dump(store, "b")
    again = await ledger.charge(manifest(0, people(3, 1, 2)), lease)
    assert again == replace(first, repeated=True)
    assert await dump(store, "b") == held
    assert set(first.admitted) == set(people(1, 2, 3))
    assert (await ledger.show("b"))["spent"] == list(price((12,)).charges)


async def test_nobody_and_one_person_are_charged_like_anyone(ledger: Ledger) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    assert (await ledger.charge(manifest(0, ()), lease)).admitted == ()
    assert (await ledger.charge(manifest(1, people(7)), lease)).admitted == people(7)
    assert (await ledger.show("b"))["spent"] == [2 * units for units in price((12,)).charges]


async def test_a_restart_is_the_next_attempt_with_a_new_charge(ledger: Ledger) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    await ledger.charge(manifest(0, people(1)), lease)
    for wrong in (
        manifest(0, people(2)),
        manifest(0, people(1), attempt=3),
        manifest(9, people(1), attempt=2),
    ):
        with pytest.raises(ChargeInvalid):
            await ledger.charge(wrong, lease)
    assert await ledger.next_attempt("b", "m", (0.0, 60.0)) == 2
    again = await ledger.charge(manifest(0, people(1), attempt=2), lease)
    assert (again.attempt, again.repeated) == (2, False)
    assert (await ledger.show("b"))["spent"] == [2 * units for units in price((12,)).charges]


async def test_a_malformed_charge_changes_nothing(ledger: Ledger, store: Redis) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    held = await dump(store, "b")
    good = manifest(0, people(1, 2))
    for bad in (
        replace(good, people=people(1, 1)),
        replace(good, people=("x",)),
        replace(good, charge=replace(good.charge, charges=(1,))),
        replace(good, charge=replace(good.charge, charges=(INFINITE,))),
        replace(good, charge=price((12, 13))),
        replace(good, tenant="zeta"),
        replace(good, model="other"),  # the lease is for another model
        replace(good, budget="other"),
    ):
        with pytest.raises(ChargeInvalid):
            await ledger.charge(bad, lease)
    assert await dump(store, "b") == held


async def test_an_entry_too_small_for_the_bitmap_is_refused_before_the_charge(
    ledger: Ledger, store: Redis
) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    small = Ledger(store, ledger.root, max_entry_bytes=8010)
    lease = await small.lease("b", "m")
    with pytest.raises(ChargeInvalid, match="the bitmap of so many people"):
        await small.charge(manifest(0, people(*range(200))), lease)
    assert (await small.show("b"))["seq"] == 1


async def test_a_full_odometer_refuses_once_says_so_once_and_a_raise_makes_room(ledger: Ledger) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    window = 0
    while not (await ledger.show("b"))["exhausted"]:
        await ledger.charge(manifest(window, people(window)), lease)
        window += 1
    for _ in range(3):
        with pytest.raises(BudgetExhausted):
            await ledger.charge(manifest(window, people(window)), lease)
    with pytest.raises(BudgetExhausted):  # other people, the same public charge: nothing more is told
        await ledger.charge(manifest(window, people(1000)), lease)
    shown = await ledger.show("b")
    assert shown["exhausted"]
    assert shown["epsilon_spent"] <= 3.0
    await ledger.raise_budget("b", 6.0)
    assert (await ledger.charge(manifest(window, people(window)), lease)).admitted == people(window)
    journal = MemoryJournal()
    kinds = [event["event"] for event in await events(ledger, journal)]
    told = [kind for kind in kinds if kind != "threshold"]
    assert told == ["created", *["charged"] * window, "exhausted", "refused", "raised", "charged"]
    assert len(kinds) - len(told) == 3  # a half, 80 %, 95 %
    assert await verify(ledger, journal) == {"budgets": 1, "entries": len(kinds)}


def naive(
    spent: dict[str, list[int]], who: Sequence[str], charges: Sequence[int], caps: Sequence[int]
) -> set[str]:
    """Ten obvious lines: who is admitted, and `spent` after it."""
    admitted = set()
    for person in who:
        total = [
            min(s + c, INFINITE) for s, c in zip(spent.get(person, [0] * len(caps)), charges, strict=True)
        ]
        if any(t <= cap for t, cap in zip(total, caps, strict=True)):
            admitted.add(person)
            spent[person] = total
    return admitted


@pytest.mark.parametrize("orders", [(12,), (5, 12), (2, 6, 8, 9, 10, 12, 24, 64)])
async def test_the_script_agrees_with_a_naive_filter(
    ledger: Ledger, store: Redis, orders: tuple[int, ...]
) -> None:
    rng = random.Random(len(orders))
    budget = await ledger.create_budget("b", "acme", 3.5, DELTA, orders, "individual", buckets=7)
    lease = await ledger.lease("b", "m")
    everyone, spent, left_out = people(*range(60)), dict[str, list[int]](), 0
    for window in range(30):
        who = rng.sample(everyone, rng.randrange(len(everyone)))
        charge = price(orders, rng.choice([0.02, 1.0, 2.0, 3.0]))  # some orders cost infinitely much
        if min(charge.charges) == INFINITE:
            with pytest.raises(ChargeInvalid):
                await ledger.charge(manifest(window, who, charge=charge), lease)
            continue
        answer = await ledger.charge(manifest(window, who, charge=charge), lease)
        expected = naive(spent, who, charge.charges, budget["caps"])
        assert set(answer.admitted) == expected
        left_out += len(who) - len(expected)
    held = orjson.loads(await dump(store, "b"))["people"]
    assert held == {person: units for person, units in spent.items() if any(units)}
    assert left_out > 100
    journal = MemoryJournal()
    await events(ledger, journal)
    await verify(ledger, journal)


async def test_infinite_charges_saturate_and_the_person_is_left_out_after(
    ledger: Ledger, store: Redis
) -> None:
    """An order that cannot be computed is lost for a person; another order still serves."""
    await ledger.create_budget("b", "acme", 60.0, DELTA, (2, 256), "individual")
    lease = await ledger.lease("b", "m")
    charge = replace(price((2, 256), 0.5), charges=(price((2,), 0.5).charges[0], INFINITE))
    for window in range(3):
        assert (await ledger.charge(manifest(window, people(1), charge=charge), lease)).admitted == people(1)
    assert orjson.loads(await dump(store, "b"))["people"][people(1)[0]][1] == INFINITE
    assert (await ledger.show("b"))["spent"][1] == INFINITE


async def test_concurrent_models_under_one_budget_never_pass_the_cap(ledger: Ledger, store: Redis) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    leases = {model: await ledger.lease("b", model) for model in ("m1", "m2", "m3", "m4")}

    async def spend(model: str) -> int:
        done = 0
        try:
            for window in range(50):
                await ledger.charge(manifest(window, people(1, 2), model=model), leases[model])
                done += 1
        except BudgetExhausted:
            return done
        return done

    done = await asyncio.gather(*map(spend, leases))
    shown = await ledger.show("b")
    assert shown["spent"] == [sum(done) * units for units in price((12,)).charges]
    assert shown["spent"][0] <= shown["caps"][0] < shown["spent"][0] + price((12,)).charges[0]
    journal = MemoryJournal()
    await events(ledger, journal)
    await verify(ledger, journal)


async def test_one_person_less_changes_nothing_outside_but_times_and_random_ids(
    ledger: Ledger, store: Redis
) -> None:
    """Neighbouring runs: the second without person 3, in both modes, past exhaustion."""

    async def run(without: int | None) -> list[dict[str, Any]]:
        await store.flushall()
        journal = MemoryJournal()
        for name, mode in (("b", "odometer"), ("i", "individual")):
            await ledger.create_budget(name, "acme", 3.0, DELTA, [12], mode, buckets=16)
            lease = await ledger.lease(name, "m")
            for window in range(12):
                who = people(*(n for n in (3, *range(window)) if n != without))
                made = manifest(window, dict.fromkeys(who), budget=name)
                try:
                    reservation = await ledger.charge(made, lease)
                except BudgetExhausted:
                    continue
                await Relay(ledger, journal, "test").drain()
                await ledger.start(reservation.id, lease)
                if window % 3:
                    release = card(reservation, f"r{random.random()}", budget=name)
                    await ledger.commit(reservation.id, lease, {"n": window}, release)
                else:
                    await ledger.abandon(reservation.id, lease, "failed")
        told = await events(ledger, journal)
        volatile = ("time", "release", "prev_hash", "hash")
        return [{key: value for key, value in event.items() if key not in volatile} for event in told]

    assert await run(None) == await run(3)
