"""A person's salt: made once, kept sealed in the store, opened here.

The salt is 32 random bytes, sealed under the tenant's key and bound to the person's index, so that a sealed
salt that is moved to another person, or another tenant, does not open. In the store it lies under
`unit_index`; nothing of the person is there.

Guarantee: `subject_token` is a function of the salt and the value alone. Once the sealed salt is deleted from
the store (and from its backups), the tokens in protected records cannot be linked to the person by anyone,
holders of all root keys included. Edge: a process that has the salt in memory still knows it until it ends or
`forget` is called.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence

from veilstream.contracts import KeyProvider, PersonKeyStore
from veilstream.keys.derive import KEY_BYTES
from veilstream.keys.envelope import open_envelope, seal
from veilstream.keys.tokens import subject_token, unit_index

__all__ = ["PersonKeys"]

_TOPIC = "subjects.keys"  # its place once erasure is built: docs/decisions/0003-person-keys-in-the-store.md


class PersonKeys:
    """Subject tokens, one round trip to the store for a whole batch."""

    def __init__(
        self,
        provider: KeyProvider,
        store: PersonKeyStore,
        cache_size: int = 100_000,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`cache_size` salts are kept in memory, the least recently used go first; 0 keeps none."""
        self._provider = provider
        self._store = store
        self._cache_size = cache_size
        self._random = random
        self._salts: OrderedDict[bytes, bytes] = OrderedDict()

    async def subject_tokens(self, units: Sequence[tuple[str, str, str]]) -> list[str]:
        """Tokens of `(tenant, unit, value)` triples, in their order; makes salts for new people.

        Raises:
            KeyMissing: a tenant has no key. Nothing was stored.
            StoreUnavailable: the store did not answer. Some salts may have been stored; that is harmless.
            EnvelopeInvalid: what the store holds for a person was not sealed for them.
        """
        indices = [unit_index(self._provider.tenant(tenant), unit, value) for tenant, unit, value in units]
        salts: dict[bytes, bytes] = {}
        tenants: dict[bytes, str] = {}
        proposals: dict[bytes, bytes] = {}
        for index, (tenant, _, _) in zip(indices, units, strict=True):
            if index in salts or index in proposals:
                continue
            known = self._salts.get(index)
            if known is not None:
                self._salts.move_to_end(index)
                salts[index] = known
            else:
                tenants[index] = tenant
                proposals[index] = self._seal(tenant, index, self._random(KEY_BYTES))
        if proposals:
            for index, sealed in (await self._store.get_or_create(proposals)).items():
                salts[index] = self._open(tenants[index], index, sealed)
                self._remember(index, salts[index])
        return [
            subject_token(salts[index], unit, value)
            for index, (_, unit, value) in zip(indices, units, strict=True)
        ]

    def forget(self, index: bytes) -> None:
        """Drop a salt from memory; what the store holds is another matter."""
        self._salts.pop(index, None)

    def _seal(self, tenant: str, index: bytes, salt: bytes) -> bytes:
        root = self._provider.tenant(tenant)
        return seal(root, salt, tenant=tenant, topic=_TOPIC, path=index.hex(), random=self._random)

    def _open(self, tenant: str, index: bytes, sealed: bytes) -> bytes:
        return open_envelope(self._provider, sealed, tenant=tenant, topic=_TOPIC, path=index.hex())

    def _remember(self, index: bytes, salt: bytes) -> None:
        self._salts[index] = salt
        while len(self._salts) > self._cache_size:
            self._salts.popitem(last=False)
