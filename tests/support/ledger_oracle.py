"""What a tree of budgets must be: ten obvious lines for each thing that can happen to it, and no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Happened", "Oracle", "Units"]

Units = tuple[int, ...]


def plus(have: Units, more: Sequence[int]) -> Units:
    return tuple(a + b for a, b in zip(have, more, strict=True))


def fits(total: Sequence[int], limit: Sequence[int]) -> bool:
    return any(a <= b for a, b in zip(total, limit, strict=True))


@dataclass
class Happened:
    """One thing that happened. `mark` finds it in the journal: a sequence number, a reservation, a period."""

    kind: str
    budget: str
    mark: Any
    units: Units = ()  # charged, or corrected
    people: tuple[str, ...] = ()  # admitted
    caps: Units = ()  # raised
    paid: list[str] = field(default_factory=list)  # the budgets that have an entry of it


@dataclass
class _Budget:
    mode: str
    caps: Units
    spent: Units
    corrected: Units
    people: dict[str, Units] = field(default_factory=dict)
    frozen: bool = False
    period: int = 0


class Oracle:
    """Takes what happened, in order, and says what is spent, and what is to happen to a charge.

    Args:
        made: mode, caps and period of each budget of the tree.
    """

    def __init__(self, made: Mapping[str, tuple[str, Units, int]]) -> None:
        self._made = dict(made)
        self.log: list[Happened] = []
        self._begin()

    def _begin(self) -> None:
        self.budgets = {
            name: _Budget(mode, caps, (0,) * len(caps), (0,) * len(caps), period=period)
            for name, (mode, caps, period) in self._made.items()
        }

    def path(self, name: str) -> list[str]:
        return [
            over
            for over in sorted(self.budgets, key=len, reverse=True)
            if (name + "/").startswith(over + "/")
        ]

    def refuses(self, name: str, units: Sequence[int]) -> bool:
        """Whether a budget of the path is frozen, or has an odometer without room."""
        path = [self.budgets[over] for over in self.path(name)]
        return any(
            one.frozen or (one.mode == "odometer" and not fits(plus(one.spent, units), one.caps))
            for one in path
        )

    def admits(self, name: str, units: Sequence[int], who: Iterable[str]) -> set[str]:
        """The people for whom each budget of the path has room."""
        nothing = (0,) * len(units)
        path = [self.budgets[over] for over in self.path(name)]
        return {
            one for one in who
            if all(fits(plus(plus(b.people.get(one, nothing), b.corrected), units), b.caps) for b in path)
        }  # fmt: skip

    def add(self, happened: Happened) -> None:
        happened.paid = self.path(happened.budget) if happened.kind == "charged" else [happened.budget]
        self.log.append(happened)
        self._apply(happened)

    def _apply(self, happened: Happened) -> None:
        one = self.budgets[happened.budget]
        if happened.kind == "charged":
            for over in happened.paid:
                paid = self.budgets[over]
                paid.spent = plus(paid.spent, happened.units)
            for over in happened.paid if happened.budget in happened.paid else ():
                paid = self.budgets[over]
                for person in happened.people:
                    paid.people[person] = plus(paid.people.get(person, (0,) * len(paid.caps)), happened.units)
        elif happened.kind == "raised":
            one.caps = happened.caps
        elif happened.kind == "corrected":
            one.corrected = plus(one.corrected, happened.units)
            one.spent = plus(one.spent, happened.units)
        elif happened.kind == "refreshed":
            one.spent = one.corrected = (0,) * len(one.caps)
            one.people = {}
            one.period = happened.mark
        elif happened.kind in ("frozen", "unfrozen"):
            one.frozen = happened.kind == "frozen"

    def forget(self, journal: Iterable[Mapping[str, Any]]) -> set[str]:
        """Only what a journal has did happen; the reservations that it has whole.

        A charge has an entry in each budget of its path, its own the last, and the people go by that one.
        """
        kept: dict[tuple[str, int], tuple[str, str, Any]] = {}
        for entry in journal:
            part, public = entry.get("part"), entry["public"]
            if part is not None and part["index"] + 1 < part["of"]:
                continue
            marks = {"charged": entry["reservation"], "refreshed": public.get("period")}
            mark = marks.get(public["event"], public["seq"])
            kept[public["budget"], public["seq"]] = public["budget"], public["event"], mark
        left = Counter(kept.values())
        log, self.log = self.log, []
        whole = set()
        self._begin()
        for happened in log:
            marks_of = {over: (over, happened.kind, happened.mark) for over in happened.paid}
            happened.paid = [over for over, mark in marks_of.items() if left[mark]]
            left.subtract(marks_of[over] for over in happened.paid)
            if happened.paid:
                self.log.append(happened)
                self._apply(happened)
            if happened.kind == "charged" and happened.budget in happened.paid:
                whole.add(happened.mark)
        return whole
