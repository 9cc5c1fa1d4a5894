"""The peer: plain aiokafka, one process, one event loop, the same engine and the same guarantee.

    getmany ──▶ the same work ──▶ send, send, … ──▶ gather ──▶ commit

`send` hands over one record at a time; `send_batch` builds each partition's batch itself, which is the
cheapest that aiokafka offers. With `exactly_once` outputs and offsets go in one transaction of the process
(one id for each process: no more than such a loop would do); with `at_least_once` the producer is idempotent
and offsets are committed after the deliveries. Where aiokafka's 100 ms between two tries would be most of a
transaction, it waits 2 ms, as ours does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from veilstream.bench.pipeline.filling import partition_of
from veilstream.bench.pipeline.options import Place
from veilstream.bench.pipeline.works import make
from veilstream.events.topics import topic_name
from veilstream.processors.decoding import RawRecord
from veilstream.processors.pipeline import Outcome
from veilstream.settings import kafka_options
from veilstream.transport import incarnation, producing

__all__ = ["GROUP", "main"]

GROUP = "plain-loop"
_FIRST_RECORDS, _MOST_RECORDS = 20, 2000
_BATCH_SECONDS = (
    0.2  # so much work a batch: large where the engine is fast, rates in seconds where it is slow
)
_BATCH_BYTES = 900_000


async def _inline(work: Callable[[], Any]) -> Any:
    return work()


async def _run(job: dict[str, Any]) -> None:
    place, builds = Place(**job["place"]), bool(job["send_batch"])
    settings = place.settings()
    kafka = settings.kafka
    raw = topic_name(kafka, "interactions.raw")
    work = make(place.engine, settings, await incarnation(kafka, raw))
    names = {n: topic_name(kafka, n) for n in ("interactions.protected", "interactions.quarantine")}
    group, stop = f"{kafka.topic_prefix}{GROUP}", asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options: dict[str, Any] = {"max_batch_size": _BATCH_BYTES, "max_request_size": 4_200_000}
    if place.compression != "none":
        options["compression_type"] = place.compression
    exactly = place.delivery == "exactly_once"
    if exactly:
        options |= {"transactional_id": f"{group}-{job['number']}", "retry_backoff_ms": 2}
    consumer = AIOKafkaConsumer(
        raw,
        **kafka_options(kafka),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=2_097_152,
    )
    async with AsyncExitStack() as open_:
        out = await open_.enter_async_context(producing.producer(kafka, **options))
        await consumer.start()
        open_.push_async_callback(consumer.stop)
        room = _FIRST_RECORDS
        while not stop.is_set():
            found = await consumer.getmany(timeout_ms=200, max_records=room)
            records = [
                RawRecord(r.key, r.value, r.headers, r.timestamp, r.partition, r.offset)
                for batch in found.values()
                for r in batch
            ]
            if not records:
                continue
            began = time.perf_counter()
            outcomes = await work.batch(records, _inline, lambda: None)
            spent = max(time.perf_counter() - began, 1e-6)
            room = max(1, min(_MOST_RECORDS, 2 * room, int(len(records) * _BATCH_SECONDS / spent)))
            offsets = {tp: batch[-1].offset + 1 for tp, batch in found.items()}
            send = _send_batches if builds else _send
            if exactly:
                async with out.transaction():
                    await asyncio.gather(*await send(out, outcomes, names, place.partitions))
                    await out.send_offsets_to_transaction(offsets, group)
            else:
                await asyncio.gather(*await send(out, outcomes, names, place.partitions))
                await consumer.commit(offsets)


async def _send(
    out: AIOKafkaProducer, outcomes: Sequence[Outcome], names: dict[str, str], partitions: int
) -> list[Any]:
    return [await out.send(names[o.topic], key=o.key, value=o.value, headers=o.headers) for o in outcomes]


async def _send_batches(
    out: AIOKafkaProducer, outcomes: Sequence[Outcome], names: dict[str, str], partitions: int
) -> list[Any]:
    deliveries: list[Any] = []
    building: dict[TopicPartition, Any] = {}
    for o in outcomes:
        tp = TopicPartition(names[o.topic], partition_of(o.key, partitions))
        what = {"timestamp": None, "key": o.key, "value": o.value, "headers": o.headers}
        builder = building.get(tp)
        if builder is None or builder.append(**what) is None:
            if builder is not None:
                deliveries.append(await out.send_batch(builder, tp.topic, partition=tp.partition))
            builder = building[tp] = out.create_batch()
            builder.append(**what)
    for tp, builder in building.items():
        builder.close()
        deliveries.append(await out.send_batch(builder, tp.topic, partition=tp.partition))
    return deliveries


def main() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(_run(orjson.loads(sys.stdin.buffer.readline())))


if __name__ == "__main__":
    main()
