"""Faust's Kafka driver, where the raw topic goes past Faust's streams.

Faust keeps the app, the consumer and its group, the rebalances, the signals and the thread in which
heartbeats and fetches live. What it does for each record (a message, an event, futures in `_drain_messages`,
a reference count, `topic.send`) cost ten times what the client library costs, so `lane` takes whole batches
from the consumer and delivers them itself (docs/decisions/0006-lanes.md has the figures).

* Nothing is drained into streams; `LaneSource` is what a lane reads from.
* Offsets are the lanes': what Faust would commit is replaced by what they have delivered, with the topic's
  incarnation as metadata; in transactions there is nothing left to commit.
* The consumer is made with our own options, among them `read_committed`, and a fetch that waits 50 ms at
  most: aiokafka has one fetch under way for each broker, so a busy partition would wait for an idle one's.
* It makes no folders: there are no tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as faust_aiokafka

from veilstream.processors.lane import LogTruncated
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.telemetry import metrics
from veilstream.transport import TopicIdentity
from veilstream.transport.errors import broker_errors

__all__ = ["App", "LaneSource", "credentials"]

T = TypeVar("T")

_FETCH_WAIT_MS = 50
_FETCH_BYTES = 1_048_576
_METADATA_SECONDS = 5  # how soon partitions are noticed that were added, or of a topic made again


class _Thread(faust_aiokafka.AIOKafkaConsumerThread):
    """The thread of the aiokafka consumer."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf, kafka = self.app.conf, self.app.kafka
        self._assignor = RoundRobinPartitionAssignor
        options = kafka_options(kafka)
        return AIOKafkaConsumer(
            **{**options, "request_timeout_ms": int(conf.broker_request_timeout * 1000)},
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            metadata_max_age_ms=1000 * _METADATA_SECONDS,
            max_partition_fetch_bytes=max(_FETCH_BYTES, kafka.max_record_bytes + 65_536),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            # Lanes fetch only when they can: idleness is no reason to leave (aiokafka would not join again).
            max_poll_interval_ms=2**31 - 1,
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
        )

    async def run(self, call: Callable[[AIOKafkaConsumer], Coroutine[Any, Any, T]]) -> T:
        """A call of the consumer, in its thread. Faust's own queue would let one wait for another."""
        made = call(self._ensure_consumer())
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made, self.thread_loop))


class _Consumer(faust_aiokafka.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def run(self, call: Callable[[AIOKafkaConsumer], Coroutine[Any, Any, T]]) -> T:
        result: T = await self._thread.run(call)
        return result

    async def _drain_messages(self, fetcher: Any) -> None:
        # The lanes fetch for themselves.
        await self.wait_first(self._stopped.wait(), fetcher._stopped.wait())

    async def perform_seek(self) -> None:
        """Each lane seeks when it is open."""

    async def wait_empty(self) -> None:
        """Called before partitions go, and at the end."""
        await self.app.on_drain()
        await self.commit()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what the lanes have delivered, as they say it."""
        try:
            # One after the other: an older one that arrives later would take the offset back.
            async with self.app.committing:
                offsets: dict[TopicPartition, OffsetAndMetadata] = self.app.committable()
                if not offsets:
                    return False
                await asyncio.wait_for(
                    self.run(lambda consumer: consumer.commit(offsets)),
                    self.app.kafka.request_timeout_seconds,
                )
        except (CommitFailedError, IllegalStateError):
            return False  # a rebalance: who has the partition now reads from the last commit
        except (KafkaError, TimeoutError) as error:
            # No broker, or it refuses for now. The next one is tried in half a second.
            metrics.counter("commit_failures", error=type(error).__name__).inc()
            return False
        return True

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Our own lag metric and its alert watch over progress."""


class _Transport(faust_aiokafka.Transport):
    Consumer = _Consumer


class App(faust.App):
    """A Faust app over that driver, and what it asks of its owner."""

    kafka: KafkaSettings
    on_drain: Callable[[], Awaitable[None]]
    committable: Callable[[], dict[TopicPartition, OffsetAndMetadata]]
    committing: asyncio.Lock

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        pass


class LaneSource:
    """One partition of the app's consumer: `lane.Source`."""

    def __init__(self, app: App, identity: TopicIdentity, source: TopicPartition) -> None:
        self._app, self._identity, self._source = app, identity, source

    async def committed(self) -> tuple[int, str] | None:
        async def ask(consumer: AIOKafkaConsumer) -> Any:
            # `consumer.committed` keeps the metadata to itself.
            return await consumer._coordinator.fetch_committed_offsets([self._source])

        with broker_errors():
            found = (await self._bounded(self._consumer.run(ask))).get(self._source)
        return None if found is None or found.offset < 0 else (found.offset, found.metadata)

    async def seek(self, offset: int | None) -> int:
        async def go(consumer: AIOKafkaConsumer) -> int:
            place = self._source
            where = (await consumer.beginning_offsets([place]))[place] if offset is None else offset
            # Tansu, which has no idempotence, answers with an end before its last batch.
            if self._app.kafka.idempotence and (await consumer.end_offsets([place]))[place] < where:
                raise LogTruncated
            consumer.seek(place, where)
            return int(where)

        with broker_errors():
            return await self._bounded(self._consumer.run(go))

    async def fetch(self, records: int, seconds: float) -> Sequence[Any]:
        async def get(consumer: AIOKafkaConsumer) -> Any:
            return await consumer.getmany(self._source, timeout_ms=int(seconds * 1000), max_records=records)

        with broker_errors():
            found = await self._consumer.run(get)
        return found.get(self._source, ()) if found else ()

    async def incarnation(self, since: float) -> str:
        return await self._identity.current(self._source.partition, since)

    async def _bounded(self, call: Awaitable[T]) -> T:
        # aiokafka asks until it is answered.
        return await asyncio.wait_for(call, self._app.kafka.request_timeout_seconds)

    @property
    def _consumer(self) -> Any:
        return self._app.consumer


def credentials(kafka: KafkaSettings) -> Any:
    """Faust's form of the TLS and SASL settings; None for a plain connection."""
    options = kafka_options(kafka)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
            mechanism=options["sasl_mechanism"],
        )
    return faust.SSLCredentials(context) if context is not None else None
