"""Broker and store together: found by the settings, ended exactly, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import redis

from veilstream.embedded import Stack, StackStatus, down, status, up
from veilstream.embedded.processes import identity
from veilstream.errors import SettingInvalid
from veilstream.settings import Settings, load_settings
from veilstream.transport import ensure_topics


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder that the settings look into; whatever `up` left in it is ended."""
    data_dir = tmp_path / "data"
    monkeypatch.setenv("VEILSTREAM_DATA_DIR", str(data_dir))
    yield data_dir
    down(data_dir)


def found() -> Settings:
    return load_settings()


def pids(data_dir: Path) -> dict[str, int]:
    run = orjson.loads((data_dir / "run.json").read_bytes())
    return {part: run[part]["pid"] for part in ("broker", "store")}


def gone(pid: int) -> bool:
    for _ in range(500):
        if identity(pid) is None:
            return True
        time.sleep(0.02)
    return False


async def test_a_stack_with_kafka_is_found_by_the_settings(folder: Path) -> None:
    """`auto` is Kafka where Java is; two cannot run in one folder; nothing is left."""
    with Stack(folder) as stack:
        assert stack.kind == "kafka"
        settings = found()
        assert settings.kafka.bootstrap == stack.bootstrap
        assert settings.kafka.idempotence is True
        assert settings.store.url.get_secret_value() == stack.store_url
        assert (await ensure_topics(settings.kafka)).warnings == ()
        for name in ("endpoints.toml", "run.json"):
            assert (folder / name).stat().st_mode & 0o777 == 0o600
        with pytest.raises(SettingInvalid, match="runs in"):
            Stack(folder, "tansu").start()
        with pytest.raises(SettingInvalid, match="runs in"):
            up(folder)
        assert down(folder) is False  # it belongs to this command
        now = status(folder)
        assert now is not None
        assert now.running
        assert now.owned
        assert not now.left_by_up
        running = pids(folder)
    assert all(gone(pid) for pid in running.values())
    assert not (folder / "endpoints.toml").exists()
    assert status(folder) is None


UP = """
import sys, pathlib
from veilstream.embedded import up
print(up(pathlib.Path(sys.argv[1]), "tansu").bootstrap)
"""


def test_up_outlives_its_command_and_down_ends_it(folder: Path) -> None:
    answers = {
        subprocess.run([sys.executable, "-c", UP, folder], capture_output=True, text=True, check=True).stdout
        for _ in range(2)  # the second changes nothing
    }
    assert len(answers) == 1
    settings = found()
    assert answers == {settings.kafka.bootstrap + "\n"}
    assert settings.kafka.idempotence is False
    client = redis.Redis.from_url(settings.store.url.get_secret_value())
    client.set("kept", "yes")
    running = pids(folder)
    assert all(identity(pid) for pid in running.values())
    with pytest.raises(SettingInvalid, match="with tansu runs"):
        up(folder, "kafka")
    assert down(folder) is True
    assert all(gone(pid) for pid in running.values())
    assert sorted(path.name for path in folder.iterdir()) == ["run.lock", "tansu", "valkey"]
    assert down(folder) is False
    assert status(folder) is None
    up(folder, "tansu")
    client = redis.Redis.from_url(found().store.url.get_secret_value())
    assert client.get("kept") == b"yes"
    client.close()


def test_up_mends_what_half_died(folder: Path) -> None:
    first = up(folder, "tansu")
    broker = pids(folder)["broker"]
    os.kill(pids(folder)["store"], signal.SIGKILL)
    assert gone(pids(folder)["store"])
    now = status(folder)
    assert isinstance(now, StackStatus)
    assert (now.broker_running, now.store_running, now.running) == (True, False, False)
    second = up(folder, "tansu")
    assert second.running
    assert second.store_url != first.store_url
    assert gone(broker)  # one stack in a folder: the half that lived was ended


def test_down_leaves_a_stranger_with_the_same_pid_alone(folder: Path) -> None:
    up(folder, "tansu")
    run = orjson.loads((folder / "run.json").read_bytes())
    real = {part: (run[part]["pid"], run[part]["known_as"]) for part in ("broker", "store")}
    (folder / "strange.json").write_bytes(orjson.dumps(run))
    run["broker"]["pid"] = os.getpid()  # as if the broker had died and we had got its pid
    (folder / "run.json").write_bytes(orjson.dumps(run))
    assert down(folder) is True
    assert gone(real["store"][0])
    assert identity(real["broker"][0]) == real["broker"][1]
    (folder / "strange.json").rename(folder / "run.json")
    assert down(folder) is True
    assert gone(real["broker"][0])


def test_what_a_killed_command_left_is_ended_by_the_next(folder: Path) -> None:
    """As where the system does not end children with their parent."""
    up(folder, "tansu")
    run = orjson.loads((folder / "run.json").read_bytes())
    run["owner"] = {"pid": 2**22 + 1, "known_as": "a command that was killed"}
    (folder / "run.json").write_bytes(orjson.dumps(run))
    left = pids(folder)
    now = status(folder)
    assert now is not None
    assert now.running
    assert not now.owned
    with Stack(folder, "tansu"):
        assert all(gone(pid) for pid in left.values())


def test_a_run_file_that_is_no_json_says_what_to_do(folder: Path) -> None:
    folder.mkdir()
    (folder / "run.json").write_text("{")
    with pytest.raises(SettingInvalid, match=r"run\.json cannot be read") as caught:
        status(folder)
    assert "remove the file" in caught.value.hint
    (folder / "run.json").unlink()


FOREGROUND = """
import sys, time, pathlib
from veilstream.embedded import Stack
with Stack(pathlib.Path(sys.argv[1]), sys.argv[2]):
    print("up", flush=True)
    time.sleep(120)
"""


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_nothing_outlives_the_command(folder: Path, how: str) -> None:
    """SIGKILL (Linux: PR_SET_PDEATHSIG) and Ctrl-C; then the folder is used again."""
    command = subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, str(folder), "tansu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"up\n"
    running = pids(folder)
    command.send_signal(signal.SIGKILL if how == "kill" else signal.SIGINT)
    command.wait(20)
    command.stdout.close()
    assert all(gone(pid) for pid in running.values())
    assert (folder / "run.json").exists() is (how == "kill")
    with Stack(folder, "tansu"):
        assert found().kafka.idempotence is False
