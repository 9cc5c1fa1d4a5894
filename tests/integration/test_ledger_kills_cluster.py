"""A Valkey in cluster mode: all keys of a tree in one slot, whoever the client is.

In this mode the server refuses a script whose keys are in more than one slot, those that it names itself
included. So the whole life of two trees is lived through it, and afterwards every key is looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot

import veilstream.ledger.ledger as charging
from ledger_world import DELTA, card, manifest, people
from veilstream.embedded.valkey import LocalValkey
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger, MemoryJournal, Relay, dump, rebuild, verify
from veilstream.ledger.store import Keys

TREES = ("acme", "zeta")


class ClusterValkey(LocalValkey):
    """One node that has every slot."""

    def prepare(self) -> Sequence[str]:
        argv = super().prepare()
        with (self.data_dir / "valkey.conf").open("a") as config:
            config.write("cluster-enabled yes\n")
        return argv


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterValkey]:
    valkey = ClusterValkey(tmp_path / "cluster")
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture(params=["plain", "cluster"])
async def client(cluster: ClusterValkey, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The client that `store.url` gives, and redis-py's own for clusters."""
    one = Redis.from_url(cluster.url)
    await one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
    async with asyncio.timeout(20.0):
        while (await one.cluster("INFO"))["cluster_state"] != "ok":  # noqa: ASYNC110  # nothing tells us
            await asyncio.sleep(0.05)
    if request.param == "plain":
        yield one
    else:
        many = RedisCluster(host="127.0.0.1", port=cluster.port)
        yield many
        await many.aclose()
    await one.aclose()


async def test_a_tree_lives_in_one_slot_of_a_cluster(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charging, "people_per_script", lambda orders, levels: 16)
    provider = FileKeyProvider(tmp_path / "keys")
    provider.create_ledger()
    provider.create_operator()
    ledger = Ledger(client, provider.ledger(), provider=provider)
    journal = MemoryJournal()
    relay = Relay(ledger, journal, "cluster")
    for root in TREES:
        await ledger.create_budget(root, "acme", 30.0, DELTA, (12,), buckets=8)
        await ledger.create_budget(f"{root}/support", "acme", 20.0, DELTA, (12,), "individual", buckets=8)
        budget = f"{root}/support"
        lease = await ledger.lease(budget, "m")
        for number, size in enumerate((5, 100)):  # in one script, and in several
            who = people(*range(size))
            reservation = await ledger.charge(manifest(number, who, budget=budget), lease)
            assert len(reservation.admitted) == size
            await relay.drain()
            await ledger.wait_acknowledged(budget, reservation.seq, 10.0)
            await ledger.start(reservation.id, lease)
            await ledger.commit(
                reservation.id, lease, {}, card(reservation, f"{root}{number}", budget=budget)
            )
        reservation = await ledger.charge(manifest(2, people(1), budget=budget), lease)
        await ledger.abandon(reservation.id, lease, "stopped")
        await ledger.raise_budget(root, 31.0)
        await ledger.release(lease)
    await relay.drain()
    await verify(ledger, journal)
    held = {name: await dump(client, name) for name in await ledger.budgets()}
    assert len(held) == 2 * len(TREES)
    for root in TREES:
        keys = [key async for key in client.scan_iter(match=f"veil:ledger:{{{root}}}:*")]
        assert len(keys) > 10
        assert {key_slot(key) for key in keys} == {key_slot(root.encode())}
    assert key_slot(b"acme") != key_slot(b"zeta")
    await client.hset(Keys("acme").people(0) + "3", b"15 bytes, no one", 5)  # a rebuild takes it away
    await rebuild(ledger, journal, force=True)
    assert {name: await dump(client, name) for name in await ledger.budgets()} == held
