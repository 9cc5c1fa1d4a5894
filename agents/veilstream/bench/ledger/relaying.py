"""The process with the relay: moves the outbox to the journal until its input ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis

from veilstream.bench.ledger.children import serve
from veilstream.bench.ledger.options import Place
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger, Relay
from veilstream.transport import KafkaJournal

__all__ = ["main"]


async def _relay() -> None:
    async with AsyncExitStack() as held:
        stop = asyncio.Event()
        relaying: list[asyncio.Task[None]] = []

        async def answer(question: dict[str, Any]) -> dict[str, Any]:
            place = Place(**question["place"])
            settings = place.settings()
            client = Redis.from_url(place.store_url)
            held.push_async_callback(client.aclose)
            provider = FileKeyProvider(settings.keys_folder)
            ledger = Ledger(client, provider.ledger(), provider=provider)
            journal = await held.enter_async_context(KafkaJournal(settings.kafka))
            relaying.append(asyncio.create_task(Relay(ledger, journal, "bench").run(stop)))
            relaying[0].add_done_callback(lambda _: serving.cancel())
            return {}

        serving = asyncio.create_task(serve(answer))
        await asyncio.wait({serving})
        stop.set()
        await asyncio.gather(*relaying)


def main() -> None:
    asyncio.run(_relay())


if __name__ == "__main__":
    main()
