"""Starting, recognising and ending processes.

A process that its parent owns gets `PR_SET_PDEATHSIG` (prctl(2)): Linux kills it when its parent dies,
however that happens. The signal comes when the *thread* that forked ends, so start processes from the main
thread. Elsewhere than on Linux there is no such signal, and only a parent that ends in order takes its
children along.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["die_with_parent", "end", "identity", "is_running", "spawn"]

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def die_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` that ties the child to this process; None where the system has no such thing."""
    if _libc is None:
        return None
    libc, parent, kill = _libc, os.getpid(), int(signal.SIGKILL)

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, kill, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return tie


_left_running: list[subprocess.Popen[bytes]] = []  # else Popen warns that nobody waits for them


def spawn(
    argv: Sequence[str], *, log_path: Path, cwd: Path, env: Mapping[str, str] | None = None, detached: bool
) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to a file.

    A detached one has its own session and outlives us. Any other is tied to us; it also has its own session,
    so that Ctrl-C in the terminal reaches us alone and we end it in order.
    """
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
            preexec_fn=None if detached else die_with_parent(),
        )
    if detached:
        _left_running.append(process)
    return process


def identity(pid: int) -> str | None:
    """What tells this process from a later one with the same pid; None where none runs.

    On Linux the start time in clock ticks since boot (proc(5), field 22) and the boot's id; elsewhere what
    `ps` says.
    """
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        with suppress(OSError, IndexError):
            # The name, in parentheses, may hold spaces and parentheses.
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] in ("Z", "X"):
                return None
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{boot}/{fields[19]}"
        return None
    ps = shutil.which("ps")
    if sys.platform.startswith("linux") or ps is None:
        return None
    answer = subprocess.run(
        [ps, "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return answer.stdout.strip() or None


def is_running(pid: int, known_as: str) -> bool:
    """True where that very process still runs."""
    with suppress(OSError):
        os.waitpid(pid, os.WNOHANG)  # ours and ended: take its exit status, so that it is no zombie
    return identity(pid) == known_as


def end(pid: int, known_as: str, grace_seconds: float) -> None:
    """SIGTERM, wait, SIGKILL; nothing where it is gone or another process has its pid."""
    for sign, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if not is_running(pid, known_as):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while is_running(pid, known_as) and time.monotonic() < deadline:
            time.sleep(0.02)
