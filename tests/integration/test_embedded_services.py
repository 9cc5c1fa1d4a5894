"""Kafka and Valkey as child processes: what was answered survives SIGKILL, and a restart finds it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis

from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.valkey import LocalValkey
from veilstream.errors import StoreUnavailable
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import ensure_topics, incarnation, producer, read_to_end


def settings(broker: LocalKafka) -> KafkaSettings:
    return KafkaSettings.model_validate({"bootstrap": broker.bootstrap, "request_timeout_seconds": 20.0})


async def test_kafka_keeps_its_records_and_its_cluster(tmp_path: Path) -> None:
    """Over a SIGKILL: the ports change, the topics and their ids do not. All it writes is in its folder."""
    broker = LocalKafka(tmp_path / "kafka")
    ids, ports = set(), set()
    for turn, end in enumerate((broker.kill, broker.stop)):
        broker.start()
        broker.start()  # running already: nothing happens
        kafka = settings(broker)
        report = await ensure_topics(kafka)
        assert bool(report.created) is (turn == 0)
        raw = topic_name(kafka, "interactions.raw")
        async with producer(kafka) as sender:
            await sender.send_and_wait(raw, str(turn).encode(), partition=0)
        assert [r.value async for r in read_to_end(kafka, raw)] == [str(n).encode() for n in range(turn + 1)]
        ids.add(await incarnation(kafka, raw))
        ports.add(broker.port)
        end()
        broker.stop()  # stopped already: nothing happens
    assert len(ids) == 1
    assert len(ports) == 2
    names = {path.name for path in (tmp_path / "kafka").iterdir()}
    assert names == {"records", "server.properties", "log4j2.xml", "kafka.log", "kafka.out"}


def test_valkey_keeps_what_it_answered(own_store: LocalValkey) -> None:
    """SIGKILL right after the answer, three times over; it listens on loopback alone."""
    for turn in range(3):
        client = redis.Redis.from_url(own_store.url)
        assert client.get("turn") == (str(turn - 1).encode() if turn else None)
        client.set("turn", str(turn))
        own_store.kill()
        client.close()
        own_store.start()
    client = redis.Redis.from_url(own_store.url)
    told = client.config_get("append*")
    assert isinstance(told, dict)
    assert (told["appendonly"], told["appendfsync"]) == ("yes", "always")
    assert client.config_get("bind") == {"bind": "127.0.0.1"}
    assert client.config_get("save") == {"save": ""}
    client.close()
    own_store.stop()
    names = {path.name for path in own_store.data_dir.iterdir()}
    assert names == {"valkey.conf", "valkey.out", "appendonlydir"}


def test_valkey_in_a_folder_with_a_space(tmp_path: Path) -> None:
    with LocalValkey(tmp_path / "a folder") as valkey:
        redis.Redis.from_url(valkey.url).set("a", "b")
    assert (tmp_path / "a folder" / "appendonlydir").is_dir()


def test_a_store_that_cannot_read_its_file_says_so(tmp_path: Path) -> None:
    with LocalValkey(tmp_path / "valkey") as valkey:
        redis.Redis.from_url(valkey.url).set("a", "b")
    manifest = tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("no manifest\n")
    started = time.monotonic()
    with pytest.raises(StoreUnavailable, match="valkey ended at its start") as caught:
        LocalValkey(tmp_path / "valkey").start()
    assert time.monotonic() - started < 10
    assert "valkey.out" in caught.value.hint
