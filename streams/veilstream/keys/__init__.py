"""Keys, and everything that is made from them: tokens, sealed envelopes, a person's salt.

What it promises:

* one root key for each tenant, one for the operator, one for the ledger; every other key is derived from a
  root by HKDF-SHA256 under a label of its own, so that no two purposes ever share a key (`derive`);
* tokens that cannot be turned back or recomputed without the key, 120 bits each, the same everywhere for the
  same value under the same key (`tokens`);
* a ciphertext opens with the key, the tenant, the topic and the path that it was sealed for, or not at all
  (`envelope`);
* a person's `subject_token` hangs on a random salt in the store and on nothing else: with the salt gone
  nobody can link the token to the person again, not even who holds every root key (`person`, `store`).

What it does not: it keeps keys in files (`provider`), so who reads the folder reads everything; another
`KeyProvider` (KMS, HSM) replaces it. It does not rotate keys yet; the formats carry versions for it. A caller
without a routing secret routes by a public constant: such a Kafka key can be guessed (see `routing_key`).

`import veilstream.keys` loads no Redis client: `RedisPersonKeyStore` is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from veilstream.keys.envelope import open_envelope, seal
from veilstream.keys.person import PersonKeys
from veilstream.keys.provider import FileKeyProvider
from veilstream.keys.tokens import (
    entity_token,
    ledger_token,
    quarantine_key,
    routing_key,
    subject_token,
    unit_index,
)

if TYPE_CHECKING:
    from veilstream.keys.store import RedisPersonKeyStore

__all__ = [
    "FileKeyProvider",
    "PersonKeys",
    "RedisPersonKeyStore",
    "entity_token",
    "ledger_token",
    "open_envelope",
    "quarantine_key",
    "routing_key",
    "seal",
    "subject_token",
    "unit_index",
]


def __getattr__(name: str) -> Any:
    if name == "RedisPersonKeyStore":
        from veilstream.keys.store import RedisPersonKeyStore

        return RedisPersonKeyStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
