"""A disk of its own for each broker: a tmpfs, so that it can be filled without harm to the machine."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from veilstream.bench.chaos.network import command

__all__ = ["PREFIX", "Disk", "sweep_disks"]

PREFIX = "veilstream-chaos-"
"""Start of a run's folder; the process id follows."""

_FILL = "filler"
_CHUNK = 1 << 20


class Disk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        self._megabytes = megabytes

    @staticmethod
    def missing(folder: Path) -> str | None:
        """Why there can be none; None where it can."""
        if os.geteuid() != 0:
            return "mounting a disk of its own needs root"
        probe = Disk(folder / "probe", 1)
        try:
            probe.mount()
        except OSError:
            return "a tmpfs cannot be mounted here"
        finally:
            probe.unmount()
        return None

    def mount(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        size = f"size={self._megabytes}m,mode=0700"
        command("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.folder))

    def unmount(self) -> None:
        with suppress(OSError):
            command("umount", "--lazy", str(self.folder))

    def fill(self) -> int:
        """Take every byte that is left; returns how many."""
        path, taken = self.folder / _FILL, 0
        chunk = bytes(_CHUNK)
        with path.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                taken += file.write(chunk)
        with path.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                taken += file.write(b"\0" * 64)
        return taken

    def empty(self) -> None:
        (self.folder / _FILL).unlink(missing_ok=True)


def sweep_disks() -> None:
    """Unmount and remove what a run left that was killed."""
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            folder = line.split()[1]
            owner = re.search(rf"/{PREFIX}(\d+)-", folder)
            if owner and not Path(f"/proc/{owner[1]}").exists():
                with suppress(OSError):
                    command("umount", "--lazy", folder)
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if path.owner() == Path("/proc/self").owner() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)
