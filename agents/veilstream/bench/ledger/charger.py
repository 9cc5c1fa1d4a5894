"""A process of several models that charge, each one window after the other; or the peer in its place.

Questions: `prepare` draws the windows; `go` runs from a moment (`time.monotonic`, the same for all processes
of a machine) for so many seconds, or until the windows are used up, and answers with a sample for each
window: called, reserved, acknowledged, people.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import cycle
from typing import Any

from redis.asyncio import Redis

from veilstream.bench.ledger.children import serve
from veilstream.bench.ledger.options import TENANT, Place, price
from veilstream.bench.ledger.population import bucket, packed, parts, tokens, windows
from veilstream.errors import ChargeInvalid, RecordTooLarge
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Lease, Ledger, Manifest

__all__ = ["Charger", "main"]

Sample = tuple[float, float, float, int]
Turn = Callable[[], Awaitable[Sample | None]]

_LEASE_SECONDS = 3600.0
_ACKNOWLEDGED_SECONDS = 60.0
_WINDOW_SECONDS = 60.0


class Charger:
    """What `prepare` and `go` work on."""

    def __init__(self, place: Place) -> None:
        self._client = Redis.from_url(place.store_url)
        provider = FileKeyProvider(place.settings().keys_folder)
        self._ledger = Ledger(
            self._client,
            provider.ledger(),
            provider=provider,
            max_entry_bytes=place.settings().kafka.max_record_bytes,
        )
        self._population: tuple[tuple[int, int], list[str]] = ((0, 0), [])
        self._leases: dict[tuple[str, str], Lease] = {}
        self._spans: dict[tuple[str, str], int] = {}  # next window of a budget's model
        self._turns: list[Turn] = []
        self._refused = ""

    async def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        if question.pop("do") == "prepare":
            await self._prepare(**question)
            return {}
        return await self._go(**question)

    async def _prepare(
        self,
        *,
        work: str,
        budget: str,
        orders: list[int],
        models: list[str],
        people: int,
        seed: int,
        window: int,
        pool: int,
        run: str,
        first: int = 0,
        everyone_in: int = 0,
        buckets: int = 0,
    ) -> None:
        """`pool` random windows for each model, used again when they are through. Or everybody once, in
        windows that go round `everyone_in` models of all processes, of which ours begin at number `first`."""
        everybody = self._people(people, seed)
        self._turns = []
        for number, model in enumerate(models):
            chosen: Iterable[tuple[str, ...]]
            if not everyone_in:
                chosen = cycle(windows(everybody, window, pool, f"{seed}/{run}/{model}"))
            else:
                chosen = parts(everybody, window, first + number, everyone_in)
            if work == "hincrby":
                self._turns.append(self._peer(budget, windows_of(chosen, pool), buckets, len(orders)))
            else:
                self._turns.append(await self._model(budget, model, tuple(orders), chosen))

    async def _model(
        self, budget: str, model: str, orders: tuple[int, ...], chosen: Iterable[tuple[str, ...]]
    ) -> Turn:
        key = (budget, model)
        if key not in self._leases:
            self._leases[key] = await self._ledger.lease(budget, model, _LEASE_SECONDS)
        lease, charge, coming = self._leases[key], price(orders), iter(chosen)

        async def turn() -> Sample | None:
            people = next(coming, None)
            if people is None:
                return None
            start = self._spans.get(key, 0) * _WINDOW_SECONDS
            self._spans[key] = self._spans.get(key, 0) + 1
            manifest = Manifest(budget, TENANT, model, (start, start + _WINDOW_SECONDS), people, charge)
            called = time.monotonic()
            try:
                reservation = await self._ledger.charge(manifest, lease)
            except (ChargeInvalid, RecordTooLarge) as error:
                self._refused = error.message
                return None
            reserved = time.monotonic()
            await self._ledger.wait_acknowledged(budget, reservation.seq, _ACKNOWLEDGED_SECONDS)
            return called, reserved, time.monotonic(), len(reservation.admitted)

        return turn

    def _peer(self, prefix: str, made: list[list[tuple[str, bytes]]], buckets: int, orders: int) -> Turn:
        """Pipelines of `HINCRBY`: a field for each person and order, in hashes of as many fields as ours."""
        commands = [
            [
                (f"{prefix}{bucket(raw, buckets)}", raw + bytes([order]) if orders > 1 else raw)
                for _, raw in people
                for order in range(orders)
            ]
            for people in made
        ]
        coming = cycle(commands)

        async def turn() -> Sample:
            fields = next(coming)
            called = time.monotonic()
            async with self._client.pipeline(transaction=False) as pipeline:
                for key, field in fields:
                    pipeline.hincrby(key, field, 5_000_000)
                await pipeline.execute()
            answered = time.monotonic()
            return called, answered, answered, len(fields) // orders

        return turn

    def _people(self, people: int, seed: int) -> list[str]:
        if self._population[0] != (people, seed):
            self._population = ((people, seed), tokens(people, seed))
        return self._population[1]

    async def _go(self, *, at: float, seconds: float | None, windows: int | None = None) -> dict[str, Any]:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        end = at + seconds if seconds is not None else None
        self._refused = ""
        samples: list[Sample] = []

        async def loop(turn: Turn) -> None:
            done = 0
            while (end is None or time.monotonic() < end) and done != windows:
                sample = await turn()
                if sample is None:
                    return
                samples.append(sample)
                done += 1

        await asyncio.gather(*(loop(turn) for turn in self._turns))
        return {"samples": samples, "refused": self._refused}


def windows_of(chosen: Iterable[tuple[str, ...]], count: int) -> list[list[tuple[str, bytes]]]:
    """The first `count` windows, each token with its bytes."""
    return [
        [(token, packed(token)) for token in people] for _, people in zip(range(count), chosen, strict=False)
    ]


def main() -> None:
    charger: Charger | None = None

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        nonlocal charger
        if charger is None:
            charger = Charger(Place(**question["place"]))
            return {}
        return await charger.answer(question)

    asyncio.run(serve(answer))


if __name__ == "__main__":
    main()
