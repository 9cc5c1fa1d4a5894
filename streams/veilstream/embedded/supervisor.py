"""Child processes that run until they are told to stop, and are started again when they die.

    running --dies--> waiting --back-off--> running
       |                  '--too often---> failed
       |--exit 0, or told to stop--> ended
       '--a wrong setting (exit 2)--> failed

The children are tied to us (`processes.die_with_parent`): none outlives a parent that is killed. Use it from
an event loop in the main thread.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from veilstream.embedded.processes import die_with_parent
from veilstream.telemetry.logs import emit

__all__ = ["Supervisor"]

_WRONG_SETTING = 2  # our commands' exit code for what starting again does not cure


@dataclass(slots=True)
class _Child:
    role: str
    argv: tuple[str, ...]
    env: dict[str, str]
    log_path: Path
    restart: bool
    process: asyncio.subprocess.Process | None = None
    task: asyncio.Task[None] | None = None  # kept, or the loop forgets it
    starts: int = 0
    exit_code: int | None = None  # of its end, once it is over
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # it shall end
    over: asyncio.Event = field(default_factory=asyncio.Event)  # it has ended, and is not started again


class Supervisor:
    """Starts, watches and ends child processes, each known by its role.

    `backoff_seconds` is the first wait before a start and the longest; it doubles with each death, and is as
    at first after a child has lived `settled_seconds`. After `most_deaths` deaths in a row it is given up.
    """

    def __init__(
        self,
        *,
        grace_seconds: float = 20.0,
        backoff_seconds: tuple[float, float] = (0.2, 10.0),
        settled_seconds: float = 30.0,
        most_deaths: int = 10,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._backoff_seconds = backoff_seconds
        self._settled_seconds = settled_seconds
        self._most_deaths = most_deaths
        self._children: dict[str, _Child] = {}
        self._failed: asyncio.Queue[str] = asyncio.Queue()

    async def start(
        self,
        role: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log_path: Path,
        restart: bool = True,
    ) -> int:
        """Start a child, its output appended to a file; returns its pid.

        `env` is added to our own environment. With `restart` it is started again when it dies, unless it
        exits with 0, or with 2 (a wrong setting).

        Raises:
            ValueError: the role runs already.
            OSError: the program cannot be started.
        """
        if role in self._children and not self._children[role].over.is_set():
            raise ValueError(f"role {role} runs already")
        child = _Child(role, tuple(argv), {**os.environ, **(env or {})}, log_path, restart)
        log_path.parent.mkdir(parents=True, exist_ok=True)
        process = await self._launch(child)
        self._children[role] = child
        child.task = asyncio.create_task(self._watch(child, process), name=f"supervise {role}")
        return process.pid

    def pid(self, role: str) -> int | None:
        """Its process now; None while it waits to be started again, and when it is over."""
        child = self._children[role]
        running = child.process is not None and child.process.returncode is None
        return child.process.pid if running and child.process else None

    def starts(self, role: str) -> int:
        """How often it was started."""
        return self._children[role].starts

    async def wait(self, role: str) -> int | None:
        """Until the role is over: the exit code of its last process (negative: the signal that ended it)."""
        child = self._children[role]
        await child.over.wait()
        return child.exit_code

    async def failed(self) -> str:
        """Wait for the next role that is given up: a wrong setting, too many deaths, or no restart wanted."""
        return await self._failed.get()

    async def stop(self, role: str) -> None:
        """End one role: SIGTERM, the grace, SIGKILL. It may be started anew after it."""
        child = self._children.get(role)
        if child is not None:
            child.ending.set()
            await child.over.wait()

    async def stop_all(self) -> None:
        """End every role, all at once."""
        await asyncio.gather(*(self.stop(role) for role in self._children))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_all()

    async def _launch(self, child: _Child) -> asyncio.subprocess.Process:
        with child.log_path.open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *child.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child.env,
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we end it in order
                preexec_fn=die_with_parent(),
            )
        child.starts += 1
        emit("child_started", role=child.role, pid=child.process.pid)
        return child.process

    async def _watch(self, child: _Child, process: asyncio.subprocess.Process) -> None:
        deaths = 0
        try:
            while True:
                since = time.monotonic()
                code = await self._until_it_ends(child, process)
                child.exit_code = code
                emit("child_ended", role=child.role, pid=process.pid, exit_code=code)
                if child.ending.is_set() or code == 0:
                    return
                deaths = 1 if time.monotonic() - since > self._settled_seconds else deaths + 1
                hopeless = code == _WRONG_SETTING or deaths > self._most_deaths
                if hopeless or not child.restart:
                    self._failed.put_nowait(child.role)
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(child.ending.wait(), self._pause(deaths))
                    return
                process = await self._launch(child)
        finally:
            if process.returncode is None:  # the loop is being torn down
                _signal(process, signal.SIGKILL)
            child.over.set()

    async def _until_it_ends(self, child: _Child, process: asyncio.subprocess.Process) -> int:
        """Its exit code, once it has ended by itself, or by us because it should."""
        gone = asyncio.ensure_future(process.wait())
        wanted = asyncio.ensure_future(child.ending.wait())
        try:
            await asyncio.wait({gone, wanted}, return_when=asyncio.FIRST_COMPLETED)
            if not gone.done():
                _signal(process, signal.SIGTERM)
                await asyncio.wait({gone}, timeout=self._grace_seconds)
            if not gone.done():
                _signal(process, signal.SIGKILL)
            return await gone
        finally:
            wanted.cancel()
            gone.cancel()

    def _pause(self, deaths: int) -> float:
        first, longest = self._backoff_seconds
        return float(min(longest, first * 2 ** (deaths - 1)))


def _signal(process: asyncio.subprocess.Process, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended this moment
        process.send_signal(sign)
