"""A real Kafka and a real Valkey for the session, on loopback.

Where Kafka cannot be had (no Java 17, no Maven and no jars) the tests fail: nothing here skips.

* `kafka` — `KafkaSettings` of the session's broker. Use a topic prefix of your own, or:
* `kafka_fresh` — the same with a prefix that is used once, and the catalogue created.
* `store_url` — address of the session's store, as a string.
* `store` — a `redis.asyncio` client of it, emptied before each test.
* `journal_record` — a factory of ledger entries that keep their schemas.
* `own_kafka`, `own_store`, `own_tansu` — one for a single test, to stop, kill and start again.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from stream_world import Bench
from veilstream.contracts import JournalRecord
from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.service import Broker
from veilstream.embedded.tansu import LocalTansu
from veilstream.embedded.valkey import LocalValkey
from veilstream.settings import KafkaSettings
from veilstream.transport import ensure_topics

TIMEOUT_SECONDS = 20.0


def settings_of(broker: Broker) -> KafkaSettings:
    """Settings that reach this broker."""
    return KafkaSettings.model_validate(
        {
            "bootstrap": broker.bootstrap,
            "idempotence": broker.idempotence,
            "request_timeout_seconds": TIMEOUT_SECONDS,
        }
    )


def with_prefix(settings: KafkaSettings) -> KafkaSettings:
    """The same broker, under a prefix that nobody used."""
    return settings.model_copy(update={"topic_prefix": f"t{uuid.uuid4().hex[:12]}."})


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """The session's Kafka. The cleaner looks often, so that compaction can be tested."""
    quick = {"log.cleaner.backoff.ms": "200", "log.initial.task.delay.ms": "200"}
    with LocalKafka(tmp_path_factory.mktemp("kafka"), settings=quick) as broker:
        yield settings_of(broker)


@pytest.fixture
async def kafka_fresh(kafka: KafkaSettings) -> KafkaSettings:
    """The session's Kafka with a catalogue of this test's own."""
    fresh = with_prefix(kafka)
    await ensure_topics(fresh)
    return fresh


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The session's Valkey: append-only file, every write synced."""
    with LocalValkey(tmp_path_factory.mktemp("valkey")) as valkey:
        yield valkey.url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the session's Valkey, which is empty at the start of the test."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(store_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A Kafka of this test's own, started."""
    broker = LocalKafka(tmp_path / "kafka")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def own_tansu(tmp_path: Path) -> Iterator[LocalTansu]:
    """A Tansu of this test's own, started."""
    broker = LocalTansu(tmp_path / "tansu")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[LocalValkey]:
    """A Valkey of this test's own, started."""
    valkey = LocalValkey(tmp_path / "valkey")
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture(scope="session")
def journal_record() -> Callable[..., JournalRecord]:
    """Makes a ledger entry that keeps its schema: `journal_record(budget, seq, sealed=0, card=release)`."""
    return _journal_record


def _public(budget: str, seq: int) -> dict[str, Any]:
    return {
        "seq": seq,
        "event": "created" if seq == 1 else "charged",
        "budget": budget,
        "tenant": "acme",
        "time": "2026-01-02T03:04:05.000Z",
        "epsilon": 3.0,
        "delta": 1e-6,
        "orders": [8.0],
        "mode": "odometer",
        "spent": [seq],
        "caps": [10**9],
        "epsilon_spent": 0.1,
        "fraction": 0.01,
    }


def _journal_record(
    budget: str, seq: int, *, sealed: int = 0, card: dict[str, Any] | None = None
) -> JournalRecord:
    entry = {
        "public": _public(budget, seq),
        "reservation": "",
        "sealed": "A" * sealed if sealed else None,
        "admitted": None,
        "state": None,
        "release": card,
        "prev_hash": "0" * 64,
        "hash": "0" * 64,
    }
    return JournalRecord(
        budget, entry, {**_public(budget, seq), "prev_hash": "0" * 64, "hash": "0" * 64}, card
    )


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared data folder: VEILSTREAM_DATA, or `../shared/data` beside the project."""
    project = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("VEILSTREAM_DATA") or project.parent / "shared" / "data")


@pytest.fixture
def bench(kafka_fresh: KafkaSettings, store_url: str, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, kafka_fresh.model_copy(update={"max_record_bytes": 100_000}), store_url)
    yield made
    for processor in made.processors:
        if processor.process.poll() is None:
            processor.process.kill()
            processor.process.wait()
