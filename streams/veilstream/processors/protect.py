"""The Faust app that protects: batches of `interactions.raw`, delivered, then acknowledged.

The settings are those that held when processes were killed (docs/decisions): `noack_take` and our own
acknowledgement, since `take` commits a batch even where its body raises; `stream_wait_empty`, without which a
stopped worker lost records; concurrency 1, since more can commit past records in flight; raw serialisers;
names given, since Faust derives them from module paths.

A batch that cannot be delivered is not acknowledged, and nothing after it is touched: `on_failure` is called,
the agent waits, and the process is expected to end. Whoever takes over reads from the committed offset.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from faust.types.tuples import TP

from veilstream.events.topics import max_message_bytes, topic_name
from veilstream.processors.decoding import RawRecord, as_headers
from veilstream.processors.driver import App, Delivered, credentials
from veilstream.processors.pipeline import Outcome, Pipeline
from veilstream.settings import Settings

__all__ = ["APP", "Hooks", "make_app"]

APP = "veilstream-protect"
"""Name of the app and, with the topics' prefix, of its consumer group."""

_PRODUCER_PATIENCE_SECONDS = 1200.0
_BIGGEST_BATCH_BYTES = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the role wants to hear of."""

    on_batch: Callable[[Sequence[Outcome], float], None]  # outcomes, and seconds from taking to acknowledging
    on_waiting: Callable[[], None]  # the store does not answer; it will be asked again
    on_begin: Callable[[], None]  # a batch was taken
    on_assigned: Callable[[list[int]], Awaitable[None]]  # partitions, after a rebalance
    on_failure: Callable[[BaseException, int], None]  # a batch could not be delivered; its size


def make_app(settings: Settings, pipeline: Pipeline, hooks: Hooks) -> App:
    """The app, ready for `finalize()` and `start()` inside a running loop."""
    kafka, processor = settings.kafka, settings.processor
    servers = [server.strip() for server in kafka.bootstrap.split(",")]
    session_seconds = processor.session_seconds
    app = App(
        f"{kafka.topic_prefix}{APP}",
        broker=[f"kafka://{server}" for server in servers],
        broker_credentials=credentials(kafka),
        broker_client_id=APP,
        broker_commit_interval=0.5,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=min(3.0, session_seconds / 5),
        broker_rebalance_timeout=max(60.0, session_seconds),
        broker_request_timeout=max(kafka.request_timeout_seconds, session_seconds) + 60.0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=processor.instance,
        # A delivery is tried for as long: one that is given up while a later one gets through would leave a
        # record behind one with a higher source offset.
        producer_request_timeout=_PRODUCER_PATIENCE_SECONDS,
        producer_max_request_size=max_message_bytes(kafka, "interactions.quarantine") + 1024,
        producer_max_batch_size=min(kafka.max_record_bytes, _BIGGEST_BATCH_BYTES),
        processing_guarantee="at_least_once",
        stream_wait_empty=True,
        stream_buffer_maxsize=max(4096, 2 * processor.batch_records),
        topic_allow_declare=False,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        web_enabled=False,
        autodiscover=False,
    )
    app.kafka, app.delivered = kafka, Delivered()
    names = {
        short: topic_name(kafka, short) for short in ("interactions.protected", "interactions.quarantine")
    }
    raw = app.topic(
        topic_name(kafka, "interactions.raw"),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="protect")

    async def run(work: Callable[[], T]) -> T:
        # In a thread, so that heartbeats, health and the producer go on meanwhile.
        return await asyncio.get_running_loop().run_in_executor(thread, work)

    async def handle(stream: Any, events: Sequence[Any]) -> list[Outcome]:
        outcomes = await pipeline.batch([_record(event.message) for event in events], run, hooks.on_waiting)
        deliveries = [
            await app.producer.send(names[it.topic], it.key, it.value, None, None, it.headers)
            for it in outcomes
        ]
        await asyncio.gather(*deliveries)
        for event in events:
            app.delivered.advance(event.message.tp, event.message.offset)
            await stream.ack(event)
        return outcomes

    async def protect(stream: Any) -> None:
        # The body never raises: Faust would start the agent again behind the failed batch.
        async for events in stream.noack_take(processor.batch_records, within=processor.batch_seconds):
            began = time.monotonic()
            hooks.on_begin()
            try:
                outcomes = await handle(stream, events)
            except Exception as error:
                hooks.on_failure(error, len(events))
                await asyncio.Event().wait()
                raise  # not reached; the process ends
            hooks.on_batch(outcomes, time.monotonic() - began)

    app.agent(raw, name=APP, concurrency=1)(protect)

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(sender: Any, partitions: set[TP], **_: Any) -> None:
        app.delivered.keep(partitions)
        await hooks.on_assigned(sorted(tp.partition for tp in partitions))

    return app


def _record(message: Any) -> RawRecord:
    return RawRecord(
        key=message.key,
        value=message.value,
        headers=as_headers(message.headers),
        timestamp_ms=round(message.timestamp * 1000) if message.timestamp is not None else 0,
        partition=message.partition,
        offset=message.offset,
    )
