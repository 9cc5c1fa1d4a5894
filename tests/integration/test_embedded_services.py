"""Valkey as a child process: what was answered survives SIGKILL, and a restart finds it.

Kafka's own end and restart: `test_transport_outage`.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis

from veilstream.embedded.valkey import LocalValkey
from veilstream.errors import StoreUnavailable


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
