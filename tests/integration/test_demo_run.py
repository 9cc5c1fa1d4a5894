"""`veilstream demo`, as a person runs it, and with its roles killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

RECORDS = 90
DEADLINE_SECONDS = 170.0


def _start(folder: Path, *extra: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "veilstream.cli", "demo", "--json", "--data", str(folder), *extra]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _processes(folder: Path) -> dict[int, str]:
    """Processes of the demo in this folder, which stands in their environment or command."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if str(folder).encode() in command + (entry / "environ").read_bytes():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def _wait_for(folder: Path, word: str, role: str) -> int:
    """The pid of a role, once its log says `word`."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    log = folder / "logs" / f"{role}.log"
    command = "worker protect" if role.startswith("protect") else role
    while time.monotonic() < deadline:
        if log.exists() and word in log.read_text():
            pids = [pid for pid, said in _processes(folder).items() if said.strip().endswith(command)]
            if pids:
                return min(pids)
        time.sleep(0.1)
    raise AssertionError(f"{role} never said {word}")


def _finish(demo: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, err = demo.communicate(timeout=DEADLINE_SECONDS)
    assert demo.returncode == 0, err.decode()[-2000:]
    figures: dict[str, Any] = orjson.loads(out)  # one object and nothing else
    return figures


def test_killed_roles_lose_nothing_and_release_nothing_unpaid(tmp_path: Path) -> None:
    folder, dump = tmp_path / "demo", tmp_path / "dump"
    demo = _start(
        folder, "--limit", str(RECORDS), "--windows", "2", "--window-seconds", "8", "--dump", str(dump)
    )
    try:
        os.kill(_wait_for(folder, "role_started", "protect-1"), signal.SIGKILL)
        os.kill(_wait_for(folder, "window_charged", "train"), signal.SIGKILL)
        figures = _finish(demo)
    finally:
        demo.kill()
    assert figures["records_in"] == RECORDS
    assert figures["records_protected"] == RECORDS
    assert figures["records_quarantined"] == 0
    assert figures["releases"] == 2
    assert figures["alerts"] >= 1
    assert figures["planted"] > RECORDS
    assert figures["leaked"] == 0
    assert figures["broker"] == "kafka"
    events = [orjson.loads(row["value"]) for row in _rows(dump / "budget.events.jsonl")]
    charged = [event for event in events if event["event"] == "charged"]
    released = [event for event in events if event["event"] == "committed"]
    assert len(released) == 2
    # The window in which the worker was killed was paid for once more: nothing is refunded.
    assert len(charged) == 3
    assert figures["epsilon_max"] == pytest.approx(max(event["epsilon_spent"] for event in events))
    assert figures["epsilon_max"] <= events[-1]["epsilon"]
    assert not _processes(folder)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = _start(folder, "--limit", "50", "--window-seconds", "60")
    try:
        _wait_for(folder, "role_started", "protect-1")
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
    finally:
        demo.kill()
    assert demo.returncode == 130
    assert not _processes(folder)


def test_killed_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = _start(folder, "--limit", "50", "--window-seconds", "60")
    _wait_for(folder, "role_started", "protect-1")
    demo.kill()
    demo.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while _processes(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _processes(folder)


def test_folder_of_somebody_else_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    demo = _start(tmp_path)
    _, err = demo.communicate(timeout=60)
    assert demo.returncode == 2
    assert b"not empty" in err
    assert (tmp_path / "thesis.txt").exists()
