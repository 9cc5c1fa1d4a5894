"""From the outbox to the journal and back: relays, zombies, crashes, rebuilds, faults; on Kafka too."""

import asyncio
import base64
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from veilstream.contracts import JournalRecord
from veilstream.embedded.valkey import LocalValkey
from veilstream.errors import BrokerUnavailable, ChargeInvalid, Fenced, JournalBroken, LedgerDiffers
from veilstream.events.topics import topic_name
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Charge, Ledger, Manifest, MemoryJournal, Relay, dump, rebuild, verify
from veilstream.ledger.chain import GENESIS, digest
from veilstream.ledger.lease import RELAY
from veilstream.ledger.store import Keys
from veilstream.settings import KafkaSettings
from veilstream.transport import KafkaJournal, read_to_end

DELTA = 1e-6
CHARGE = Charge.of(
    (12,),
    sampling_rate=0.1,
    noise_multiplier=2.5,
    steps=20,
    clip_norm=1.0,
    records_per_person=4,
    expected_batch=100.0,
)


def people(first: int, last: int) -> tuple[str, ...]:
    digests = (hashlib.sha256(f"person {n}".encode()).digest()[:15] for n in range(first, last))
    return tuple(base64.b32encode(digest).decode().lower() for digest in digests)


def window(number: int, budget: str = "b") -> Manifest:
    span = (number * 60.0, number * 60.0 + 60.0)
    return Manifest(budget, "acme", "m", span, people(number, number + 9), CHARGE)


def made(client: Redis, folder: Path) -> Ledger:
    provider = FileKeyProvider(folder / "keys")
    provider.create_ledger()
    provider.create_operator()
    return Ledger(client, provider.ledger(), provider=provider)


@pytest.fixture
def ledger(store: Redis, tmp_path: Path) -> Ledger:
    return made(store, tmp_path)


async def live(ledger: Ledger, relay: Relay) -> None:
    """Two budgets, six charges; one attempt started, one given up."""
    for name, mode in (("b", "odometer"), ("i", "individual")):
        await ledger.create_budget(name, "acme", 3.0, DELTA, [12], mode, buckets=16)
        lease = await ledger.lease(name, "m")
        found = [await ledger.charge(window(n, name), lease) for n in range(3)]
        await relay.drain()
        await ledger.start(found[0].id, lease)
        await ledger.abandon(found[1].id, lease, "restarted")
    await relay.drain()


# Relays


async def test_what_a_relay_wrote_follows_seq_after_seq_and_hash_after_hash(ledger: Ledger) -> None:
    journal = MemoryJournal()
    await live(ledger, Relay(ledger, journal, "test"))
    for name in ("b", "i"):
        head = GENESIS
        told = [event for event in journal.events() if event["budget"] == name]
        assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
        for event in told:
            assert event["prev_hash"] == head
            head = event["hash"]
            assert digest(event["prev_hash"], event) == head
    assert (await ledger.show("b"))["acknowledged"] == (await ledger.show("b"))["seq"]


class Losing(MemoryJournal):
    """Writes, and loses the answer now and then."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses

    async def append(self, records: Sequence[JournalRecord]) -> int:
        end = await super().append(records)
        if self.losses:
            self.losses -= 1
            raise BrokerUnavailable("the answer was lost")
        return end


async def test_a_lost_acknowledgement_is_written_again_byte_for_byte(ledger: Ledger) -> None:
    journal = Losing(2)
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    await ledger.charge(window(0), await ledger.lease("b", "m"))
    relay = Relay(ledger, journal, "test")
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            await relay.drain()
    await relay.drain()
    assert len(journal.lines) == 6
    assert len(set(journal.lines)) == 2
    assert len(set(journal.public)) == 2
    await verify(ledger, journal)


class Sleeping(MemoryJournal):
    """Stops in the middle of an append until it is woken."""

    def __init__(self, shared: MemoryJournal) -> None:
        super().__init__()
        self.shared = shared
        self.asleep = asyncio.Event()
        self.wake = asyncio.Event()

    async def append(self, records: Sequence[JournalRecord]) -> int:
        self.asleep.set()
        await self.wake.wait()
        return await self.shared.append(records)


async def test_a_zombie_relay_repeats_and_cannot_move_the_heads(
    ledger: Ledger, store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes up after another relay has moved the same entries and more."""
    journal = MemoryJournal()
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    await ledger.charge(window(0), lease)
    sleeping = Sleeping(journal)
    zombie = Relay(ledger, sleeping, "zombie", ttl_seconds=0.05)
    monkeypatch.setattr(zombie, "_kept", lambda lease: nullcontext())  # it is asleep as a whole
    sleep = asyncio.create_task(zombie.drain(timeout=5.0))
    await sleeping.asleep.wait()
    await asyncio.sleep(0.1)  # its lease runs out
    await ledger.charge(window(1), lease)
    await Relay(ledger, journal, "other").drain()
    held = await dump(store, "b")
    sleeping.wake.set()
    await sleep
    assert await dump(store, "b") == held
    assert len(journal.lines) == 5  # 3 entries, two of them again
    assert len(set(journal.lines)) == 3
    assert await verify(ledger, journal) == {"budgets": 1, "entries": 3}


async def test_one_relay_at_a_time_and_the_next_one_takes_over(ledger: Ledger) -> None:
    journal = MemoryJournal()
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    first, second = (Relay(ledger, journal, owner, poll_seconds=0.01) for owner in ("first", "second"))
    stops = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(r.run(s)) for r, s in zip((first, second), stops, strict=True)]
    lease = await ledger.lease("b", "m")
    for number in range(3):
        reservation = await ledger.charge(window(number), lease)
        await ledger.wait_acknowledged("b", reservation.seq, timeout=10.0)
    stops[0].set()
    await tasks[0]
    reservation = await ledger.charge(window(3), lease)
    await ledger.wait_acknowledged("b", reservation.seq, timeout=10.0)
    stops[1].set()
    await tasks[1]
    assert len(journal.lines) == len(set(journal.lines)) == 5
    await verify(ledger, journal)


async def test_a_relay_that_lost_its_lease_writes_nothing_more(ledger: Ledger) -> None:
    journal = MemoryJournal()
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    stop = asyncio.Event()
    relay = Relay(ledger, journal, "late", ttl_seconds=0.02, poll_seconds=0.05)
    task = asyncio.create_task(relay.run(stop))
    await ledger.wait_acknowledged("b", 1, timeout=10.0)
    taken = await ledger.take("b", RELAY, 30.0, wait_seconds=5.0)
    await ledger.charge(window(0), await ledger.lease("b", "m"))
    await asyncio.sleep(0.3)
    assert len(journal.lines) == 1
    await ledger.release(taken)
    await ledger.wait_acknowledged("b", 2, timeout=10.0)
    stop.set()
    await task
    assert len(journal.lines) == 2


async def test_run_goes_on_when_the_broker_comes_back(ledger: Ledger) -> None:
    journal = Losing(3)
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    stop = asyncio.Event()
    task = asyncio.create_task(Relay(ledger, journal, "test", poll_seconds=0.01).run(stop))
    await ledger.wait_acknowledged("b", 1, timeout=10.0)
    stop.set()
    await task
    assert journal.losses == 0


async def test_waiting_for_a_journal_that_nobody_fills_ends(ledger: Ledger) -> None:
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    with pytest.raises(BrokerUnavailable):
        await ledger.wait_acknowledged("b", 1, timeout=0.05)


# Crashes


async def test_kill_between_charge_and_relay_loses_nothing(own_store: LocalValkey, tmp_path: Path) -> None:
    client: Redis = Redis.from_url(own_store.url)
    ledger = made(client, tmp_path)
    journal = MemoryJournal()
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    lease = await ledger.lease("b", "m")
    first = await ledger.charge(window(0), lease)
    held = await dump(client, "b")
    pid = int((await client.info("server"))["process_id"])
    await client.aclose()
    os.kill(pid, signal.SIGKILL)
    own_store.stop()
    own_store.start()
    client = Redis.from_url(own_store.url)
    ledger = made(client, tmp_path)
    assert await dump(client, "b") == held
    assert (await ledger.charge(window(0), lease)).repeated
    await Relay(ledger, journal, "test").drain()
    await ledger.start(first.id, lease)
    await verify(ledger, journal)
    await client.aclose()


# Rebuild and verify


async def test_a_rebuilt_store_is_the_same(ledger: Ledger, store: Redis) -> None:
    journal = MemoryJournal()
    relay = Relay(ledger, journal, "test")
    await live(ledger, relay)
    held = {name: await dump(store, name) for name in ("b", "i")}
    with pytest.raises(LedgerDiffers):
        await rebuild(ledger, journal)
    await store.flushall()
    report = await rebuild(ledger, journal)
    assert report["budgets"] == 2
    assert {name: await dump(store, name) for name in ("b", "i")} == held
    assert await verify(ledger, journal) == report
    with pytest.raises(LedgerDiffers):
        await rebuild(ledger, journal)
    assert await rebuild(ledger, journal, force=True) == report
    # Work goes on: the same manifest is known, the next one is charged, the chains go on.
    lease = await ledger.lease("b", "m")
    assert (await ledger.charge(window(0), lease)).repeated
    assert not (await ledger.charge(window(5), lease)).repeated
    await relay.drain()
    await verify(ledger, journal)


async def test_after_a_rebuild_an_old_lease_is_worth_nothing_and_a_charge_cannot_start(
    ledger: Ledger, store: Redis
) -> None:
    """The lost store may have seen it start: the journal cannot tell."""
    journal = MemoryJournal()
    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    old = await ledger.lease("b", "m")
    reservation = await ledger.charge(window(0), old)
    await Relay(ledger, journal, "test").drain()
    await ledger.start(reservation.id, old)  # and the store is lost before the relay comes
    await store.flushall()
    await rebuild(ledger, journal)
    new = await ledger.lease("b", "m")
    assert new.epoch == old.epoch  # counted from anew, and still told apart
    with pytest.raises(Fenced):
        await ledger.start(reservation.id, old)
    with pytest.raises(ChargeInvalid, match="rebuilt"):
        await ledger.start(reservation.id, new)
    await ledger.abandon(reservation.id, new, "restarted")


async def test_a_journal_that_ends_early_is_found(ledger: Ledger) -> None:
    journal = MemoryJournal()
    await live(ledger, Relay(ledger, journal, "test"))
    del journal.lines[-1]
    with pytest.raises(JournalBroken, match="budget i, entry 6: the journal ends before it"):
        await verify(ledger, journal)


async def test_a_changed_journal_is_found(ledger: Ledger, store: Redis) -> None:
    journal = MemoryJournal()
    await live(ledger, Relay(ledger, journal, "test"))
    journal.lines[2] = journal.lines[2].replace(b'"steps":20', b'"steps":10')
    with pytest.raises(JournalBroken, match="budget b, entry 3: its hash"):
        await verify(ledger, journal)
    await store.flushall()
    with pytest.raises(JournalBroken):
        await rebuild(ledger, journal)
    assert await store.dbsize() == 0


Fault = Callable[[Redis, Keys], Awaitable[Any]]


async def less_spent(client: Redis, keys: Keys) -> None:
    await client.hset(keys.meta, "spent", "1")


async def larger_cap(client: Redis, keys: Keys) -> None:
    await client.hset(keys.meta, "caps", "999999999999")


async def a_person_forgotten(client: Redis, keys: Keys) -> None:
    await client.delete(await anext(client.scan_iter(match=keys.people(0) + "*")))


async def an_attempt_reset(client: Redis, keys: Keys) -> None:
    async for key in client.scan_iter(match=keys.reservation("*")):
        if await client.hget(key, "state") == b"started":
            await client.hset(key, "state", "reserved")


async def attempts_forgotten(client: Redis, keys: Keys) -> None:
    await client.delete(keys.attempts)


async def a_head_moved(client: Redis, keys: Keys) -> None:
    await client.hset(keys.meta, "entry_head", "1" * 64)


async def a_stranger(client: Redis, keys: Keys) -> None:
    await client.hset(keys.people(0) + "0", "not a token of ours", 5)


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (less_spent, "budget.spent"),
        (larger_cap, "budget.caps"),
        (a_person_forgotten, "people.bucket/"),
        (an_attempt_reset, "reservations."),
        (attempts_forgotten, "attempts"),
        (a_head_moved, "relayed.entry"),
        (a_stranger, "people.bucket/"),
    ],
)
async def test_a_store_that_was_changed_is_found_and_no_person_is_named(
    ledger: Ledger, store: Redis, fault: Fault, where: str
) -> None:
    journal = MemoryJournal()
    await live(ledger, Relay(ledger, journal, "test"))
    await verify(ledger, journal)
    await fault(store, Keys("b"))
    with pytest.raises(LedgerDiffers) as caught:
        await verify(ledger, journal)
    assert f"budget b, {where}" in str(caught.value)
    assert not any(token in str(caught.value) for token in people(0, 20))


async def test_verify_counts_what_the_outbox_still_holds(ledger: Ledger, store: Redis) -> None:
    journal = MemoryJournal()
    await live(ledger, Relay(ledger, journal, "test"))
    lease = await ledger.lease("b", "m2")
    span = (0.0, 60.0)
    await ledger.charge(Manifest("b", "acme", "m2", span, people(0, 5), CHARGE), lease)
    await verify(ledger, journal)
    await less_spent(store, Keys("b"))
    with pytest.raises(LedgerDiffers, match=r"budget\.spent"):
        await verify(ledger, journal)


async def test_a_budget_that_only_one_of_them_knows_is_found(ledger: Ledger, store: Redis) -> None:
    journal = MemoryJournal()
    await live(ledger, Relay(ledger, journal, "test"))
    await store.delete(Keys("i").meta)
    with pytest.raises(LedgerDiffers, match="in the journal and not in the store"):
        await verify(ledger, journal)
    assert (await verify(ledger, journal, budget="b"))["budgets"] == 1


async def test_verify_runs_beside_workers(ledger: Ledger) -> None:
    journal = MemoryJournal()
    relay = Relay(ledger, journal, "test", poll_seconds=0.001)
    await ledger.create_budget("b", "acme", 60.0, DELTA, [12], buckets=4)
    lease = await ledger.lease("b", "m")
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))

    async def work() -> None:
        for number in range(20):
            await ledger.charge(window(number), lease)
            await asyncio.sleep(0.05)

    working = asyncio.create_task(work())
    checks = 0
    while not working.done():
        await verify(ledger, journal)
        checks += 1
    await working
    stop.set()
    await task
    assert checks > 0


async def test_a_lease_is_kept_while_the_broker_takes_its_time(ledger: Ledger) -> None:
    """Else a second relay would take the tree over in the middle, and the two fence each other in turn."""

    class Slow(MemoryJournal):
        async def append(self, records: Sequence[JournalRecord]) -> int:
            await asyncio.sleep(1.0)
            return await super().append(records)

    await ledger.create_budget("b", "acme", 3.0, DELTA, [12], buckets=16)
    moving = asyncio.create_task(Relay(ledger, Slow(), "slow", ttl_seconds=0.3).drain())
    await asyncio.sleep(0.7)
    with pytest.raises(Fenced):
        await ledger.take("b", RELAY, 1.0)
    await moving


# A store that went back


async def snapshot(store: Redis) -> dict[bytes, bytes]:
    return {key: await store.dump(key) or b"" async for key in store.scan_iter(match="veil:ledger:*")}


async def go_back(store: Redis, held: dict[bytes, bytes]) -> None:
    """As an old file, or a replica that was behind and was promoted."""
    await store.flushdb()
    for key, value in held.items():
        await store.restore(key, 0, value)


@pytest.mark.parametrize("charged_again", [0, 1, 3])
async def test_a_store_that_went_back_writes_nothing_more(
    ledger: Ledger, store: Redis, charged_again: int
) -> None:
    journal = MemoryJournal()
    await ledger.create_budget("b", "acme", 60.0, DELTA, [12], buckets=4)
    lease = await ledger.lease("b", "m")
    await ledger.charge(window(0), lease)
    await Relay(ledger, journal, "r").drain()
    held = await snapshot(store)
    for number in (1, 2):
        await ledger.charge(window(number), lease)
    await Relay(ledger, journal, "r").drain()
    lines = list(journal.lines)
    await go_back(store, held)
    for number in range(charged_again):
        await ledger.charge(window(10 + number), lease)
    if charged_again:  # before it writes: there is nothing to write where nothing was charged
        with pytest.raises(LedgerDiffers, match="has forgotten entry 3"):
            await Relay(ledger, journal, "r").drain()
    with pytest.raises(LedgerDiffers, match="has forgotten entry"):
        await verify(ledger, journal)
    assert journal.lines == lines
    await rebuild(ledger, journal, force=True)
    assert (await ledger.budget("b")).seq == 4
    await ledger.charge(window(10), await ledger.lease("b", "m"))
    await Relay(ledger, journal, "r").drain()
    await verify(ledger, journal)


async def test_a_journal_that_lost_its_end_is_not_written_on(ledger: Ledger) -> None:
    journal = MemoryJournal()
    await ledger.create_budget("b", "acme", 60.0, DELTA, [12], buckets=4)
    lease = await ledger.lease("b", "m")
    await ledger.charge(window(0), lease)
    await Relay(ledger, journal, "r").drain()
    del journal.lines[-1]
    await ledger.charge(window(1), lease)
    with pytest.raises(JournalBroken):
        await Relay(ledger, journal, "r").drain()


# Kafka


@pytest.fixture
async def on_kafka(kafka_fresh: KafkaSettings) -> AsyncIterator[KafkaJournal]:
    async with KafkaJournal(kafka_fresh) as journal:
        yield journal


async def test_the_whole_way_over_kafka(
    ledger: Ledger, store: Redis, on_kafka: KafkaJournal, kafka_fresh: KafkaSettings
) -> None:
    await live(ledger, Relay(ledger, on_kafka, "test"))
    report = await verify(ledger, on_kafka)
    held = {name: await dump(store, name) for name in ("b", "i")}
    await store.flushall()
    assert await rebuild(ledger, on_kafka) == report
    assert {name: await dump(store, name) for name in ("b", "i")} == held
    told = [
        orjson.loads(record.value)
        async for record in read_to_end(kafka_fresh, topic_name(kafka_fresh, "budget.events"))
    ]
    assert len(told) == report["entries"]
    sealed = {token for n in range(20) for token in people(n, n + 1)}
    assert not any(token in orjson.dumps(event).decode() for event in told for token in sealed)


async def test_a_relay_that_slept_through_a_rebuild_can_write_nothing(
    ledger: Ledger, store: Redis, kafka_fresh: KafkaSettings
) -> None:
    """It had read the outbox of a store that was lost since; the numbers are other charges' by now."""

    class Slow(KafkaJournal):
        asleep, wake = asyncio.Event(), asyncio.Event()

        async def append(self, records: Sequence[JournalRecord]) -> int:
            if records[-1].entry["public"]["seq"] > 1:
                self.asleep.set()
                await self.wake.wait()
            return await super().append(records)

    await ledger.create_budget("b", "acme", 60.0, DELTA, [12], buckets=4)
    async with Slow(kafka_fresh) as slow, KafkaJournal(kafka_fresh) as journal:
        zombie = Relay(ledger, slow, "zombie")
        await zombie.drain()
        await ledger.charge(window(0), await ledger.lease("b", "m"))
        sleeping = asyncio.create_task(zombie.drain(timeout=0.5))
        await slow.asleep.wait()
        await store.flushdb()
        await rebuild(ledger, journal)
        await ledger.charge(window(7), await ledger.lease("b", "m"))
        await Relay(ledger, journal, "new").drain()
        slow.wake.set()
        await asyncio.wait({sleeping})
        entries = [entry async for entry in journal.read()]
        assert [entry["public"]["seq"] for entry in entries] == [1, 2]
        assert entries[1]["public"]["window"]["start"] == window(7).window[0]
        await verify(ledger, journal)
