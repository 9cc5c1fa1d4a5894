"""What a journal says the state is: its entries, checked and applied one after the other. Pure.

This is the plain second implementation of everything that the scripts do; the store must agree with it. It
trusts nothing: sequence and chain of every budget, each entry's schema, the odometer's sums, that every
charge was within the filter, each person's admission, and that the reservation's HMAC, which needs the
ledger's key, fits the people and parameters. So a journal that somebody changed *and* hashed anew is found
too, where a charge was touched.

Repeats are dropped: the same sequence number with the same hash. Two different entries for one sequence
number are a broken journal.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from veilstream.accounting import caps
from veilstream.errors import EnvelopeInvalid, JournalBroken, RecordInvalid, VeilstreamError
from veilstream.events.codec import check
from veilstream.events.types import JOURNAL_ENTRY
from veilstream.ledger.budget import TRANSITIONS, Budget, after, decide, define, has_room
from veilstream.ledger.chain import GENESIS, canonical, digest
from veilstream.ledger.manifest import TOKEN_BYTES
from veilstream.ledger.projection import refusal_key, show
from veilstream.ledger.state import Attempt, State
from veilstream.ledger.store import attempt_field

__all__ = ["Fold", "Opener", "fold"]


class Opener(Protocol):
    """What needs the ledger's key."""

    def people(self, sealed: bytes) -> bytes:
        """The packed tokens, joined."""
        ...

    def identity(
        self, budget: str, tenant: str, public: dict[str, Any], state: Mapping[str, Any], people: bytes
    ) -> str:
        """The reservation id that such a manifest has."""
        ...


@dataclass(slots=True)
class _Line:
    """One budget's journal so far."""

    state: State | None = None
    hashes: list[str] = field(default_factory=list)


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
        due = len(line.hashes) + 1
        if digest(entry["prev_hash"], entry) != entry["hash"]:
            raise _broken(name, seq, "its hash is not that of its content")
        if seq < due:
            if line.hashes[seq - 1] != entry["hash"]:
                raise _broken(name, seq, "there are two different entries of this number")
            return
        if seq > due:
            raise _broken(name, due, f"it is missing: {seq} follows {due - 1}")
        if entry["prev_hash"] != (line.hashes[-1] if line.hashes else GENESIS):
            raise _broken(name, seq, "it does not follow from the entry before it")
        state = self._apply(line.state, entry, public)
        told = {key: public[key] for key in show(state.budget)}
        if canonical(told) != canonical(show(state.budget)):
            raise _broken(name, seq, "the budget that it shows does not follow from the entries before it")
        state.relayed = seq
        state.entry_head = entry["hash"]
        state.public_head = digest(state.public_head, public)
        line.state = state
        line.hashes.append(entry["hash"])
        self.entries += 1

    def _apply(self, state: State | None, entry: Mapping[str, Any], public: dict[str, Any]) -> State:
        kind, name, seq = public["event"], public["budget"], public["seq"]
        if kind == "created":
            if state is not None:
                raise _broken(name, seq, "the budget is created twice")
            return _created(public, entry)
        if state is None:
            raise _broken(name, seq, "the budget was not created")
        if kind not in _APPLY:
            raise JournalBroken(
                f"entry {seq} of budget {name} is a kind of event that this version does not know: {kind}",
                hint="a newer veilstream wrote it: use that one",
            )
        state.budget = replace(state.budget, seq=seq)
        try:
            _APPLY[kind](state, entry, public, self._opener)
        except _Untrue as untrue:
            raise _broken(name, seq, untrue.what) from None
        except (KeyError, TypeError, ValueError):
            raise _broken(name, seq, "a part that its kind of event must have is not there") from None
        return state


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


def _created(public: dict[str, Any], entry: Mapping[str, Any]) -> State:
    name = public["budget"]
    try:
        budget = define(
            name, public["tenant"], public["epsilon"], public["delta"], public["orders"], public["mode"]
        )
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


def _raised(state: State, entry: Mapping[str, Any], public: dict[str, Any], opener: Opener) -> None:
    if public["epsilon"] <= state.budget.epsilon:
        raise _Untrue("a raise does not raise ε")
    larger = replace(state.budget, epsilon=public["epsilon"], raises=state.budget.raises + 1, exhausted=False)
    state.budget = _with_caps(larger, public["caps"])


def _charged(state: State, entry: Mapping[str, Any], public: dict[str, Any], opener: Opener) -> None:
    budget, charges = state.budget, public["charge"]["charges"]
    if len(charges) != len(budget.orders):
        raise _Untrue("there is not one charge for each order")
    decision = decide(budget, charges)
    if not decision.admitted:
        raise _Untrue("the odometer had no room for the charge")
    try:
        joined = opener.people(base64.b64decode(entry["sealed"], validate=True))
    except EnvelopeInvalid:
        raise _Untrue("the sealed people do not open") from None
    identity = opener.identity(budget.name, budget.tenant, public, entry["state"], joined)
    if identity != entry["reservation"]:
        raise _Untrue("the reservation is not the HMAC of its manifest")
    if identity in state.reservations:
        raise _Untrue("the reservation was charged before")
    window = (public["window"]["start"], public["window"]["end"])
    where = attempt_field(public["model"], window)
    if public["attempt"] != state.attempts.get(where, 0) + 1:
        raise _Untrue("the attempt is not the next one at its window")
    people = [joined[at : at + TOKEN_BYTES] for at in range(0, len(joined), TOKEN_BYTES)]
    admitted = bytearray((len(people) + 7) // 8)
    for position, packed in enumerate(people):
        spent = state.people.get(packed, (0,) * len(charges))
        if has_room(spent, charges, budget.caps):
            state.people[packed] = after(spent, charges)
            admitted[position // 8] |= 0x80 >> position % 8
    if bytes(admitted) != base64.b64decode(entry["admitted"], validate=True):
        raise _Untrue("the people admitted do not follow from what they had spent")
    state.budget = replace(budget, spent=decision.after.spent)
    state.attempts[where] = public["attempt"]
    state.open.add(identity)
    state.reservations[identity] = Attempt(
        state="reserved",
        seq=public["seq"],
        attempt=public["attempt"],
        model=public["model"],
        window=window,
        admitted=bytes(admitted),
        epsilon_spent=public["epsilon_spent"],
    )


def _refused(state: State, entry: Mapping[str, Any], public: dict[str, Any], opener: Opener) -> None:
    if decide(state.budget, public["charge"]["charges"]).admitted:
        raise _Untrue("the odometer had room for the charge that was refused")
    state.refusals[refusal_key(public)] = state.budget.raises


def _exhausted(state: State, entry: Mapping[str, Any], public: dict[str, Any], opener: Opener) -> None:
    if has_room(state.budget.spent, public["charge"]["charges"], state.budget.caps):
        raise _Untrue("the odometer had room when it was called exhausted")
    state.budget = replace(state.budget, exhausted=True)


def _moved(state: State, entry: Mapping[str, Any], public: dict[str, Any], opener: Opener) -> None:
    to, identity = public["event"], entry["reservation"]
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
        state.models[known.model] = entry["state"]["model_state"]


_APPLY: dict[str, Callable[[State, Mapping[str, Any], dict[str, Any], Opener], None]] = {
    "raised": _raised,
    "charged": _charged,
    "refused": _refused,
    "exhausted": _exhausted,
    "started": _moved,
    "committed": _moved,
    "abandoned": _moved,
}
