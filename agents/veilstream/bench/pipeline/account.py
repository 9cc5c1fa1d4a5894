"""Which raw records have their output: a mark for each place in the raw topic."""

from __future__ import annotations

__all__ = ["Account"]


class Account:
    """Marks outputs by source partition and offset; a byte a record. Offsets start at 0, without gaps."""

    def __init__(self, partitions: int) -> None:
        self._marks = [bytearray() for _ in range(partitions)]
        self._done = [0] * partitions
        self.seen = self.duplicated = self.reordered = 0
        self._last = [-1] * partitions

    def mark(self, partition: int, offset: int) -> None:
        marks = self._marks[partition]
        if offset >= len(marks):
            marks.extend(bytes(offset + 1 - len(marks)))
        if marks[offset]:
            self.duplicated += 1
            return
        marks[offset] = 1
        self.seen += 1

    def done_below(self, partition: int) -> int:
        """Every record below this offset has its output."""
        found = self._marks[partition].find(0, self._done[partition])
        self._done[partition] = len(self._marks[partition]) if found < 0 else found
        return self._done[partition]

    def lost(self, ends: dict[int, int]) -> int:
        """Records below the raw topic's ends that have none."""
        return sum(end - self._marks[partition][:end].count(1) for partition, end in ends.items())
