"""The engines that a loop can be given: the real one, and those that a benchmark needs beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from veilstream.events import codec
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.topics import max_message_bytes, topic_name
from veilstream.events.types import BATCH, PROTECTED, PROTECTED_BATCH
from veilstream.events.walker import Leaf, rewrite
from veilstream.processors.decoding import RawRecord
from veilstream.processors.pipeline import Outcome, Pipeline, Run
from veilstream.processors.work import Work

if TYPE_CHECKING:
    from veilstream.bench.pipeline.options import Engine
    from veilstream.settings import Settings

__all__ = ["Identity", "Slow", "StockPresidio", "make"]


class Identity:
    """Decodes (attributes, JSON, schema), walks and encodes each record, and changes nothing."""

    def __init__(self) -> None:
        self._incarnation = ""

    def set_incarnation(self, incarnation: str) -> None:
        self._incarnation = incarnation

    async def batch(
        self, records: Sequence[RawRecord], run: Run[Any], waiting: Callable[[], None]
    ) -> Sequence[Outcome]:
        done: Sequence[Outcome] = await run(lambda: [self._one(record) for record in records])
        return done

    def visit(self, leaf: Leaf) -> Any:
        return leaf.value

    def _one(self, record: RawRecord) -> Outcome:
        attributes = Attributes.from_headers(record.headers)
        value = codec.decode(attributes.type, record.value)
        written = codec.dumps(rewrite(value, self.visit))
        out = Attributes(
            type=PROTECTED_BATCH if attributes.type == BATCH else PROTECTED,
            source="veilstream/processor",
            id=attributes.id,
            time=attributes.time,
            traceparent=attributes.traceparent,
            policy_version="none",
            origin=Origin(self._incarnation, record.partition, record.offset),
        )
        return Outcome(
            "interactions.protected",
            record.key or b"",
            written,
            out.to_headers(),
            None,
            record.partition,
            record.offset,
        )


class StockPresidio(Identity):
    """The same, with stock Presidio's patterns over every string; what it finds is not used."""

    def __init__(self) -> None:
        from veilstream.detection import stock_presidio

        super().__init__()
        self._find = stock_presidio()

    def visit(self, leaf: Leaf) -> Any:
        if isinstance(leaf.value, str):
            self._find(leaf.value)
        return leaf.value


class Slow:
    """Another work, and a pause for each record: an engine that got slow. `pause_seconds` may change."""

    def __init__(self, inner: Work) -> None:
        self._inner = inner
        self.pause_seconds = 0.0

    def set_incarnation(self, incarnation: str) -> None:
        self._inner.set_incarnation(incarnation)

    async def batch(
        self, records: Sequence[RawRecord], run: Run[Any], waiting: Callable[[], None]
    ) -> Sequence[Outcome]:
        if self.pause_seconds > 0:
            await asyncio.sleep(self.pause_seconds * len(records))
        return await self._inner.batch(records, run, waiting)


def make(engine: Engine, settings: Settings, incarnation: str) -> Work:
    """The engine of a loop, at settings. `present` keeps a client of the store for the process's life."""
    if engine == "presidio":
        work: Work = StockPresidio()
    else:
        work = Identity() if engine == "none" else _present(settings, incarnation)
    work.set_incarnation(incarnation)
    return work


def _present(settings: Settings, incarnation: str) -> Pipeline:
    from redis.asyncio import Redis

    from veilstream.detection import PatternEngine
    from veilstream.keys import FileKeyProvider, PersonKeys, RedisPersonKeyStore
    from veilstream.protection import Protector, load_policy

    provider = FileKeyProvider(settings.keys_folder)
    store = Redis.from_url(
        settings.store.url.get_secret_value(), socket_timeout=settings.store.timeout_seconds
    )
    return Pipeline(
        protector=Protector(PatternEngine(), load_policy(settings.processor.policy)),
        provider=provider,
        people=PersonKeys(provider, RedisPersonKeyStore(store)),
        topic=topic_name(settings.kafka, "interactions.raw"),
        incarnation=incarnation,
        limit_bytes=settings.kafka.max_record_bytes,
        quarantine_limit_bytes=max_message_bytes(settings.kafka, "interactions.quarantine"),
    )
