"""A process is known by more than its pid, and nothing else is ever signalled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from veilstream.embedded.processes import end, identity, is_running, spawn
from veilstream.embedded.service import free_ports


def sleeper(folder: Path, *, detached: bool) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-S", "-c", "import time; time.sleep(120)"]
    return spawn(argv, log_path=folder / "log", cwd=folder, detached=detached)


def test_ours_is_ended_and_seen_to_be_gone(tmp_path: Path) -> None:
    process = sleeper(tmp_path, detached=True)
    name = identity(process.pid)
    assert name is not None
    assert is_running(process.pid, name)
    end(process.pid, name, 5.0)
    assert not is_running(process.pid, name)
    assert identity(process.pid) is None


def test_another_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    process = sleeper(tmp_path, detached=False)
    name = identity(process.pid)
    end(process.pid, "what ran under this pid before", 5.0)
    assert name is not None
    assert is_running(process.pid, name)
    process.kill()
    process.wait(5)
    assert not is_running(process.pid, name)


def test_identity_is_stable_and_different_for_each_process(tmp_path: Path) -> None:
    assert identity(os.getpid()) == identity(os.getpid()) is not None
    process = sleeper(tmp_path, detached=False)
    assert identity(process.pid) != identity(os.getpid())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert identity(process.pid) is None  # dead, though nobody has waited for it
    process.wait(5)
    assert identity(2**22 + 1) is None  # beyond any pid


def test_ports_are_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(1024 <= port <= 65535 for port in ports)
