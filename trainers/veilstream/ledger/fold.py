"""What a journal says the state is: its entries, checked and applied one after the other. Pure.

This is the plain second implementation of everything that the scripts do; the store must agree with it. It
trusts nothing: sequence and chain of every budget, each entry's schema, the odometer's sums, that every
charge was within the filter, each person's admission, that the reservation's HMAC, which needs the ledger's
key, fits the people and parameters, and that whoever changed a budget held the operator's key. So a journal
that somebody changed *and* hashed anew is found too, where a charge or a budget was touched.

A charge stands in the journal of each budget of its path, the root's first. Where the journal ends before the
charged budget's own entry, those above show more than was released, which is the safe side.

Repeats are dropped: the same sequence number with the same hash. Two different entries for one sequence
number are a broken journal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from veilstream.errors import JournalBroken, RecordInvalid
from veilstream.events.codec import check
from veilstream.events.types import JOURNAL_ENTRY
from veilstream.ledger.applying import APPLY, Given, Opener, Untrue, created
from veilstream.ledger.authority import AUTHORISED
from veilstream.ledger.budget import Budget, ancestors, parent_of
from veilstream.ledger.chain import GENESIS, canonical, digest
from veilstream.ledger.projection import SHOWN, show
from veilstream.ledger.state import State

__all__ = ["Fold", "Opener", "fold"]


@dataclass(slots=True)
class _Line:
    """One budget's journal so far."""

    state: State | None = None
    hashes: list[str] = field(default_factory=list)  # of entries, parts of one sequence number apart
    places: dict[tuple[int, int], int] = field(default_factory=dict)  # sequence number, part → in `hashes`
    parts: list[str] = field(default_factory=list)  # sealed people of a sequence number that is not yet whole
    dropped: set[str] = field(default_factory=set)  # hashes of parts that were never followed by their last
    signed: bool = False  # every entry of this budget must carry its HMAC, every change its authority


class Fold:
    """Takes a journal's entries in order; `states` is what they add up to.

    `unsigned` lets budgets of the first version in, all or those that are named, whose entries carry no HMAC
    up to their first that does.
    """

    def __init__(self, opener: Opener, *, unsigned: bool | Collection[str] = False) -> None:
        self._opener = opener
        self._unsigned = unsigned
        self._lines: dict[str, _Line] = {}
        self.entries = 0  # different ones

    @property
    def states(self) -> dict[str, State]:
        return {name: line.state for name, line in self._lines.items() if line.state is not None}

    def add(self, entry: Mapping[str, Any]) -> None:
        """Check and apply one entry.

        Raises:
            JournalBroken: names the budget and the sequence number, and what does not hold there.
        """
        _known_kind(entry)
        try:
            check(JOURNAL_ENTRY, entry)
        except RecordInvalid as error:
            raise JournalBroken(
                f"an entry of the journal is not whole: {error.message}", hint=_HINT
            ) from None
        public = entry["public"]
        name, seq = public["budget"], public["seq"]
        line = self._lines.setdefault(name, _Line())
        part = entry.get("part", {"index": 0, "of": 1})
        due = (line.state.budget.seq if line.state else 0) + 1, len(line.parts)
        if digest(entry["prev_hash"], entry) != entry["hash"]:
            raise _broken(name, seq, "its hash is not that of its content")
        if entry["hash"] in line.dropped:
            return
        if (
            line.parts
            and (seq, part["index"]) == (due[0], 0)
            and line.hashes[-len(line.parts)] != entry["hash"]
        ):
            # The journal ended within a charge, the store was lost, and the number was given anew.
            for index in range(len(line.parts)):
                line.dropped.add(line.hashes.pop())
                del line.places[seq, index]
            line.parts.clear()
            due = due[0], 0
        place = line.places.get((seq, part["index"]))
        if place is not None:
            if line.hashes[place] != entry["hash"]:
                raise _broken(name, seq, "there are two different entries of this number")
            return
        if (seq, part["index"]) != due:
            what = (
                f"{seq} follows {due[0] - 1}"
                if seq != due[0]
                else f"part {part['index']} follows part {due[1] - 1}"
            )
            raise _broken(name, due[0], f"it is missing: {what}")
        if entry["prev_hash"] != (line.hashes[-1] if line.hashes else GENESIS):
            raise _broken(name, seq, "it does not follow from the entry before it")
        line.places[seq, part["index"]] = len(line.hashes)
        line.hashes.append(entry["hash"])
        self.entries += 1
        if part["index"] + 1 < part["of"]:
            if "mac" not in entry or not self._opener.signed(entry):
                raise _broken(name, seq, "who wrote it did not hold the ledger's key")
            line.parts.append(entry["sealed"])
            return
        state = self._apply(line, entry, public)
        if not _shows(public, state.budget):
            raise _broken(name, seq, "the budget that it shows does not follow from the entries before it")
        state.relayed = seq
        state.entry_head = entry["hash"]
        state.public_head = digest(state.public_head, public)
        line.state = state
        line.parts.clear()

    def _apply(self, line: _Line, entry: Mapping[str, Any], public: dict[str, Any]) -> State:
        kind, name, seq = public["event"], public["budget"], public["seq"]
        state = line.state
        self._check_authority(line, entry, public)
        if kind == "created":
            if state is not None:
                raise _broken(name, seq, "the budget is created twice")
            try:
                made = created(public, entry, self._state(parent_of(name)))
                made.unsigned = not line.signed
                return made
            except Untrue as untrue:
                raise _broken(name, seq, untrue.what) from None
        if state is None:
            raise _broken(name, seq, "the budget was not created")
        state.budget = replace(state.budget, seq=seq)
        above = [found for over in ancestors(name)[1:] if (found := self._state(over)) is not None]
        given = Given(state, above, entry, public, self._opener, [*line.parts, entry["sealed"]])
        try:
            APPLY[kind](given)
        except Untrue as untrue:
            raise _broken(name, seq, untrue.what) from None
        except (KeyError, TypeError, ValueError):
            raise _broken(name, seq, "a part that its kind of event must have is not there") from None
        return state

    def _state(self, name: str | None) -> State | None:
        line = self._lines.get(name) if name is not None else None
        return line.state if line is not None else None

    def _check_authority(self, line: _Line, entry: Mapping[str, Any], public: dict[str, Any]) -> None:
        """Who wrote the entry held the ledger's key; who changed the budget by it, the operator's too."""
        name, seq = public["budget"], public["seq"]
        if public["event"] == "created":
            line.signed = "mac" in entry
            known = self._unsigned if isinstance(self._unsigned, bool) else name in self._unsigned
            if not line.signed and not known:
                raise JournalBroken(
                    f"budget {name} is one of the first version, whose entries nobody signed",
                    hint="where you know that it is so, say --unsigned: what it says is then believed",
                )
        if line.signed or "mac" in entry:
            line.signed = True
            if "mac" not in entry or not self._opener.signed(entry):
                raise _broken(name, seq, "who wrote it did not hold the ledger's key")
        if public["event"] not in AUTHORISED or not line.signed:
            return
        told = entry.get("authority")
        if told is None or not self._opener.authorised(told, public):
            raise _broken(name, seq, "who changed the budget did not hold the operator's key")


def fold(
    entries: Iterable[Mapping[str, Any]], opener: Opener, *, unsigned: bool | Collection[str] = False
) -> dict[str, State]:
    """The states of all budgets in a journal. Raises JournalBroken."""
    folded = Fold(opener, unsigned=unsigned)
    for entry in entries:
        folded.add(entry)
    return folded.states


_HINT = "the journal is written by the ledger alone: see who else has access, and restore it from a replica"


def _known_kind(entry: Mapping[str, Any]) -> None:
    """Raises JournalBroken for an event of tomorrow's version, before anything else is made of it."""
    public = entry.get("public")
    kind = public.get("event") if isinstance(public, Mapping) else None
    if isinstance(kind, str) and _KIND.fullmatch(kind) and kind != "created" and kind not in APPLY:
        raise JournalBroken(
            f"the journal has a kind of event that this version does not know: {kind}",
            hint="a newer veilstream wrote it: use that one",
        )


_KIND = re.compile(r"[a-z_]{1,32}")  # what could be a kind; anything else is not repeated in an error


def _shows(public: Mapping[str, Any], budget: Budget) -> bool:
    """Whether an event shows this budget. What is rounded may differ by what another machine rounds."""
    shown = show(budget)
    told = {key: public[key] for key in SHOWN if key in public}
    if told.keys() != shown.keys():
        return False
    near = all(math.isclose(told[key], shown[key], rel_tol=1e-9) for key in _ROUNDED)
    return near and canonical({**told, **{key: shown[key] for key in _ROUNDED}}) == canonical(shown)


_ROUNDED = ("epsilon_spent", "fraction")


def _broken(name: str, seq: int, what: str) -> JournalBroken:
    return JournalBroken(f"budget {name}, entry {seq}: {what}", hint=_HINT)
