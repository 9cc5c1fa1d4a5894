"""A mapping whose every version stays as it was; the next one costs the same however many keys there are.

Copying a dict for each event would make an event dearer with each budget that exists. This is a trie on the
hash of the key: a new version shares all nodes with the old one but those on the way to the key, one of 32
places at each level, so about four small copies at a million keys (Bagwell 2001, "Ideal Hash Trees").
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

__all__ = ["Map"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_BITS = 5
_MASK = 2**_BITS - 1
_HASH_BITS = 60
_LEAF = 16  # keys in a leaf before it is split


class Map(Generic[K, V]):
    """Immutable. Iterates in no order that means anything."""

    __slots__ = ("_root", "_size")

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._root: Any = None
        self._size = 0
        for key, value in dict(items).items():
            self._root = _put(self._root, 0, _hash(key), key, value)
            self._size += 1

    def set(self, key: K, value: V) -> Map[K, V]:
        """The next version, with this key at this value."""
        after: Map[K, V] = Map()
        after._root = _put(self._root, 0, _hash(key), key, value)
        after._size = self._size + (key not in self)
        return after

    def get(self, key: K, default: V | None = None) -> V | None:
        node, mark = self._root, _hash(key)
        while type(node) is tuple:
            node, mark = node[mark & _MASK], mark >> _BITS
        return default if node is None else node.get(key, default)

    def __contains__(self, key: K) -> bool:
        node, mark = self._root, _hash(key)
        while type(node) is tuple:
            node, mark = node[mark & _MASK], mark >> _BITS
        return node is not None and key in node

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.items())

    def items(self) -> Iterator[tuple[K, V]]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            if type(node) is tuple:
                stack.extend(node)
            elif node is not None:
                yield from node.items()


def _hash(key: Hashable) -> int:
    return int(hash(key) & (2**_HASH_BITS - 1))


def _put(node: Any, depth: int, mark: int, key: Any, value: Any) -> Any:
    """The node with the key set. `mark` is what is left of the hash below this depth."""
    if type(node) is tuple:
        place = mark & _MASK
        child = _put(node[place], depth + _BITS, mark >> _BITS, key, value)
        return (*node[:place], child, *node[place + 1 :])
    leaf = {**node, key: value} if node else {key: value}
    if len(leaf) <= _LEAF or depth >= _HASH_BITS:  # equal hashes stay together
        return leaf
    children: list[Any] = [None] * (_MASK + 1)
    for one, held in leaf.items():
        rest = _hash(one) >> depth
        children[rest & _MASK] = _put(children[rest & _MASK], depth + _BITS, rest >> _BITS, one, held)
    return tuple(children)
