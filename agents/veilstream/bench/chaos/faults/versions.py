"""An upgrade in the middle, and a processor whose clock is an hour behind."""

from __future__ import annotations

import asyncio
import random
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from veilstream.bench.chaos.clock import preload
from veilstream.bench.chaos.faults.base import Basic
from veilstream.bench.chaos.faults.processes import START_SECONDS
from veilstream.bench.chaos.options import Options
from veilstream.bench.chaos.world import World

__all__ = ["ClockBack", "Upgrade"]

_DELIVERY = "VEILSTREAM_PROCESSOR__DELIVERY"


class ClockBack(Basic):
    """A processor is started under a clock that is an hour behind, and works; then one with the right."""

    name: ClassVar[str] = "clock_back"
    needs: ClassVar[frozenset[str]] = frozenset({"clock"})
    _role = ""

    async def apply(self, world: World, rng: random.Random) -> None:
        self._role = rng.choice(world.roles.processors)
        await world.roles.stop(self._role)
        await world.roles.start(self._role, env=preload(world.folder) or {})
        await world.roles.until_started(self._role, START_SECONDS)
        await asyncio.sleep(rng.uniform(2.0, 5.0))

    async def heal(self, world: World) -> None:
        await world.roles.stop(self._role)
        await world.roles.start(self._role)


class Upgrade(Basic):
    """All processors go back to an older setting and then, one by one, to the present one.

    The older setting is `at_least_once` under a policy of another version; with `--upgrade-from` it is the
    code of another checkout as well. It proves that the two understand each other's committed offsets and
    places: nothing is lost, no effect is applied twice, and nothing goes back in time while both kinds share
    the partitions. A record that an older processor wrote may be there twice for a plain reader: only the
    present setting promises more, so those are counted by themselves, by their policy version.
    """

    name: ClassVar[str] = "upgrade"
    seconds: ClassVar[float] = 90.0

    async def apply(self, world: World, rng: random.Random) -> None:
        older = _older(world.options, world.folder)
        every = world.roles.processors
        await asyncio.gather(*(world.roles.stop(role) for role in every))
        for role in every:
            await world.roles.start(role, **older)
        await asyncio.gather(*(world.roles.until_started(role, START_SECONDS) for role in every))
        await asyncio.sleep(rng.uniform(1.0, 4.0))
        for role in every:
            await world.roles.stop(role)
            await world.roles.start(role)
            await world.roles.until_started(role, START_SECONDS)


def _older(options: Options, folder: Path) -> dict[str, Any]:
    policy = folder / "older.toml"
    strict = files("veilstream.protection").joinpath("policies", "strict.toml").read_text()
    policy.write_text(strict.replace('name = "strict"', 'name = "strict-older"'))
    env = {"VEILSTREAM_PROCESSOR__POLICY": str(policy)}
    if options.upgrade_from is None:
        if options.delivery is not None:
            env[_DELIVERY] = "at_least_once"
        return {"env": env}
    root = options.upgrade_from.resolve()
    python = root / ".venv" / "bin" / "python"
    if python.exists():
        command = str(python)
    else:
        command = sys.executable
        env["PYTHONPATH"] = ":".join(str(root / part) for part in ("config", "streams", "trainers", "agents"))
    return {"env": env, "python": (command,), "without": (_DELIVERY,)}
