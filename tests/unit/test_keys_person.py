"""Person keys: one salt for a person whoever asks, one round trip for a batch, sealed for them alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from veilstream.errors import EnvelopeInvalid, KeyMissing, StoreUnavailable
from veilstream.keys import FileKeyProvider, PersonKeys, RedisPersonKeyStore, unit_index


class DictStore:
    """A `PersonKeyStore` in a dictionary, which counts its round trips."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.trips = 0

    async def get_or_create(self, proposals: dict[bytes, bytes]) -> dict[bytes, bytes]:
        self.trips += 1
        return {index: self.held.setdefault(index, sealed) for index, sealed in proposals.items()}


@pytest.fixture
def provider(tmp_path: Path) -> FileKeyProvider:
    provider = FileKeyProvider(tmp_path)
    provider.ensure("a", "b")
    return provider


JANE = ("a", "subject", "jane")


async def test_same_person_same_token_for_every_process(provider: FileKeyProvider) -> None:
    store = DictStore()
    first, second = PersonKeys(provider, store), PersonKeys(provider, store)
    people = [JANE, ("a", "subject", "joe"), ("b", "subject", "jane"), ("a", "conversation", "jane"), JANE]
    tokens = await first.subject_tokens(people)
    assert tokens == await second.subject_tokens(people)
    assert tokens[0] == tokens[4]
    assert len(set(tokens)) == 4
    assert len(store.held) == 4
    assert store.trips == 2


async def test_one_trip_for_a_batch_and_none_for_people_known(provider: FileKeyProvider) -> None:
    store = DictStore()
    keys = PersonKeys(provider, store)
    people = [("a", "subject", str(n)) for n in range(50)]
    await keys.subject_tokens(people)
    await keys.subject_tokens(people)
    assert store.trips == 1
    assert await keys.subject_tokens([]) == []
    assert store.trips == 1


async def test_memory_is_bounded_and_changes_nothing(provider: FileKeyProvider) -> None:
    store = DictStore()
    none, two, all_ = (PersonKeys(provider, store, cache_size=n) for n in (0, 2, 100))
    people = [("a", "subject", str(n % 5)) for n in range(20)]
    tokens = [await keys.subject_tokens(people) for keys in (none, two, all_)]
    assert tokens[0] == tokens[1] == tokens[2]
    before = store.trips
    await two.subject_tokens(people[3:5])  # the last two seen
    assert store.trips == before
    await none.subject_tokens(people[3:5])
    assert store.trips == before + 1


async def test_a_new_salt_gives_a_new_token(provider: FileKeyProvider) -> None:
    store = DictStore()
    keys = PersonKeys(provider, store)
    before = await keys.subject_tokens([JANE])
    store.held.clear()
    assert await keys.subject_tokens([JANE]) == before  # still in memory
    keys.forget(unit_index(provider.tenant("a"), "subject", "jane"))
    assert await keys.subject_tokens([JANE]) != before


async def test_a_salt_opens_for_its_person_only(provider: FileKeyProvider) -> None:
    store = DictStore()
    await PersonKeys(provider, store).subject_tokens([JANE, ("a", "subject", "joe")])
    jane, joe = store.held
    store.held[jane], store.held[joe] = store.held[joe], store.held[jane]
    with pytest.raises(EnvelopeInvalid):
        await PersonKeys(provider, store).subject_tokens([JANE])


async def test_the_store_holds_nothing_of_the_person(provider: FileKeyProvider) -> None:
    store = DictStore()
    await PersonKeys(provider, store).subject_tokens([JANE])
    ((index, sealed),) = store.held.items()
    assert b"jane" not in index + sealed


async def test_a_tenant_without_a_key_stores_nothing(provider: FileKeyProvider) -> None:
    store = DictStore()
    with pytest.raises(KeyMissing):
        await PersonKeys(provider, store).subject_tokens([JANE, ("nobody", "subject", "x")])
    assert store.trips == 0


async def test_a_dead_store_is_named(provider: FileKeyProvider) -> None:
    client = Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=2)
    keys = PersonKeys(provider, RedisPersonKeyStore(client))
    with pytest.raises(StoreUnavailable, match="start Valkey") as caught:
        await keys.subject_tokens([JANE])
    assert "jane" not in str(caught.value)
    await client.aclose()
