"""What each person brings into a window: at most k examples, chosen from their own records alone.

**Guarantee.** The map from a window's records to its people is row-wise: the examples kept of a person are a
function of that person's records and of a key, and of nobody else's records; so adding or removing a person
adds or removes one row and changes no other. A person is a `ledger_token`, the unit that pays: a person who
was erased and came back has two subject tokens and still is one row.

A batch, several interactions in one record, is of one person and adds to that one row: k bounds it like any
other of the person's interactions, so a person's part in a sum has the same bound whether they were sent one
by one or together. Their ids are their own, so the same examples are chosen as well.

The choice ranks a person's examples by a keyed hash, and takes half of the k places (rounded up) for turns
that led to a call, the rest for turns that did not, and fills what is left of either with the other: turns
without a call are the most, and would leave little to learn a tool from.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from veilstream.events.cloudevents import Origin
from veilstream.worker.tasks import Example

__all__ = ["Contributions", "Positions", "choose"]

Ranked = tuple[bytes, Example]


def choose(k: int, calls: Sequence[Example], others: Sequence[Example]) -> list[Example]:
    """At most k of two lists that are in order of rank."""
    kept = list(calls[: (k + 1) // 2])
    kept += others[: k - len(kept)]
    return kept + list(calls[(k + 1) // 2 :][: k - len(kept)])


@dataclass(slots=True)
class _Person:
    calls: list[Ranked] = field(default_factory=list)
    others: list[Ranked] = field(default_factory=list)


class Contributions:
    """Gathers a window's records by person; holds at most 2k examples of each.

    Args:
        k: the contribution cap.
        key: 32 bytes, secret; the same key chooses the same examples again.
    """

    def __init__(self, k: int, key: bytes) -> None:
        self._k = k
        self._key = key
        self._people: dict[str, _Person] = {}

    def add(self, person: str, record_id: str, found: Iterable[Example]) -> None:
        """Take in one interaction of a person; `record_id` is its own id, not its place in the topic."""
        entry = self._people.setdefault(person, _Person())
        for number, example in enumerate(found):
            rank = self._rank(person, record_id, number, example.text)
            (entry.calls if example.is_call else entry.others).append((rank, example))
        for ranked in (entry.calls, entry.others):
            ranked.sort(key=lambda pair: (pair[0], pair[1].text, pair[1].label))
            del ranked[self._k :]

    def people(self) -> list[str]:
        """Everyone with a record in the window, sorted; also those without an example."""
        return sorted(self._people)

    def of(self, person: str) -> list[Example]:
        """The examples kept of a person: at most k."""
        entry = self._people.get(person, _Person())
        return choose(self._k, [e for _, e in entry.calls], [e for _, e in entry.others])

    def _rank(self, person: str, record_id: str, number: int, text: str) -> bytes:
        # A record's place in a topic depends on who else is in it: it must not enter.
        parts = (person.encode(), record_id.encode(), number.to_bytes(4, "big"), text.encode())
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, message, "sha256")


class Positions:
    """The last applied place of each source partition, to drop what is delivered again.

    Kept for each partition of the protected topic by itself: a person's records stay in one, and within one
    the records of a source partition are in order, with repeats only behind their first delivery. A record is
    dropped when its offset is not above the last applied one, so what is dropped are repeats and nothing
    else.
    """

    def __init__(self, applied: Mapping[str, int] | None = None) -> None:
        self._applied = dict(applied or {})

    def advance(self, partition: int, origin: Origin | None) -> bool:
        """True when the record is new; it then counts as applied. One without an origin is always new."""
        if origin is None:
            return True
        key = f"{partition}/{origin.incarnation}/{origin.partition}"
        if origin.offset <= self._applied.get(key, -1):
            return False
        self._applied[key] = origin.offset
        return True

    def state(self) -> dict[str, int]:
        return dict(self._applied)
