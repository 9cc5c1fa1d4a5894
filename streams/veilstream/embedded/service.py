"""What broker and store have in common: a child process on a loopback port that answers when it is ready."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from veilstream.embedded.processes import identity, spawn
from veilstream.errors import BrokerUnavailable, StoreUnavailable, VeilstreamError

__all__ = ["HOST", "Service", "free_ports"]

HOST = "127.0.0.1"


_PORTS = range(15_000, 32_000)
"""Below what systems give to outgoing connections: one of those could take a port before its server does."""


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody has now; all different.

    Raises:
        OSError: none is free.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
            if len(found) == count:
                return found
            candidate = held.enter_context(socket.socket())
            with suppress(OSError):
                candidate.bind((HOST, port))
                found.append(port)
    raise OSError("no free port on the loopback address")


class Service:
    """A child process. `start` and `stop`; or `launch`, then `wait_ready`, to start several at once.

    Call `launch` in the main thread: a process that is not detached ends with the thread that started it.
    """

    name = "service"
    unavailable: type[VeilstreamError] = VeilstreamError
    grace_seconds = 10.0

    def __init__(self, data_dir: Path, *, detached: bool = False) -> None:
        self.data_dir = data_dir.absolute()
        self.detached = detached
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._known_as = ""

    # What a service of its own says.
    def prepare(self) -> Sequence[str]:
        """Write what it needs into the data folder, take a port, and return the command line."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str] | None:
        return None

    def answers(self, timeout_seconds: float) -> bool:
        """Ask it something; False where it does not answer yet."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id; 0 before it is started."""
        return self._process.pid if self._process else 0

    @property
    def known_as(self) -> str:
        """What tells its process from a later one with the same id."""
        return self._known_as

    @property
    def log_path(self) -> Path:
        return self.data_dir / f"{self.name}.out"

    def start(self, timeout_seconds: float = 60.0) -> Self:
        """Start it and wait until it answers.

        Raises:
            BrokerUnavailable or StoreUnavailable: it ended or did not answer in time; names its log.
        """
        self.launch()
        self.wait_ready(timeout_seconds)
        return self

    def launch(self) -> None:
        """Start its process and return."""
        if self._process is not None and self._process.poll() is None:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = self.prepare()
        environment = {**os.environ, **(self.environment() or {})}
        self._process = spawn(
            argv, log_path=self.log_path, cwd=self.data_dir, env=environment, detached=self.detached
        )
        self._known_as = identity(self._process.pid) or ""

    def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Wait until it answers; may be called in another thread."""
        deadline = time.monotonic() + timeout_seconds
        while not self.answers(1.0):
            code = self._process.poll() if self._process else None
            if code is not None:
                raise self.unavailable(f"{self.name} ended at its start (exit {code})", hint=self._see())
            if time.monotonic() > deadline:
                self.stop()
                raise self.unavailable(
                    f"{self.name} does not answer after {timeout_seconds:g} s", hint=self._see()
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; nothing where it does not run."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self.grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5.0)
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5.0)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _see(self) -> str:
        return f"its output is in {self.log_path}"


class Broker(Service):
    """A broker; `bootstrap` is what clients connect to."""

    unavailable = BrokerUnavailable
    idempotence = True

    @property
    def bootstrap(self) -> str:
        return self.address

    def answers(self, timeout_seconds: float) -> bool:
        """True when a Metadata request is answered and names a broker."""
        try:
            return _metadata_brokers(self.port, timeout_seconds) > 0
        except OSError:
            return False


class Store(Service):
    """A store; `url` is what clients connect to."""

    unavailable = StoreUnavailable

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"


def _metadata_brokers(port: int, timeout_seconds: float) -> int:
    """Brokers in the answer to a Metadata request, version 1, for no topics (Kafka protocol guide)."""
    client = b"veilstream"
    body = (
        (3).to_bytes(2)  # api key: Metadata
        + (1).to_bytes(2)  # api version
        + (7).to_bytes(4)  # correlation id
        + len(client).to_bytes(2)
        + client
        + (0).to_bytes(4)  # topics: an empty array
    )
    with socket.create_connection((HOST, port), timeout=timeout_seconds) as connection:
        connection.sendall(len(body).to_bytes(4) + body)
        answer = b""
        while len(answer) < 12:  # length, correlation id, number of brokers
            more = connection.recv(4096)
            if not more:
                return 0
            answer += more
    return int.from_bytes(answer[8:12], signed=True) if answer[4:8] == (7).to_bytes(4) else 0
