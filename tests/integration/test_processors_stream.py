"""The real processor, as a process, on a real Kafka and a real Valkey: counted, killed, stopped, shared.

Each raw record has a place (partition, offset). The test's oracle is that place: it must come back in the
headers of a protected or a quarantined record, and after dropping what is not above the last applied offset
of its source partition (what every reader with effects does) exactly once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.valkey import LocalValkey
from veilstream.errors import SettingInvalid
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.topics import topic_name
from veilstream.events.types import INTERACTION
from veilstream.keys import FileKeyProvider
from veilstream.processors.quarantine import list_quarantine, replay_quarantined, show_quarantined
from veilstream.settings import KafkaSettings, Settings, kafka_options
from veilstream.transport import end_offsets, ensure_topics, producer, read_to_end

SCRIPT = """
from veilstream.processors.run import run_protect
from veilstream.settings import load_settings
run_protect(load_settings())
"""
MARK = "mia.lindqvist@example.org"
PEOPLE = 40
Sent = tuple[bytes, bytes | None, list[tuple[str, bytes]]]  # key, value, headers


class Processor:
    """A processor in a process of its own; its log lines as they come."""

    def __init__(self, data_dir: Path, kafka: KafkaSettings, store_url: str, **settings: str) -> None:
        environment = {
            **os.environ,
            "VEILSTREAM_DATA_DIR": str(data_dir),
            "VEILSTREAM_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "VEILSTREAM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "VEILSTREAM_KAFKA__MAX_RECORD_BYTES": str(kafka.max_record_bytes),
            "VEILSTREAM_STORE__URL": store_url,
            "VEILSTREAM_PROCESSOR__SESSION_SECONDS": "6",
            "VEILSTREAM_PROCESSOR__BATCH_RECORDS": "50",
            **{f"VEILSTREAM_PROCESSOR__{name.upper()}": value for name, value in settings.items()},
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.decode())

    def said(self, event: str) -> list[dict[str, Any]]:
        found = []
        for line in list(self.lines):
            if f'"event":"{event}"' in line:
                found.append(json.loads(line))
        return found

    async def started(self) -> Processor:
        await until(lambda: self.said("role_started") or self.process.poll() is not None, 40)
        assert self.process.poll() is None, "".join(self.lines)[-3000:]
        return self

    async def ends(self, number: int, *, code: int) -> None:
        self.process.send_signal(number)
        assert await asyncio.to_thread(self.process.wait, 30) == code, "".join(self.lines)[-3000:]
        self._reader.join(5)


async def until(true: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.1)


class Bench:
    """A catalogue of its own, keys, and processors that end with the test."""

    def __init__(self, data_dir: Path, kafka: KafkaSettings, store_url: str) -> None:
        self.data_dir, self.kafka, self.store_url = data_dir, kafka, store_url
        self.settings = Settings.model_validate({"kafka": kafka, "data_dir": data_dir})
        self.provider = FileKeyProvider(self.settings.keys_folder)
        self.provider.ensure("acme", "globex")
        self.processors: list[Processor] = []

    def start(self, **settings: str) -> Processor:
        self.processors.append(Processor(self.data_dir, self.kafka, self.store_url, **settings))
        return self.processors[-1]

    def topic(self, short: str) -> str:
        return topic_name(self.kafka, short)

    async def send(self, records: Sequence[Sent]) -> None:
        async with producer(self.kafka) as sender:
            acknowledgements = [
                await sender.send(self.topic("interactions.raw"), value, key=key, headers=headers)
                for key, value, headers in records
            ]
            await asyncio.gather(*acknowledgements)

    async def written(self) -> int:
        return len(await self.outputs())  # offsets also count the transactions' markers

    async def wait_for(self, count: int, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while await self.written() < count:
            for processor in self.processors:
                assert processor.process.poll() in (None, 0, -9), "".join(processor.lines)[-3000:]
            assert time.monotonic() < deadline, f"{await self.written()} of {count}"
            await asyncio.sleep(0.1)

    async def outputs(self) -> list[tuple[str, Any, Origin]]:
        found = []
        for name in ("protected", "quarantine"):
            async for record in read_to_end(self.kafka, self.topic(f"interactions.{name}")):
                origin = Attributes.from_headers(record.headers).origin
                assert origin is not None
                found.append((name, record, origin))
        return found

    async def all_places(self, count: int, seconds: float = 60) -> list[tuple[str, Any, Origin]]:
        """The outputs, once every one of `count` raw records has one."""
        deadline = time.monotonic() + seconds
        await self.wait_for(count, seconds)
        while True:
            outputs = await self.outputs()
            if len({origin for _, _, origin in outputs}) == count:
                return outputs
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)

    async def sources(self) -> set[tuple[int, int]]:
        ends = await end_offsets(self.kafka, self.topic("interactions.raw"))
        return {(partition, offset) for partition, end in ends.items() for offset in range(end)}

    async def limit_protected(self, limit_bytes: int) -> None:
        admin = AIOKafkaAdminClient(**kafka_options(self.kafka))
        await admin.start()
        try:
            topic = self.topic("interactions.protected")
            configs = {"max.message.bytes": str(limit_bytes), "message.timestamp.type": "LogAppendTime"}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
        finally:
            await admin.close()
        await asyncio.sleep(0.5)

    async def committed(self) -> dict[int, int]:
        admin = AIOKafkaAdminClient(**kafka_options(self.kafka))
        await admin.start()
        try:
            found = await admin.list_consumer_group_offsets(f"{self.kafka.topic_prefix}veilstream-protect")
        finally:
            await admin.close()
        return {place.partition: max(0, each.offset) for place, each in found.items()}


@pytest.fixture
def bench(kafka_fresh: KafkaSettings, store_url: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, kafka_fresh.model_copy(update={"max_record_bytes": 100_000}), store_url)
    yield made
    for processor in made.processors:
        if processor.process.poll() is None:
            processor.process.kill()
            processor.process.wait()


def interaction(number: int, tenant: str = "acme", **privacy: Any) -> dict[str, Any]:
    person = number % PEOPLE
    return {
        "conversation": f"c-{number}",
        "messages": [
            {"role": "user", "parts": [{"type": "text", "content": f"No {number}: write to {MARK}."}]},
            {"role": "assistant", "parts": [{"type": "text", "content": "I will do that."}]},
        ],
        "privacy": {"tenant": tenant, "subject": f"user-{person}", **privacy},
    }


def good(number: int, tenant: str = "acme") -> Sent:
    headers = Attributes(INTERACTION, "test", id=f"event {number} of {MARK}").to_headers()
    return f"person-{number % PEOPLE}".encode(), orjson.dumps(interaction(number, tenant)), headers


def bad(number: int) -> tuple[str, Sent]:
    """One of the ways to be wrong, and its kind."""
    key, value, headers = good(number)
    named = dict(headers)
    ways: list[tuple[str, Any, Any]] = [
        ("not_json", MARK.encode(), headers),
        ("not_json", None, headers),
        ("not_json", b'{"conversation":"\\ud800"}', headers),
        ("too_deep", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, headers),
        ("unknown_type", value, list({**named, "ce_type": b"ai.veilstream.interaction.v9"}.items())),
        ("missing_attribute", value, []),
        ("bad_attribute", value, list({**named, "ce_id": b"\xff"}.items())),
        ("schema", orjson.dumps(interaction(number, subject=[MARK])), headers),
        ("schema", orjson.dumps({**interaction(number), "privacy": {"subject": MARK}}), headers),
        ("unknown_tenant", orjson.dumps(interaction(number, "late")), headers),
        ("too_large", orjson.dumps({**interaction(number), "attributes": {"x": MARK * 5000}}), headers),
    ]
    kind, wrong, with_headers = ways[number % len(ways)]
    return kind, (key, wrong, with_headers)


def applied_once(outputs: list[tuple[str, Any, Origin]]) -> Counter[tuple[int, int]]:
    """How often each source place is applied by a reader that drops what is not above the last applied."""
    last: dict[tuple[str, int, int], int] = {}
    seen: Counter[tuple[int, int]] = Counter()
    for topic, record, origin in outputs:
        place = (topic, record.partition, origin.partition)
        if origin.offset > last.get(place, -1):
            last[place] = origin.offset
            seen[origin.partition, origin.offset] += 1
    return seen


def in_order(outputs: list[tuple[str, Any, Origin]]) -> None:
    """Within each output partition, what comes from one source partition comes in its order."""
    last: dict[tuple[str, int, str, int], int] = {}
    for topic, record, origin in outputs:
        place = (topic, record.partition, origin.incarnation, origin.partition)
        assert origin.offset > last.get(place, -1)
        last[place] = origin.offset


async def test_two_thousand_mixed_records_are_all_accounted_for(bench: Bench) -> None:
    kinds: Counter[str] = Counter()
    records: list[Sent] = []
    for number in range(2000):
        if number % 9:
            records.append(good(number, "globex" if number % 2 else "acme"))
        else:
            kind, record = bad(number // 9)
            kinds[kind] += 1
            records.append(record)
    await bench.send(records)
    processor = await bench.start().started()
    outputs = await bench.all_places(2000)
    assert len(outputs) == 2000  # nothing was killed, so nothing is twice
    assert {(origin.partition, origin.offset) for _, _, origin in outputs} == await bench.sources()

    rows = await list_quarantine(bench.settings)
    assert Counter(row["kind"] for row in rows) == kinds
    assert MARK not in orjson.dumps(rows).decode()

    by_person: dict[bytes, list[Origin]] = defaultdict(list)
    for topic, record, origin in outputs:
        if topic == "protected":
            by_person[record.key].append(origin)
            everything = record.value + b"".join(name.encode() + data for name, data in record.headers)
            assert b"lindqvist" not in everything
    assert len(by_person) == PEOPLE  # person n is of one tenant, by its parity
    for origins in by_person.values():
        assert len({origin.partition for origin in origins}) == 1
        offsets = [origin.offset for origin in origins]
        assert offsets == sorted(offsets)

    shown = metrics(processor)
    assert f'records_processed_total{{outcome="protected"}} {2000 - sum(kinds.values())}.0' in shown
    assert f'record_errors_total{{kind="schema"}} {kinds["schema"]}.0' in shown
    assert "lindqvist" not in shown
    await processor.ends(signal.SIGTERM, code=0)
    ends = await end_offsets(bench.kafka, bench.topic("interactions.raw"))
    assert await bench.committed() == ends
    for line in processor.lines:  # nothing but our JSON lines, and no content in them
        assert "event" in json.loads(line)
        assert "lindqvist" not in line
    assert processor.process.stdout is not None
    assert processor.process.stdout.read() == b""


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


async def test_a_quarantined_record_can_be_seen_and_sent_again(bench: Bench) -> None:
    await bench.send([good(number, "late") for number in range(3)] + [good(3)])
    await bench.start().started()
    await bench.all_places(4)
    rows = await list_quarantine(bench.settings)
    assert [(row["kind"], row["tenant"]) for row in rows] == [("unknown_tenant", None)] * 3
    shown = await show_quarantined(bench.settings, bench.provider, rows[0]["place"])
    assert MARK in shown["record"]["value"]
    assert dict(shown["record"]["headers"])["ce_id"].endswith(MARK)
    with pytest.raises(SettingInvalid):
        await show_quarantined(bench.settings, bench.provider, "0:999")
    with pytest.raises(SettingInvalid):
        await replay_quarantined(bench.settings, bench.provider, kind="odd")

    bench.provider.create("late")
    assert await replay_quarantined(bench.settings, bench.provider, kind="schema") == 0
    assert await replay_quarantined(bench.settings, bench.provider, place=rows[0]["place"]) == 1
    assert await replay_quarantined(bench.settings, bench.provider, kind="unknown_tenant") == 3
    outputs = await bench.all_places(8)
    protected = [record for topic, record, _ in outputs if topic == "protected"]
    assert len(protected) == 5
    # The replayed record is the same event: the one that was sent twice has one id.
    assert len({Attributes.from_headers(record.headers).id for record in protected}) == 4


async def test_what_is_missing_at_the_start_ends_the_process_at_once(bench: Bench, tmp_path: Path) -> None:
    dead = bench.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    no_broker = Processor(tmp_path, dead, bench.store_url)
    no_store = Processor(tmp_path, bench.kafka, "redis://127.0.0.1:1/0")
    no_keys = Processor(tmp_path / "empty", bench.kafka, bench.store_url)
    for processor, error in (
        (no_broker, "BrokerUnavailable"),
        (no_store, "StoreUnavailable"),
        (no_keys, "KeyMissing"),
    ):
        assert await asyncio.to_thread(processor.process.wait, 20) == 1
        processor._reader.join(5)
        assert error in processor.lines[-1]


@asynccontextmanager
async def bench_of(data_dir: Path, kafka: KafkaSettings, store_url: str) -> AsyncIterator[Bench]:
    made = Bench(data_dir, kafka, store_url)
    try:
        yield made
    finally:
        for processor in made.processors:
            processor.process.kill()
            processor.process.wait()


def status(processor: Processor, page: str) -> int:
    port = processor.said("role_started")[0]["port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def metrics(processor: Processor) -> str:
    port = processor.said("role_started")[0]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
