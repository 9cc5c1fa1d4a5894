"""The real processor killed, frozen, stopped, starved and shared, on a real Kafka: every record once.

The oracle is each raw record's place (partition, offset), which comes back in its output's headers.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from stream_world import (
    Bench,
    applied_once,
    bench_of,
    good,
    in_order,
    status,
    until,
)
from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.valkey import LocalValkey
from veilstream.events.cloudevents import Origin
from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport import ensure_topics


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_killed_processor_loses_nothing_and_a_stopped_one_repeats_nothing(
    bench: Bench, delivery: str
) -> None:
    await bench.send([good(number) for number in range(1200)])
    start = partial(bench.start, instance="one", delivery=delivery)
    killed = await start().started()
    await bench.wait_for(100)
    await killed.ends(signal.SIGKILL, code=-9)
    assert await bench.written() < 1200, "it was not killed in the middle"

    stopped = await start().started()
    await bench.wait_for(600)
    await stopped.ends(signal.SIGTERM, code=0)
    halfway = {origin for _, _, origin in await bench.outputs()}
    written = await bench.written()
    assert len(halfway) < 1200, "it was not stopped in the middle"
    assert sum((await bench.committed()).values()) == len(halfway)

    start()
    outputs = await bench.all_places(1200)
    sources = await bench.sources()
    assert {(origin.partition, origin.offset) for _, _, origin in outputs} == sources
    assert applied_once(outputs) == Counter(dict.fromkeys(sources, 1))
    assert len(outputs) == written + 1200 - len(halfway)  # nothing of what the stopped one did was done again
    if delivery == "exactly_once":
        assert len(outputs) == 1200  # nor of what the killed one did
    same: dict[Origin, set[bytes]] = defaultdict(set)
    for _, record, origin in outputs:
        same[origin].add(record.key + record.value + repr(record.headers).encode())
    assert all(len(versions) == 1 for versions in same.values())  # what was written again: the same bytes


async def test_a_zombie_that_wakes_up_repeats_nothing(bench: Bench) -> None:
    await bench.send([good(number) for number in range(1500)])
    zombie = await bench.start().started()
    other = await bench.start().started()
    await bench.wait_for(150)
    zombie.process.send_signal(signal.SIGSTOP)
    await until(lambda: len((other.said("partitions_assigned") or [{}])[-1].get("partitions", [])) == 4, 30)
    zombie.process.send_signal(signal.SIGCONT)
    outputs = await bench.all_places(1500)
    await asyncio.sleep(2)  # for what the zombie still had
    outputs = await bench.outputs()
    assert len(outputs) == 1500
    assert {(origin.partition, origin.offset) for _, _, origin in outputs} == await bench.sources()
    in_order(outputs)


async def test_a_topic_that_is_made_again_is_read_from_its_beginning(bench: Bench) -> None:
    await bench.send([good(number) for number in range(300)])
    await bench.start().started()
    await bench.all_places(300)
    old = {origin.incarnation for _, _, origin in await bench.outputs()}
    admin = AIOKafkaAdminClient(**kafka_options(bench.kafka))
    await admin.start()
    try:
        await admin.delete_topics([bench.topic("interactions.raw")])
    finally:
        await admin.close()
    await ensure_topics(bench.kafka)
    await bench.send([good(number) for number in range(700)])  # beyond every offset that was committed
    outputs = await bench.all_places(1000)
    assert len(outputs) == 1000
    new = [origin for _, _, origin in outputs if origin.incarnation not in old]
    assert {(origin.partition, origin.offset) for origin in new} == await bench.sources()
    in_order(outputs)


async def test_two_processors_share_the_partitions_and_take_over(bench: Bench) -> None:
    await bench.send([good(number) for number in range(800)])
    first = await bench.start().started()
    await bench.wait_for(50)
    second = await bench.start().started()
    await until(lambda: len(second.said("partitions_assigned")[-1]["partitions"]) == 2, 20)
    await bench.send([good(number) for number in range(800, 1200)])
    await first.ends(signal.SIGTERM, code=0)
    outputs = await bench.all_places(1200)
    sources = await bench.sources()
    assert {(origin.partition, origin.offset) for _, _, origin in outputs} == sources
    assert applied_once(outputs) == Counter(dict.fromkeys(sources, 1))
    assert len(second.said("partitions_assigned")[-1]["partitions"]) == 4


async def test_a_batch_that_cannot_be_delivered_is_tried_until_it_can(bench: Bench) -> None:
    processor = await bench.start(instance="one").started()
    await bench.limit_protected(300)
    await bench.send([good(number) for number in range(50)])
    await until(lambda: len(processor.said("batch_failed")) >= 8, 30)
    assert "RecordInvalid" in {line["error_type"] for line in processor.said("batch_failed")}
    assert status(processor, "/readyz") == 503
    assert status(processor, "/livez") == 200
    assert await bench.written() == 0
    assert sum((await bench.committed()).values()) == 0
    await bench.limit_protected(200_000)
    outputs = await bench.all_places(50)
    assert len(outputs) == 50
    assert {topic for topic, _, _ in outputs} == {"protected"}
    await until(lambda: status(processor, "/readyz") == 200, 10)
    assert "lindqvist" not in "".join(processor.lines)


async def test_a_dead_store_stops_the_stream_and_quarantines_nothing(
    kafka_fresh: KafkaSettings, tmp_path: Path, own_store: LocalValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilstream.embedded.valkey.free_ports", lambda _, port=own_store.port: [port])
    async with bench_of(tmp_path, kafka_fresh, own_store.url) as bench:
        processor = await bench.start().started()
        own_store.stop()
        await bench.send([good(number) for number in range(100)])
        await until(lambda: len(processor.said("store_unreachable")) >= 2, 30)
        assert await bench.written() == 0
        assert sum((await bench.committed()).values()) == 0
        assert status(processor, "/readyz") == 503
        assert status(processor, "/livez") == 200
        own_store.start()
        outputs = await bench.all_places(100)
        assert {topic for topic, _, _ in outputs} == {"protected"}
        assert status(processor, "/readyz") == 200


@pytest.mark.slow
async def test_a_stop_ends_the_process_also_when_the_broker_is_dead(tmp_path: Path, store_url: str) -> None:
    broker = LocalKafka(tmp_path / "kafka")
    broker.start()
    try:
        kafka = KafkaSettings(bootstrap=broker.bootstrap, max_record_bytes=100_000)
        await ensure_topics(kafka)
        async with bench_of(tmp_path, kafka, store_url) as bench:
            await bench.send([good(number) for number in range(100)])
            processor = await bench.start().started()
            await bench.all_places(100)
            broker.kill()
            await asyncio.sleep(3)
            await processor.ends(signal.SIGTERM, code=1)  # within 30 s
            assert processor.said("role_failed")[0]["code"] == "drain_timeout"
    finally:
        broker.stop()
