"""The two hash chains: of journal entries, and of public events.

    hash = SHA-256(prev_hash ‖ canonical JSON of the entry without prev_hash and hash)

`prev_hash` as its 64 ASCII characters, zeros before the first; canonical JSON has sorted keys, no spaces, and
numbers as orjson writes them. The public chain covers public content alone: a hash over people, seen outside,
would let a guess be tested. Why the relay computes both: `docs/decisions/0004-hash-chain-in-the-relay.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["GENESIS", "canonical", "digest", "linked"]

GENESIS = "0" * 64


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(prev_hash: str, content: Mapping[str, Any]) -> str:
    """Hash of an entry; `prev_hash`, `hash` and `mac` in `content` do not count."""
    bare = {key: value for key, value in content.items() if key not in ("prev_hash", "hash", "mac")}
    return hashlib.sha256(prev_hash.encode("ascii") + canonical(bare)).hexdigest()


def linked(prev_hash: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with both hashes."""
    return {**content, "prev_hash": prev_hash, "hash": digest(prev_hash, content)}
