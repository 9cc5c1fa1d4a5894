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

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from veilstream.accounting import caps
from veilstream.errors import (
    AccountingError,
    EnvelopeInvalid,
    JournalBroken,
    RecordInvalid,
    VeilstreamError,
)
from veilstream.events.codec import check
from veilstream.events.types import JOURNAL_ENTRY
from veilstream.ledger.authority import AUTHORISED
from veilstream.ledger.budget import (
    TRANSITIONS,
    Budget,
    after_person,
    ancestors,
    check_child,
    corrected,
    decide,
    define,
    fits,
    frozen,
    has_room,
    parent_of,
    refreshed,
)
from veilstream.ledger.chain import GENESIS, canonical, digest
from veilstream.ledger.manifest import TOKEN_BYTES
from veilstream.ledger.projection import SHOWN, refusal_key, show
from veilstream.ledger.state import Attempt, State
from veilstream.ledger.store import attempt_field

__all__ = ["Fold", "Opener", "admit", "fold"]


class Opener(Protocol):
    """What needs the keys."""

    def people(self, sealed: bytes) -> bytes:
        """The packed tokens, joined."""
        ...

    def identity(
        self, budget: str, tenant: str, public: dict[str, Any], state: Mapping[str, Any], people: bytes
    ) -> str:
        """The reservation id that such a manifest has."""
        ...

    def authorised(self, told: Mapping[str, Any], public: Mapping[str, Any]) -> bool:
        """Whether who says so held the operator's key."""
        ...


@dataclass(slots=True)
class _Line:
    """One budget's journal so far."""

    state: State | None = None
    hashes: list[str] = field(default_factory=list)  # of entries, parts of one sequence number apart
    places: dict[tuple[int, int], int] = field(default_factory=dict)  # sequence number, part → in `hashes`
    parts: list[str] = field(default_factory=list)  # sealed people of a sequence number that is not yet whole
    dropped: set[str] = field(default_factory=set)  # hashes of parts that were never followed by their last
    lawful: bool = False  # every change of this budget must carry its authority


class Fold:
    """Takes a journal's entries in order; `states` is what they add up to."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
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
            line.parts.append(entry["sealed"])
            return
        state = self._apply(line, entry, public)
        told = {key: public[key] for key in SHOWN if key in public}
        if canonical(told) != canonical(show(state.budget)):
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
            return _created(public, entry, self._state(parent_of(name)))
        if state is None:
            raise _broken(name, seq, "the budget was not created")
        if kind not in _APPLY:
            raise JournalBroken(
                f"entry {seq} of budget {name} is a kind of event that this version does not know: {kind}",
                hint="a newer veilstream wrote it: use that one",
            )
        state.budget = replace(state.budget, seq=seq)
        above = [found for over in ancestors(name)[1:] if (found := self._state(over)) is not None]
        given = _Given(state, above, entry, public, self._opener, [*line.parts, entry["sealed"]])
        try:
            _APPLY[kind](given)
        except _Untrue as untrue:
            raise _broken(name, seq, untrue.what) from None
        except (KeyError, TypeError, ValueError):
            raise _broken(name, seq, "a part that its kind of event must have is not there") from None
        return state

    def _state(self, name: str | None) -> State | None:
        line = self._lines.get(name) if name is not None else None
        return line.state if line is not None else None

    def _check_authority(self, line: _Line, entry: Mapping[str, Any], public: dict[str, Any]) -> None:
        if public["event"] not in AUTHORISED:
            return
        told = entry.get("authority")
        created = public["event"] == "created"
        line.lawful |= told is not None or (created and "layout" in (entry["state"] or {}))
        if not line.lawful:
            return  # a budget of before
        if told is None or not self._opener.authorised(told, public):
            raise _broken(
                public["budget"], public["seq"], "who changed the budget did not hold the operator's key"
            )


def fold(entries: Iterable[Mapping[str, Any]], opener: Opener) -> dict[str, State]:
    """The states of all budgets in a journal. Raises JournalBroken."""
    folded = Fold(opener)
    for entry in entries:
        folded.add(entry)
    return folded.states


class _Untrue(Exception):  # never leaves this file
    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


_HINT = "the journal is written by the ledger alone: see who else has access, and restore it from a replica"


def _broken(name: str, seq: int, what: str) -> JournalBroken:
    return JournalBroken(f"budget {name}, entry {seq}: {what}", hint=_HINT)


@dataclass(frozen=True, slots=True)
class _Given:
    """An entry, with what it is applied to."""

    state: State
    above: list[State]  # the budgets above, the parent's first
    entry: Mapping[str, Any]
    public: dict[str, Any]
    opener: Opener
    sealed: list[str]  # base64


def _created(public: dict[str, Any], entry: Mapping[str, Any], parent: State | None) -> State:
    name = public["budget"]
    if parent_of(name) is not None and parent is None:
        raise _broken(name, 1, "there is no budget above it")
    try:
        budget = define(
            name, public["tenant"], public["epsilon"], public["delta"], public["orders"], public["mode"],
            refresh_seconds=public.get("refresh_seconds"), period=public.get("period", 0),
            block_seconds=public.get("block_seconds"),
        )  # fmt: skip
        if parent is not None:
            check_child(budget, parent.budget)
        buckets = int(entry["state"]["buckets"])
        budget = replace(_with_caps(budget, public["caps"]), seq=public["seq"])
    except (VeilstreamError, KeyError, TypeError, ValueError, _Untrue):
        raise _broken(name, 1, "no budget can have these parameters") from None
    return State(budget=budget, buckets=buckets)


def _with_caps(budget: Budget, told: list[int]) -> Budget:
    """The caps that were in force, which a later version or machine may round otherwise by a unit or two."""
    due = caps(budget.epsilon, budget.delta, budget.orders)
    if len(told) != len(due) or any(abs(a - b) > 2 for a, b in zip(told, due, strict=True)):
        raise _Untrue("the caps do not follow from ε and δ")
    return replace(budget, caps=tuple(told))


def _raised(given: _Given) -> None:
    state, public = given.state, given.public
    if public["epsilon"] <= state.budget.epsilon:
        raise _Untrue("a raise does not raise ε")
    if given.above and public["epsilon"] > given.above[0].budget.epsilon:
        raise _Untrue("ε is above the parent's")
    larger = replace(state.budget, epsilon=public["epsilon"], raises=state.budget.raises + 1, exhausted=False)
    state.budget = _with_caps(larger, public["caps"])


def _corrected(given: _Given) -> None:
    before = given.state.budget
    losses = [
        told - have
        for told, have in zip(
            given.public["corrected"], before.corrected or (0,) * len(before.orders), strict=True
        )
    ]
    try:
        given.state.budget = corrected(before, losses)
    except AccountingError:
        raise _Untrue("a correction does not add to what was spent") from None


def _frozen(given: _Given) -> None:
    on = given.public["event"] == "frozen"
    if given.state.budget.frozen is on:
        raise _Untrue("the budget was so before")
    given.state.budget = frozen(given.state.budget, on)


def _refreshed(given: _Given) -> None:
    state = given.state
    try:
        state.budget = refreshed(state.budget, given.public["period"])
    except AccountingError:
        raise _Untrue("no later period of the budget had begun") from None
    state.people = {}


def _charged(given: _Given) -> None:
    if "by" in given.public:
        _charged_below(given)
        return
    state, public, entry = given.state, given.public, given.entry
    path = [state, *given.above]
    budget, charges = state.budget, public["charge"]["charges"]
    if len(charges) != len(budget.orders):
        raise _Untrue("there is not one charge for each order")
    identity = entry["reservation"]
    for over in given.above:
        if over.owed.pop(identity, None) != canonical([budget.name, public["charge"]]):
            raise _Untrue(f"the charge does not stand at the budget above, {over.budget.name}")
    step = decide([budget], charges)
    if not step.admitted:
        raise _Untrue("the odometer had no room for the charge, or the budget was frozen")
    try:
        joined = b"".join(given.opener.people(base64.b64decode(part, validate=True)) for part in given.sealed)
    except EnvelopeInvalid:
        raise _Untrue("the sealed people do not open") from None
    if given.opener.identity(budget.name, budget.tenant, public, entry["state"], joined) != identity:
        raise _Untrue("the reservation is not the HMAC of its manifest")
    if identity in state.reservations:
        raise _Untrue("the reservation was charged before")
    window = (public["window"]["start"], public["window"]["end"])
    where = attempt_field(public["model"], window)
    if public["attempt"] != state.attempts.get(where, 0) + 1:
        raise _Untrue("the attempt is not the next one at its window")
    admitted = admit(path, joined, charges)
    if admitted != base64.b64decode(entry["admitted"], validate=True):
        raise _Untrue("the people admitted do not follow from what they had spent")
    state.budget = step.steps[0].after
    state.attempts[where] = public["attempt"]
    state.open.add(identity)
    state.reservations[identity] = Attempt(
        budget=budget.name,
        state="reserved",
        seq=public["seq"],
        attempt=public["attempt"],
        model=public["model"],
        window=window,
        admitted=admitted,
        epsilon_spent=public["epsilon_spent"],
    )


def admit(path: Sequence[State], joined: bytes, charges: Sequence[int]) -> bytes:
    """Charge people, packed and joined, to every budget of a path; the bitmap of those who were admitted."""
    count = len(joined) // TOKEN_BYTES
    admitted = bytearray((count + 7) // 8)
    nothing = (0,) * len(charges)
    limits = [state.budget.limits for state in path]
    for position in range(count):
        packed = joined[position * TOKEN_BYTES : (position + 1) * TOKEN_BYTES]
        spent = [state.people.get(packed, nothing) for state in path]
        totals = [after_person(had, charges) for had in spent]
        if all(fits(total, limit) for total, limit in zip(totals, limits, strict=True)):
            for state, total in zip(path, totals, strict=True):
                state.people[packed] = total
            admitted[position // 8] |= 0x80 >> position % 8
    return bytes(admitted)


def _charged_below(given: _Given) -> None:
    """A charge to a budget below: the odometer pays now, the people when the charge's own entry comes."""
    state, public = given.state, given.public
    if state.budget.name not in ancestors(public["by"])[1:]:
        raise _Untrue("the budget that was charged is not below it")
    step = decide([state.budget], public["charge"]["charges"])
    if not step.admitted:
        raise _Untrue("the odometer had no room for the charge, or the budget was frozen")
    state.budget = step.steps[0].after
    state.owed[given.entry["reservation"]] = canonical([public["by"], public["charge"]])


def _refused(given: _Given) -> None:
    path = [given.state.budget, *(state.budget for state in given.above)]
    if decide(path, given.public["charge"]["charges"]).admitted:
        raise _Untrue("there was room for the charge that was refused")
    given.state.refusals[refusal_key(given.public)] = sum(budget.raises for budget in path)


def _threshold(given: _Given) -> None:
    if given.state.budget.fraction < given.public["threshold"]:
        raise _Untrue("the share of the budget had not been reached")


def _exhausted(given: _Given) -> None:
    budget = given.state.budget
    if has_room(budget.spent, given.public["charge"]["charges"], budget.caps):
        raise _Untrue("the odometer had room when it was called exhausted")
    given.state.budget = replace(budget, exhausted=True)


def _moved(given: _Given) -> None:
    state, public, identity = given.state, given.public, given.entry["reservation"]
    to = public["event"]
    known = state.reservations.get(identity)
    if known is None or known.state not in TRANSITIONS[to]:
        raise _Untrue(f"no attempt could become {to} there")
    window = (public["window"]["start"], public["window"]["end"])
    if (public["model"], window, public["attempt"]) != (known.model, known.window, known.attempt):
        raise _Untrue("the attempt is not the one that was charged")
    known.state = to
    if to != "started":
        state.open.discard(identity)
    if to == "committed":
        known.release = public["release"]
        state.models[known.model] = given.entry["state"]["model_state"]


_APPLY: dict[str, Callable[[_Given], None]] = {
    "raised": _raised,
    "corrected": _corrected,
    "frozen": _frozen,
    "unfrozen": _frozen,
    "refreshed": _refreshed,
    "charged": _charged,
    "refused": _refused,
    "threshold": _threshold,
    "exhausted": _exhausted,
    "started": _moved,
    "committed": _moved,
    "abandoned": _moved,
}
