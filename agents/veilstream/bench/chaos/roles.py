"""The roles as processes, through the command line's own entry point, started again when they die."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from veilstream.bench.chaos.network import Network
from veilstream.embedded import Supervisor

__all__ = ["ALERTING", "TRAIN", "Roles", "processor"]

TRAIN, ALERTING = "train", "alerting"
_STARTED = b'"event":"role_started"'
_COMMANDS = {TRAIN: ("train",), ALERTING: ("worker", "alerting")}


def processor(number: int) -> str:
    return f"protect-{number}"


class Roles:
    """Processes by role: `protect-1` to `protect-4`, `train`, `alerting`.

    Every other processor has a stable name in its group (static membership: it has its partitions back at
    once), the others join anew each time.
    """

    def __init__(self, folder: Path, network: Network | None, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._network = network
        self._environment = dict(environment)
        self._supervisor = Supervisor(
            grace_seconds=25.0, backoff_seconds=(0.2, 2.0), settled_seconds=10.0, most_deaths=1_000_000
        )
        self._running: set[str] = set()
        self._before: dict[str, int] = {}
        self._started: Counter[str] = Counter()  # before the supervisor's present counts

    async def start(
        self,
        role: str,
        *,
        env: Mapping[str, str] | None = None,
        python: Sequence[str] = (sys.executable,),
        without: Sequence[str] = (),
    ) -> None:
        """Start a role; `env` beside its settings, `without` some of them, under another interpreter."""
        settings = {name: value for name, value in self._environment.items() if name not in without}
        number = role.removeprefix("protect-")
        if number.isdigit() and int(number) % 2:
            settings["VEILSTREAM_PROCESSOR__INSTANCE"] = role
        enter = self._network.enter(role) if self._network else ()
        command = _COMMANDS.get(role, ("worker", "protect"))
        if role in self._before:
            self._started[role] += self._supervisor.starts(role)
        self._before[role] = self._starts_told(role)
        argv = [*enter, *python, "-m", "veilstream.cli", *command]
        await self._supervisor.start(role, argv, env={**settings, **(env or {})}, log_path=self._log(role))
        self._running.add(role)

    async def stop(self, role: str) -> None:
        """SIGTERM, and wait until it has ended."""
        await self._supervisor.stop(role)
        self._running.discard(role)

    @property
    def processors(self) -> list[str]:
        """Those that should run, in order."""
        return sorted(role for role in self._running if role.startswith("protect-"))

    @property
    def running(self) -> list[str]:
        return sorted(self._running)

    async def kill_surely(self, role: str, seconds: float = 20.0) -> None:
        """SIGKILL, of the next process where it has none at this moment. It is started again.

        Raises:
            TimeoutError: it has none for so long.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            self._before[role] = self._starts_told(role)
            if self._signal(role, signal.SIGKILL):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{role} does not run")
            await asyncio.sleep(0.1)

    def freeze(self, role: str) -> bool:
        return self._signal(role, signal.SIGSTOP)

    def thaw(self, role: str) -> bool:
        return self._signal(role, signal.SIGCONT)

    def _signal(self, role: str, number: signal.Signals) -> bool:
        pid = self._supervisor.pid(role)
        if pid is None:
            return False
        os.kill(pid, number)
        return True

    async def until_started(self, role: str, seconds: float) -> bool:
        """Wait until the role has said that it works, since it was last started or killed by us."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._starts_told(role) <= self._before[role]:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.2)
        return True

    def starts(self) -> dict[str, int]:
        """How often each was started, by us or after a death."""
        now = Counter({role: self._supervisor.starts(role) for role in self._before})
        return dict(sorted((now + self._started).items()))

    async def failed(self) -> str:
        """Wait for a role that ended for good by itself."""
        return await self._supervisor.failed()

    async def stop_all(self) -> None:
        for role in self._running:
            self.thaw(role)
        await self._supervisor.stop_all()

    def _log(self, role: str) -> Path:
        return self._folder / f"{role}.log"

    def _starts_told(self, role: str) -> int:
        log = self._log(role)
        return log.read_bytes().count(_STARTED) if log.exists() else 0
