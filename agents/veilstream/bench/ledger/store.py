"""What the store says of itself: its memory, its longest script; and forgetting people, to weigh them."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from veilstream.bench.pipeline.figures import quantile

__all__ = ["Watch", "people_bytes", "used_memory"]

_LOG_FROM_MICROSECONDS = 100
_LOG_ENTRIES = 20_000
_AT_ONCE = 1000
_LONG_MS = 10.0


async def used_memory(client: Redis) -> int:
    """Bytes, when what was deleted is freed."""
    while True:
        told = await client.info("memory")
        if not int(told.get("lazyfree_pending_objects", 0)):
            return int(told["used_memory"])
        await asyncio.sleep(0.02)


async def people_bytes(client: Redis, pattern: str) -> int:
    """By how much the store's memory falls when the keys of `pattern` are deleted. They are gone then."""
    keys = [key async for key in client.scan_iter(match=pattern, count=_AT_ONCE)]
    before = await used_memory(client)
    for at in range(0, len(keys), _AT_ONCE):
        await client.delete(*keys[at : at + _AT_ONCE])
    return before - await used_memory(client)


class Watch:
    """Longest scripts since `begin`, by the server's own log of slow commands: the time that a script holds
    the server, without the wait for the disk. Where others use the machine, a pause of the process counts."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def begin(self) -> None:
        await self._client.config_set("slowlog-max-len", _LOG_ENTRIES)
        await self._client.config_set("slowlog-log-slower-than", _LOG_FROM_MICROSECONDS)
        await self._client.slowlog_reset()

    async def scripts(self) -> dict[str, float]:
        """Milliseconds of the longest script, of the median one and of the 99th percentile, and what share
        took over 10 ms; of those that took more than 0.1 ms."""
        found = await self._client.slowlog_get(_LOG_ENTRIES)
        scripts = [entry for entry in found if bytes(entry["command"])[:4].upper() in (b"EVAL", b"FCAL")]
        took = [int(entry["duration"]) / 1000 for entry in scripts] or [0.0]
        return {
            "longest_script_ms": max(took),
            "script_p50_ms": quantile(took, 0.5),
            "script_p99_ms": quantile(took, 0.99),
            "scripts_over_10_ms": sum(one > _LONG_MS for one in took) / len(took),
        }
