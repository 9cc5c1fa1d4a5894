"""A store and a broker of the benchmark's own, and the processes that charge and relay."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from secrets import token_hex

from redis.asyncio import Redis

from veilstream.bench.ledger.children import Child
from veilstream.bench.ledger.options import Options, Place
from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.valkey import LocalValkey
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger
from veilstream.transport import KafkaJournal, ensure_topics

__all__ = ["Ground", "Team", "empty", "ground", "team"]


@dataclass(frozen=True, slots=True)
class Ground:
    """What runs, and where."""

    options: Options
    folder: Path
    bootstrap: str
    store_url: str
    pids: dict[str, int]  # of what is ours: store, broker

    @property
    def keys_folder(self) -> Path:
        return self.folder / "keys"


@dataclass(frozen=True, slots=True)
class Team:
    """An empty store and topics of their own, with the processes at work on them."""

    client: Redis
    ledger: Ledger
    journal: KafkaJournal
    relay: Child
    chargers: tuple[Child, ...]
    models: tuple[tuple[str, ...], ...]  # of each charger
    pids: dict[str, list[int]]  # by what they are


@contextmanager
def ground(options: Options) -> Iterator[Ground]:
    """Start both, make keys, and take everything down at the end. In the main thread."""
    folder = Path(tempfile.mkdtemp(prefix="veilstream-bench-"))
    try:
        with ExitStack() as running:
            broker = running.enter_context(LocalKafka(folder / "kafka"))
            store = running.enter_context(LocalValkey(folder / "valkey"))
            provider = FileKeyProvider(folder / "keys")
            provider.create_ledger()
            provider.create_operator()
            pids = {"store": store.pid, "broker": broker.pid}
            yield Ground(options, folder, broker.bootstrap, store.url, pids)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def empty(here: Ground) -> AsyncIterator[tuple[Ledger, KafkaJournal]]:
    """An empty store, and topics of its own, without processes."""
    place = Place(here.store_url, here.bootstrap, f"bench{token_hex(5)}.", str(here.keys_folder))
    settings = place.settings()
    await ensure_topics(settings.kafka)
    async with AsyncExitStack() as held:
        client = Redis.from_url(here.store_url)
        held.push_async_callback(client.aclose)
        await client.flushall()
        provider = FileKeyProvider(here.keys_folder)
        journal = await held.enter_async_context(KafkaJournal(settings.kafka))
        yield Ledger(client, provider.ledger(), provider=provider), journal


@asynccontextmanager
async def team(here: Ground) -> AsyncIterator[Team]:
    """Empty the store, make topics, start the processes; stop them at the end."""
    options = here.options
    place = Place(here.store_url, here.bootstrap, f"bench{token_hex(5)}.", str(here.keys_folder))
    settings = place.settings()
    await ensure_topics(settings.kafka)
    async with AsyncExitStack() as held:
        client = Redis.from_url(here.store_url)
        held.push_async_callback(client.aclose)
        await client.flushall()  # in this thread: what was held is free when it answers
        provider = FileKeyProvider(here.keys_folder)
        ledger = Ledger(client, provider.ledger(), provider=provider)
        relay = await Child.start("relaying", place.dump(), here.folder, "relay")
        held.push_async_callback(relay.stop)
        chargers = []
        for number in range(min(options.processes, options.concurrency)):
            child = await Child.start("charger", place.dump(), here.folder, f"charger{number}")
            held.push_async_callback(child.stop)
            chargers.append(child)
        yield Team(
            client,
            ledger,
            KafkaJournal(settings.kafka),
            relay,
            tuple(chargers),
            _spread(options.concurrency, len(chargers)),
            {
                **{name: [pid] for name, pid in here.pids.items()},
                "relay": [relay.pid],
                "models": [child.pid for child in chargers],
            },
        )


def _spread(models: int, processes: int) -> tuple[tuple[str, ...], ...]:
    """Names of so many models, over so many processes."""
    ends = [models * number // processes for number in range(processes + 1)]
    return tuple(tuple(f"m{model}" for model in range(first, last)) for first, last in pairwise(ends))
