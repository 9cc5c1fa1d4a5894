"""The store killed at random moments while models charge, start and commit: what was answered is there.

SIGKILL at a random moment, of a Valkey and of a Redis; the same files again; then, each time: every charge
that was answered, acknowledged, started or committed is there; a charge whose answer was lost is there whole
or not at all, and asking again charges it once; nobody paid twice; `verify` agrees with the journal.
"""

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from ledger_kills import Story, opened
from veilstream.embedded.valkey import LocalValkey
from veilstream.ledger import Relay, verify

FAST_KILLS, SLOW_KILLS = 22, 100


async def rounds(store: LocalValkey, folder: Path, kills: int, seed: int) -> int:
    """Live, kill, start again, check; so many times. How many charges a kill left without their answer."""
    story = Story(Random(seed))
    async with opened(store.url, folder) as ledger:
        await story.create(ledger)
    caught_under_way = 0
    for _ in range(kills):
        async with opened(store.url, folder) as ledger:
            living = asyncio.create_task(story.live(ledger))
            await story.a_while()
            store.kill()
            await living
        store.start()
        async with opened(store.url, folder) as ledger:
            caught_under_way += len(story.unanswered)
            await story.ask_again(ledger)
            await Relay(ledger, story.journal, "after").drain()
            await story.check(ledger)
            await verify(ledger, story.journal)
    return caught_under_way


async def test_a_store_that_is_killed_at_random_forgets_nothing(
    own_store: LocalValkey, tmp_path: Path
) -> None:
    assert await rounds(own_store, tmp_path, FAST_KILLS, seed=6) > 0


class LocalRedis(LocalValkey):
    """Debian's Redis 7 with the same configuration (`make tools`)."""

    name = "redis"

    def prepare(self) -> Sequence[str]:
        _, config = super().prepare()
        program = shutil.which("redis-server")
        assert program, "there is no redis-server: `make tools` installs it"
        return [program, config]


async def test_redis_forgets_nothing_either(tmp_path: Path) -> None:
    redis = LocalRedis(tmp_path / "redis")
    redis.start()
    try:
        await rounds(redis, tmp_path, 5, seed=7)
    finally:
        redis.stop()


@pytest.mark.slow
async def test_many_kills(own_store: LocalValkey, tmp_path: Path) -> None:
    assert await rounds(own_store, tmp_path, SLOW_KILLS, seed=time.time_ns()) > 0
