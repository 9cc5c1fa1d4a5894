"""Attempts, leases and the store itself, in a real Valkey."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from ledger_world import DELTA, card, events, manifest, people, price
from veilstream.errors import (
    ChargeInvalid,
    Fenced,
    LedgerDiffers,
    StoreUnavailable,
)
from veilstream.keys import FileKeyProvider
from veilstream.ledger import (
    Ledger,
    MemoryJournal,
    Relay,
    Reservation,
    dump,
    durability,
    verify,
)
from veilstream.ledger.budget import decide
from veilstream.ledger.store import Keys


@pytest.fixture
def ledger(store: Redis, tmp_path: Path) -> Ledger:
    provider = FileKeyProvider(tmp_path / "keys")
    provider.create_ledger()
    provider.create_operator()
    return Ledger(store, provider.ledger(), provider=provider)


# Attempts


async def ready(ledger: Ledger) -> tuple[Any, Reservation, MemoryJournal]:
    """A charge that the journal has acknowledged."""
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    reservation = await ledger.charge(manifest(0, people(1, 2)), lease)
    journal = MemoryJournal()
    await Relay(ledger, journal, "test").drain()
    return lease, reservation, journal


async def test_training_waits_for_the_journal(ledger: Ledger) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    reservation = await ledger.charge(manifest(0, people(1)), lease)
    with pytest.raises(ChargeInvalid, match="acknowledged"):
        await ledger.start(reservation.id, lease)
    await Relay(ledger, MemoryJournal(), "test").drain()
    await ledger.wait_acknowledged("b", reservation.seq, timeout=1.0)
    await ledger.start(reservation.id, lease)


async def test_an_attempt_starts_once(ledger: Ledger) -> None:
    lease, reservation, _ = await ready(ledger)
    await ledger.start(reservation.id, lease)
    with pytest.raises(ChargeInvalid, match="already started"):
        await ledger.start(reservation.id, lease)
    [held] = await ledger.open_reservations("b", "m")
    assert (held.id, held.state, held.attempt, held.window) == (reservation.id, "started", 1, (0.0, 60.0))
    await ledger.abandon(reservation.id, lease, "crashed")
    assert await ledger.open_reservations("b", "m") == []
    for move in (
        ledger.start(reservation.id, lease),
        ledger.commit(reservation.id, lease, {}, card(reservation)),
    ):
        with pytest.raises(ChargeInvalid):
            await move
    assert (await ledger.show("b"))["spent"] == list(price((12,)).charges)  # never refunded


async def test_a_commit_moves_the_model_with_its_card_and_once(ledger: Ledger) -> None:
    lease, reservation, journal = await ready(ledger)
    with pytest.raises(ChargeInvalid):
        await ledger.commit(reservation.id, lease, {}, card(reservation))  # not started
    await ledger.start(reservation.id, lease)
    assert await ledger.model_state("b", "m") is None
    seq = await ledger.commit(reservation.id, lease, {"ends": {"0": 9}}, card(reservation))
    assert await ledger.commit(reservation.id, lease, {"ends": {"0": 9}}, card(reservation)) == seq
    with pytest.raises(ChargeInvalid):
        await ledger.commit(reservation.id, lease, {}, card(reservation, "r2"))
    with pytest.raises(ChargeInvalid):
        await ledger.abandon(reservation.id, lease, "failed")
    assert await ledger.model_state("b", "m") == {"ends": {"0": 9}}
    told = await events(ledger, journal)
    assert [event["event"] for event in told] == ["created", "charged", "started", "committed"]
    assert [orjson.loads(line)["release"] for line in journal.releases] == ["r1"]
    await verify(ledger, journal)


async def test_a_card_that_is_not_true_is_refused(ledger: Ledger) -> None:
    lease, reservation, _ = await ready(ledger)
    await ledger.start(reservation.id, lease)
    good = card(reservation)
    for bad in (
        card(reservation, epsilon_spent=reservation.epsilon_spent / 2),
        card(reservation, delta=DELTA / 2),
        card(reservation, budget="other"),
        {**good, "tenant": "zeta"},
        {**good, "model": "other"},
        {**good, "artifact": {}},
        {**good, "people": 5},
    ):
        with pytest.raises(ChargeInvalid):
            await ledger.commit(reservation.id, lease, {}, bad)
    await ledger.commit(reservation.id, lease, {}, good)


async def test_a_reason_is_public_and_from_a_closed_list(ledger: Ledger) -> None:
    lease, reservation, _ = await ready(ledger)
    with pytest.raises(ChargeInvalid):
        await ledger.abandon(reservation.id, lease, "loss was 7.31 for 12 people")
    with pytest.raises(ChargeInvalid):
        await ledger.start("f" * 64, lease)


# Leases


async def test_a_newer_lease_fences_the_older_everywhere(ledger: Ledger, store: Redis) -> None:
    old, reservation, _ = await ready(ledger)
    with pytest.raises(Fenced):
        await ledger.lease("b", "m")  # still held
    await ledger.renew(old, 0.05)
    new = await ledger.lease("b", "m", wait_seconds=2.0)
    assert new.epoch == old.epoch + 1
    held = await dump(store, "b")
    for call in (
        ledger.charge(manifest(0, people(1, 2)), old),
        ledger.charge(manifest(5, people(1, 2)), old),
        ledger.start(reservation.id, old),
        ledger.commit(reservation.id, old, {}, card(reservation)),
        ledger.abandon(reservation.id, old, "failed"),
        ledger.renew(old),
    ):
        with pytest.raises(Fenced):
            await call
    await ledger.release(old)  # let be: not its own any more
    assert await dump(store, "b") == held
    await ledger.start(reservation.id, new)


async def test_a_lease_that_ran_out_and_was_not_taken_is_still_good(ledger: Ledger) -> None:
    lease, reservation, _ = await ready(ledger)
    await ledger.renew(lease, 0.01)
    await asyncio.sleep(0.05)
    await ledger.start(reservation.id, lease)


async def test_a_lease_that_was_given_back_is_worth_nothing(ledger: Ledger) -> None:
    lease, reservation, _ = await ready(ledger)
    await ledger.release(lease)
    with pytest.raises(Fenced):
        await ledger.start(reservation.id, lease)
    await ledger.start(reservation.id, await ledger.lease("b", "m"))


async def test_a_forged_epoch_does_not_pass(ledger: Ledger) -> None:
    lease, reservation, _ = await ready(ledger)
    with pytest.raises(Fenced):
        await ledger.start(reservation.id, replace(lease, owner="0" * 32))


async def test_an_attempt_is_over_when_a_newer_one_was_charged(ledger: Ledger) -> None:
    lease, first, journal = await ready(ledger)
    second = await ledger.charge(manifest(0, people(1), attempt=2), lease)
    await Relay(ledger, journal, "r").drain()
    with pytest.raises(ChargeInvalid, match="newer attempt"):
        await ledger.start(first.id, lease)
    await ledger.start(second.id, lease)
    await ledger.abandon(first.id, lease, "crashed")


# The store


async def test_a_process_that_decides_otherwise_than_the_store_changes_nothing(
    ledger: Ledger, store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script computes the odometer itself: what a faulty caller claims must be the same."""
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    held = await dump(store, "b")
    honest = decide

    def cheating(path: Any, charges: Sequence[int]) -> Any:
        decision = honest(path, charges)
        step = decision.steps[0]
        return replace(decision, steps=(replace(step, after=replace(step.after, spent=(1,))),))

    monkeypatch.setattr("veilstream.ledger.ledger.decide", cheating)
    with pytest.raises(LedgerDiffers):
        await ledger.charge(manifest(0, people(1)), lease)
    assert await dump(store, "b") == held


async def test_a_store_that_is_away_is_one_line_of_what_to_do(ledger: Ledger) -> None:
    gone: Redis = Redis.from_url("redis://127.0.0.1:1/0")
    lost = Ledger(gone, ledger.root)
    for call in (
        lost.budgets(),
        lost.show("b"),
        lost.budget("b"),
        durability(gone),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            await call
        assert "veilstream up" in str(caught.value)
    await gone.aclose()


async def test_durability_says_what_is_wrong(store: Redis) -> None:
    assert (await durability(store)).ok
    try:
        await store.config_set("appendfsync", "everysec")
        await store.config_set("maxmemory-policy", "allkeys-lru")
        report = await durability(store)
        assert not report.ok
        assert "appendfsync always" in report.advice
        assert "noeviction" in report.advice
    finally:
        await store.config_set("appendfsync", "always")
        await store.config_set("maxmemory-policy", "noeviction")


async def test_all_keys_of_a_budget_are_in_one_slot(ledger: Ledger, store: Redis) -> None:
    lease, reservation, _ = await ready(ledger)
    await ledger.start(reservation.id, lease)
    await ledger.commit(reservation.id, lease, {}, card(reservation))
    keys = [key async for key in store.scan_iter(match=Keys("b").prefix + "*")]
    ask: Any = store.execute_command
    slots = {await ask("CLUSTER KEYSLOT", key) for key in keys}
    assert len(slots) == 1
    assert len(keys) >= 7
