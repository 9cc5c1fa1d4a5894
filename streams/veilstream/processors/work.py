"""What the processor's loop asks of the work: a batch of raw records in, an outcome for each out.

`Pipeline` is the work. A benchmark or a test puts another in its place, and the loop stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from veilstream.processors.decoding import RawRecord
from veilstream.processors.pipeline import Outcome, Run

__all__ = ["Outcome", "RawRecord", "Run", "Work"]


class Work(Protocol):
    """Stateless between two batches but for the incarnation, which names the topic that offsets are of."""

    def set_incarnation(self, incarnation: str) -> None:
        """The raw topic's id, before the first record of it."""
        ...

    async def batch(
        self, records: Sequence[RawRecord], run: Run[Any], waiting: Callable[[], None]
    ) -> Sequence[Outcome]:
        """One outcome for each record, in order; returns only when every record has one.

        Args:
            records: of one topic, in the order of their offsets within a partition.
            run: runs a function elsewhere (a thread), so that the caller's loop goes on meanwhile.
            waiting: called while something that is away is waited for.

        Raises:
            KeyMissing: a key that was there is gone. Whatever a record holds is an outcome, not an error.
        """
        ...
