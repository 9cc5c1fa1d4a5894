"""A network of our own: a bridge, and a namespace with a link to it for each broker and each role.

A cut takes the outer end of a link off the bridge: packets vanish without an answer, as behind a dead switch.
Needs Linux and root; `Network.missing()` says what is not there. The machine's own network is not touched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from veilstream.errors import SettingInvalid

__all__ = ["Network", "command", "sweep"]

_SECONDS = 20
_NAME = re.compile(r"vc(\d+)[-b]")


def command(*argv: str) -> str:
    """Run a program of the system to its end; returns what it printed.

    Raises:
        OSError: it is not here, or it failed.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise OSError(f"{argv[0]} is not on the PATH")
    done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        raise OSError(f"{argv[0]} failed (exit {done.returncode})")
    return done.stdout


def sweep() -> None:
    """Remove namespaces and bridges that a run left which was killed."""
    with suppress(OSError):
        for line in command("ip", "netns", "list").splitlines():
            _remove_if_orphan(line.split()[0], "netns", "del")
    with suppress(OSError):
        for path in Path("/sys/class/net").iterdir():
            _remove_if_orphan(path.name, "link", "del")


def _remove_if_orphan(name: str, *how: str) -> None:
    owner = _NAME.match(name)
    if owner and not Path(f"/proc/{owner[1]}").exists():
        with suppress(OSError):
            command("ip", *how, name)


class Network:
    """Namespaces by name. `start` makes them, `stop` removes all of it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._tag = f"vc{os.getpid()}"
        self._bridge = f"{self._tag}b"
        self._number = {name: number for number, name in enumerate(names, start=1)}
        pid = os.getpid()
        self._net = f"10.{180 + pid % 50}.{pid // 50 % 250}"

    @staticmethod
    def missing() -> str | None:
        """Why there can be no such network here; None where it can."""
        if os.geteuid() != 0:
            return "network namespaces need root"
        for program in ("ip", "nsenter"):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        probe = f"vc{os.getpid()}-probe"
        try:
            command("ip", "netns", "add", probe)
            command("ip", "link", "add", f"vc{os.getpid()}b", "type", "bridge")
        except OSError:
            return "the kernel gives no network namespaces or no bridges"
        finally:
            with suppress(OSError):
                command("ip", "netns", "del", probe)
            with suppress(OSError):
                command("ip", "link", "del", f"vc{os.getpid()}b")
        return None

    @property
    def gateway(self) -> str:
        """Our own address on the bridge."""
        return f"{self._net}.254"

    def host(self, name: str) -> str:
        return f"{self._net}.{self._number[name]}"

    def enter(self, name: str) -> tuple[str, ...]:
        """What to put before a command, so that it runs there. The process keeps its id."""
        nsenter = shutil.which("nsenter") or "nsenter"
        return (nsenter, f"--net=/run/netns/{self._namespace(name)}", "--")

    def start(self) -> None:
        """Make bridge and namespaces.

        Raises:
            SettingInvalid: the system refuses.
        """
        try:
            command("ip", "link", "add", self._bridge, "type", "bridge")
            command("ip", "addr", "add", f"{self.gateway}/24", "dev", self._bridge)
            command("ip", "link", "set", self._bridge, "up")
            for name in self._number:
                self._make(name)
        except OSError as error:
            self.stop()
            raise SettingInvalid(
                f"no network of our own: {error}", hint="leave the network's faults out"
            ) from None

    def _make(self, name: str) -> None:
        space, outer, inner = self._namespace(name), self._link(name), "eth0"
        command("ip", "netns", "add", space)
        command("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", space)
        command("ip", "link", "set", outer, "master", self._bridge, "up")
        inside = ("ip", "-n", space)
        command(*inside, "addr", "add", f"{self.host(name)}/24", "dev", inner)
        command(*inside, "link", "set", inner, "up")
        command(*inside, "link", "set", "lo", "up")

    def cut(self, name: str) -> None:
        command("ip", "link", "set", self._link(name), "nomaster")

    def join(self, name: str) -> None:
        command("ip", "link", "set", self._link(name), "master", self._bridge)

    def stop(self) -> None:
        """Remove everything; never raises."""
        for name in self._number:
            with suppress(OSError):
                command("ip", "netns", "del", self._namespace(name))
            with suppress(OSError):
                command("ip", "link", "del", self._link(name))
        with suppress(OSError):
            command("ip", "link", "del", self._bridge)

    def _namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _link(self, name: str) -> str:
        return f"{self._tag}b{self._number[name]}"  # at most 15 characters
