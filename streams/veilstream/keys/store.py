"""Sealed salts in Valkey or Redis.

Layout: hashes `<prefix>{<b>}`, where `<b>` is the first byte of the index in hexadecimal, so 256 of them;
field: the index (16 raw bytes); value: the sealed salt. Each command touches one key, so a cluster serves it;
the braces keep a bucket in one slot whatever the prefix.

HSETNX decides who is first, and HGET in the same pipeline reads the winner: a whole batch is one round trip.
Durable when it returns, if the store runs with AOF and `appendfsync always`, as `docs/operations.md` asks.
"""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from veilstream.errors import StoreUnavailable

__all__ = ["RedisPersonKeyStore"]


class RedisPersonKeyStore:
    """`PersonKeyStore` over a `redis.asyncio.Redis` (not one with `decode_responses`)."""

    def __init__(self, client: Redis, *, prefix: str = "veil:person-keys:") -> None:
        self._client = client
        self._prefix = prefix

    async def get_or_create(self, proposals: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """See `PersonKeyStore`. Raises `StoreUnavailable`; an empty batch asks nothing."""
        if not proposals:
            return {}
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for index, sealed in proposals.items():
                    key = self._key(index)
                    pipeline.hsetnx(key, index, sealed)
                    pipeline.hget(key, index)
                answers = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"the store did not answer: {type(error).__name__}",
                hint="start Valkey or Redis, or correct store.url",
            ) from None
        return dict(zip(proposals, answers[1::2], strict=True))

    def _key(self, index: bytes) -> str:
        return f"{self._prefix}{{{index[:1].hex()}}}"
