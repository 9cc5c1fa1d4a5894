"""A store with a replica: the primary is killed, the replica promoted. What may be forgotten, who notices.

Replication is asynchronous, so a replica may be behind. Two things are shown: a promoted replica that was
behind the journal is found, by `verify` and by the relay; and with `replicas=1`, where the journal is written
and a start answered only after `WAIT` has said that a replica has everything, no charge that the journal
acknowledged is forgotten, and no start.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import orjson
import pytest
from redis.asyncio import Redis

import veilstream.ledger.helping as helping
from ledger_kills import BUDGET, ORDERS, ROOT, Story, opened
from ledger_world import DELTA, manifest, people
from veilstream.embedded.valkey import LocalValkey
from veilstream.errors import ChargeInvalid, LedgerDiffers, StoreUnavailable
from veilstream.ledger import Lease, Ledger, MemoryJournal, Relay, dump, rebuild, verify

FAST_KILLS, SLOW_KILLS = 4, 20


async def follow(replica: LocalValkey, primary: LocalValkey) -> None:
    """Make it a replica, and wait until it has everything."""
    async with _client(primary) as one, _client(replica) as other:
        await one.config_set("repl-diskless-sync-delay", 0)
        await other.replicaof("127.0.0.1", str(primary.port))
        async with asyncio.timeout(20.0):
            while not (  # noqa: ASYNC110  # nothing tells us
                (told := await other.info("replication"))["master_link_status"] == "up"
                and told["slave_repl_offset"] >= (await one.info("replication"))["master_repl_offset"]
            ):
                await asyncio.sleep(0.02)


async def promote(replica: LocalValkey) -> None:
    async with _client(replica) as client:
        await client.replicaof("NO", "ONE")


async def cut_off(replica: LocalValkey) -> None:
    """The replica cannot reach its primary any more: it stays where it is."""
    async with _client(replica) as client:
        await client.replicaof("127.0.0.1", "1")


@contextlib.asynccontextmanager
async def _client(store: LocalValkey) -> AsyncIterator[Redis]:
    client = Redis.from_url(store.url)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
def other_store(tmp_path: Path) -> Iterator[LocalValkey]:
    valkey = LocalValkey(tmp_path / "valkey2")
    valkey.start()
    yield valkey
    valkey.stop()


async def failovers(primary: LocalValkey, replica: LocalValkey, folder: Path, kills: int, seed: int) -> None:
    story = Story(Random(seed))
    async with opened(primary.url, folder) as ledger:
        await story.create(ledger)
    for _ in range(kills):
        await follow(replica, primary)
        async with opened(primary.url, folder, replicas=1) as ledger:
            living = asyncio.create_task(story.live(ledger))
            await story.a_while()
            primary.kill()
            await living
        await promote(replica)
        primary, replica = replica, primary
        async with opened(primary.url, folder) as ledger:
            await verify(ledger, story.journal)  # before anything else is done
            kept = orjson.loads(await dump(ledger.client, BUDGET))["reservations"]
            for identity, (_, made) in story.charged.items():
                assert made.seq > story.acknowledged or kept[identity]["seq"] == made.seq
            assert all(kept[identity]["state"] in ("started", "committed") for identity in story.started)
            # A charge that the journal does not have may be forgotten; asked again, it is made.
            story.unanswered += [
                made for made, reservation in story.charged.values() if reservation.seq > story.acknowledged
            ]
            await story.ask_again(ledger)
            await Relay(ledger, story.journal, "after").drain()
            await verify(ledger, story.journal)
        replica.start()


async def test_what_was_journalled_after_wait_survives_the_primary(
    own_store: LocalValkey, other_store: LocalValkey, tmp_path: Path
) -> None:
    await failovers(own_store, other_store, tmp_path, FAST_KILLS, seed=3)


@pytest.mark.slow
async def test_many_failovers(own_store: LocalValkey, other_store: LocalValkey, tmp_path: Path) -> None:
    await failovers(own_store, other_store, tmp_path, SLOW_KILLS, seed=4)


async def one_each_side(primary: LocalValkey, replica: LocalValkey, ledger: Ledger, relay: Relay) -> Lease:
    """A charge that both stores and the journal have; from here on the replica hears nothing."""
    await ledger.create_budget(ROOT, "acme", 100.0, DELTA, ORDERS)
    lease = await ledger.lease(ROOT, "m", 0.1)
    await ledger.charge(manifest(0, people(1, 2, 3), budget=ROOT), lease)
    await relay.drain()
    await follow(replica, primary)
    await cut_off(replica)
    return lease


async def test_a_promoted_replica_that_was_behind_the_journal_is_found(
    own_store: LocalValkey, other_store: LocalValkey, tmp_path: Path
) -> None:
    journal = MemoryJournal()
    async with opened(own_store.url, tmp_path) as ledger:
        relay = Relay(ledger, journal, "test")
        lease = await one_each_side(own_store, other_store, ledger, relay)
        reservation = await ledger.charge(manifest(1, people(1, 2, 3), budget=ROOT), lease)
        await relay.drain()
        await ledger.start(reservation.id, lease)
    own_store.kill()
    await promote(other_store)
    async with opened(other_store.url, tmp_path) as ledger:
        with pytest.raises(LedgerDiffers, match="forgotten entry 3"):
            await verify(ledger, journal)
        other = await ledger.lease(ROOT, "m2")
        await ledger.charge(manifest(7, people(4), budget=ROOT, model="m2"), other)
        told = len(journal.lines)
        with pytest.raises(LedgerDiffers, match="forgotten entry 3"):  # else that number were given twice
            await Relay(ledger, journal, "test").drain()
        assert len(journal.lines) == told
        await rebuild(ledger, journal, force=True)
        await verify(ledger, journal)
        lease = await ledger.lease(ROOT, "m", wait_seconds=5.0)
        with pytest.raises(ChargeInvalid, match="rebuilt"):  # it may have started: nobody knows
            await ledger.start(reservation.id, lease)


async def test_without_its_replica_nothing_is_journalled_and_nothing_starts(
    own_store: LocalValkey, other_store: LocalValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helping, "_REPLICA_SECONDS", 0.2)
    journal = MemoryJournal()
    async with opened(own_store.url, tmp_path) as ledger:
        lease = await one_each_side(own_store, other_store, ledger, Relay(ledger, journal, "test"))
        known = len(journal.lines)
        reservation = await ledger.charge(manifest(1, people(1, 2, 3), budget=ROOT), lease)
        ledger.replicas = 1
        with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
            await Relay(ledger, journal, "test").drain()
        assert len(journal.lines) == known
        with pytest.raises(ChargeInvalid, match="not acknowledged"):
            await ledger.start(reservation.id, lease)
    own_store.kill()
    await promote(other_store)
    async with opened(other_store.url, tmp_path) as ledger:
        await verify(ledger, journal)
        with pytest.raises(ChargeInvalid, match="no such reservation"):
            await ledger.start(reservation.id, await ledger.lease(ROOT, "m", wait_seconds=5.0))
