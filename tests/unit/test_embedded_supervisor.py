"""The supervisor: starts again what dies, gives up what cannot live, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from veilstream.embedded.processes import identity
from veilstream.embedded.supervisor import Supervisor

SLEEPER = "import time; print('up', flush=True); time.sleep(120)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(120)"


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def quick(**changed: float) -> Supervisor:
    how = {"grace_seconds": 5.0, "settled_seconds": 30.0, **changed}
    return Supervisor(
        grace_seconds=how["grace_seconds"],
        settled_seconds=how["settled_seconds"],
        backoff_seconds=(0.01, 0.05),
        most_deaths=3,
    )


async def until_up(log: Path, times: int = 1) -> None:
    deadline = time.monotonic() + 20
    while not log.exists() or log.read_text().count("up\n") < times:
        assert time.monotonic() < deadline, "the child did not start"
        await asyncio.sleep(0.02)


async def test_a_killed_child_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="veilstream.event")
    log = tmp_path / "logs" / "child.log"
    async with quick() as supervisor:
        first = await supervisor.start("child", python(SLEEPER), log_path=log)
        await until_up(log)
        os.kill(first, signal.SIGKILL)
        await until_up(log, times=2)
        second = supervisor.pid("child")
        assert second not in (None, first)
        assert supervisor.starts("child") == 2
        assert identity(first) is None
    assert second is not None
    assert identity(second) is None
    events = [record.msg for record in caplog.records if record.name == "veilstream.event"]
    assert events == ["child_started", "child_ended", "child_started", "child_ended"]


async def test_a_child_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    async with quick() as supervisor:
        await supervisor.start("poor", python("import sys; sys.exit(7)"), log_path=tmp_path / "log")
        assert await asyncio.wait_for(supervisor.failed(), 20) == "poor"
        assert await supervisor.wait("poor") == 7
        assert supervisor.starts("poor") == 4  # the first, and three after a death
        assert supervisor.pid("poor") is None


async def test_a_wrong_setting_is_not_tried_twice(tmp_path: Path) -> None:
    async with quick() as supervisor:
        await supervisor.start("wrong", python("import sys; sys.exit(2)"), log_path=tmp_path / "log")
        assert await asyncio.wait_for(supervisor.failed(), 20) == "wrong"
        assert supervisor.starts("wrong") == 1


async def test_a_child_that_has_done_its_work_is_over(tmp_path: Path) -> None:
    async with quick() as supervisor:
        await supervisor.start("done", python("print('up')"), log_path=tmp_path / "log")
        assert await asyncio.wait_for(supervisor.wait("done"), 20) == 0
        assert supervisor.starts("done") == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(supervisor.failed(), 0.1)
        await supervisor.start("done", python("print('up')"), log_path=tmp_path / "log")
        assert await asyncio.wait_for(supervisor.wait("done"), 20) == 0
    assert (tmp_path / "log").read_text() == "up\nup\n"


async def test_a_role_runs_once(tmp_path: Path) -> None:
    async with quick() as supervisor:
        await supervisor.start("one", python(SLEEPER), log_path=tmp_path / "log")
        with pytest.raises(ValueError, match="runs already"):
            await supervisor.start("one", python(SLEEPER), log_path=tmp_path / "log")


async def test_stop_asks_first_and_kills_who_does_not_listen(tmp_path: Path) -> None:
    supervisor = quick(grace_seconds=0.3)
    await supervisor.start("polite", python(SLEEPER), log_path=tmp_path / "polite")
    await supervisor.start("stubborn", python(STUBBORN), log_path=tmp_path / "stubborn")
    await until_up(tmp_path / "polite")
    await until_up(tmp_path / "stubborn")
    await supervisor.stop_all()
    assert await supervisor.wait("polite") == -signal.SIGTERM
    assert await supervisor.wait("stubborn") == -signal.SIGKILL
    await supervisor.stop_all()  # again: nothing to do


async def test_stop_in_the_middle_of_the_back_off(tmp_path: Path) -> None:
    """The child is dead and waits to be started again: it must not be."""
    supervisor = Supervisor(backoff_seconds=(60.0, 60.0))
    await supervisor.start("child", python("import sys; sys.exit(1)"), log_path=tmp_path / "log")
    for _ in range(1000):
        if supervisor.pid("child") is None:
            break
        await asyncio.sleep(0.02)
    await asyncio.wait_for(supervisor.stop_all(), 5)
    assert supervisor.starts("child") == 1


async def test_environment_and_output(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['VEIL_TEST'], 'PATH' in os.environ); print('e', file=sys.stderr)"
    async with quick() as supervisor:
        await supervisor.start("child", python(code), env={"VEIL_TEST": "x"}, log_path=tmp_path / "log")
        await supervisor.wait("child")
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["e", "x True"]


PARENT = """
import asyncio, sys
from pathlib import Path
from veilstream.embedded.supervisor import Supervisor

async def main():
    supervisor = Supervisor()
    folder = Path(sys.argv[1])
    for number in range(2):
        argv = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(120)"]
        pid = await supervisor.start(f"child{number}", argv, log_path=folder / f"child{number}")
        print(pid, flush=True)
    await asyncio.sleep(120)

asyncio.run(main())
"""


def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    children = [int(parent.stdout.readline()) for _ in range(2)]
    names = {pid: identity(pid) for pid in children}
    assert all(names.values())
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(identity(pid) == name for pid, name in names.items()) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [pid for pid, name in names.items() if identity(pid) == name]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
