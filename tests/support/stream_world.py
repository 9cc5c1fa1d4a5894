"""A processor as a process on a real Kafka, records for it, and how its outputs are read."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.topics import topic_name
from veilstream.events.types import INTERACTION
from veilstream.keys import FileKeyProvider
from veilstream.settings import KafkaSettings, Settings, kafka_options
from veilstream.transport import end_offsets, producer, read_to_end

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

    async def appended(self) -> int:
        """At least what is written, and quick: whoever waits for the middle of a run must not miss it."""
        ends = [
            await end_offsets(self.kafka, self.topic(f"interactions.{name}"))
            for name in ("protected", "quarantine")
        ]
        return sum(sum(each.values()) for each in ends)

    async def wait_for(self, count: int, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while await self.appended() < count:
            for processor in self.processors:
                assert processor.process.poll() in (None, 0, -9), "".join(processor.lines)[-3000:]
            assert time.monotonic() < deadline, f"{await self.appended()} of {count}"
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
