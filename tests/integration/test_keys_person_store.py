"""Person keys in a real Valkey: one winner whoever proposes, whole batches, and other data left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis.asyncio import Redis

from veilstream.embedded.valkey import LocalValkey
from veilstream.keys import FileKeyProvider, PersonKeys, RedisPersonKeyStore


async def test_two_proposals_at_once_have_one_winner(store: Redis) -> None:
    indices = [bytes([n]) * 16 for n in range(200)]
    stores = [RedisPersonKeyStore(store) for _ in range(8)]
    answers = await asyncio.gather(
        *(s.get_or_create(dict.fromkeys(indices, b"%d" % n)) for n, s in enumerate(stores))
    )
    assert all(answer == answers[0] for answer in answers)
    assert list(answers[0]) == indices
    assert await stores[0].get_or_create({indices[0]: b"late"}) == {indices[0]: answers[0][indices[0]]}


async def test_layout_is_as_documented(store: Redis) -> None:
    await RedisPersonKeyStore(store).get_or_create({b"\xab" + b"\x00" * 15: b"sealed"})
    assert await store.keys() == [b"veil:person-keys:{ab}"]
    assert await store.hgetall("veil:person-keys:{ab}") == {b"\xab" + b"\x00" * 15: b"sealed"}


async def test_nothing_asked_nothing_stored(store: Redis) -> None:
    assert await RedisPersonKeyStore(store).get_or_create({}) == {}
    assert await store.keys() == []


async def test_tokens_survive_a_killed_store(own_store: LocalValkey, tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path / "keys")
    provider.ensure("a")
    people = [("a", "subject", str(n)) for n in range(300)]
    client = Redis.from_url(own_store.url)
    before = await PersonKeys(provider, RedisPersonKeyStore(client)).subject_tokens(people)
    await client.aclose()
    own_store.stop()
    own_store.start()
    client = Redis.from_url(own_store.url)
    after = await PersonKeys(provider, RedisPersonKeyStore(client)).subject_tokens(people)
    await client.aclose()
    assert after == before
