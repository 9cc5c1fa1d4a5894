"""The store's scripts: Lua files in `lua/`, each with `common.lua` at its head.

A script runs alone and whole in the store: nothing comes between its checks and its writes, and after a crash
the append-only file has all of its writes or none. All keys of a budget share a hash tag, so that a cluster
keeps them in one slot; the people's buckets are computed inside `charge.lua` and not declared one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from redis.asyncio import Redis

from veilstream.ledger.store import store_errors

__all__ = ["NAMES", "Scripts", "source"]

NAMES = ("acknowledge", "advance", "amend", "charge", "create", "lease", "transition")

_PEOPLE = ("advance", "charge")  # the scripts that need `people.lua` too


@cache
def source(name: str) -> str:
    """Text of a script, helpers included."""
    folder = files("veilstream.ledger").joinpath("lua")
    parts = ("common", "people", name) if name in _PEOPLE else ("common", name)
    return "\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in parts)


class Scripts:
    """Runs scripts by their hash; the text is sent when the store does not know it yet."""

    def __init__(self, client: Redis) -> None:
        self._scripts = {name: client.register_script(source(name)) for name in NAMES}

    async def run(
        self, name: str, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> tuple[str, list[bytes]]:
        """A script's status word and the rest of its answer.

        Raises:
            StoreUnavailable: the store did not answer, or refused the script.
        """
        with store_errors():
            answer = await self._scripts[name](keys=list(keys), args=list(args))
        return answer[0].decode(), answer[1:]
