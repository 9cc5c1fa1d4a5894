"""A tenant's pseudonyms, bound to its root key."""

from __future__ import annotations

from veilstream.contracts import RootKey
from veilstream.keys import entity_token

__all__ = ["Tokens"]


class Tokens:
    """Makes entity tokens of one tenant. Hold one for each tenant; it keeps nothing but the key."""

    __slots__ = ("_root",)

    def __init__(self, root: RootKey) -> None:
        self._root = root

    def entity(self, kind: str, value: str) -> str:
        """Token of `value` among its kind: 24 characters of a–z and 2–7 (see `keys.tokens`)."""
        return entity_token(self._root, kind, value)
