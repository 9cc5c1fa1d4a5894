"""What each kind of event does to a budget's state, and what must hold for it. Pure; `fold` calls it.

`Untrue` says what does not hold; which entry it is, `fold` knows.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from veilstream.accounting import INFINITE, caps
from veilstream.errors import AccountingError, EnvelopeInvalid, VeilstreamError
from veilstream.ledger.budget import (
    TRANSITIONS,
    Budget,
    after,
    after_person,
    ancestors,
    check_child,
    decide,
    define,
    fits,
    frozen,
    has_room,
    refreshed,
)
from veilstream.ledger.chain import canonical
from veilstream.ledger.manifest import TOKEN_BYTES
from veilstream.ledger.projection import refusal_key
from veilstream.ledger.state import Attempt, State
from veilstream.ledger.store import attempt_field

__all__ = ["APPLY", "Given", "Opener", "Untrue", "admit", "created"]


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

    def signed(self, entry: Mapping[str, Any]) -> bool:
        """Whether who wrote the entry held the ledger's key."""
        ...

    def authorised(self, told: Mapping[str, Any], public: Mapping[str, Any]) -> bool:
        """Whether who says so held the operator's key."""
        ...


class Untrue(Exception):
    """What does not hold; never leaves the fold."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Given:
    """An entry, with what it is applied to."""

    state: State
    above: list[State]  # the budgets above, the parent's first
    entry: Mapping[str, Any]
    public: dict[str, Any]
    opener: Opener
    sealed: list[str]  # base64


def created(public: dict[str, Any], entry: Mapping[str, Any], parent: State | None) -> State:
    name = public["budget"]
    if "/" in name and parent is None:
        raise Untrue("there is no budget above it")
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
    except (VeilstreamError, KeyError, TypeError, ValueError):
        raise Untrue("no budget can have these parameters") from None
    return State(budget=budget, buckets=buckets)


def _with_caps(budget: Budget, told: list[int]) -> Budget:
    """The caps that were in force, which a later version or machine may round otherwise by a unit or two."""
    due = caps(budget.epsilon, budget.delta, budget.orders)
    if len(told) != len(due) or any(abs(a - b) > 2 for a, b in zip(told, due, strict=True)):
        raise Untrue("the caps do not follow from ε and δ")
    return replace(budget, caps=tuple(told))


def _raised(given: Given) -> None:
    state, public = given.state, given.public
    if public["epsilon"] <= state.budget.epsilon:
        raise Untrue("a raise does not raise ε")
    if given.above and public["epsilon"] > given.above[0].budget.epsilon:
        raise Untrue("ε is above the parent's")
    larger = replace(state.budget, epsilon=public["epsilon"], raises=state.budget.raises + 1, exhausted=False)
    state.budget = _with_caps(larger, public["caps"])


def _corrected(given: Given) -> None:
    before = given.state.budget
    told, had = given.public["corrected"], before.corrected or (0,) * len(before.orders)
    losses = [now - then for now, then in zip(told, had, strict=True)]
    # What is infinite already stays so, whatever is added to it.
    if min(losses) < 0 or not (any(losses) or INFINITE in told):
        raise Untrue("a correction does not add to what was spent")
    given.state.budget = replace(
        before, spent=after(before.spent, losses), corrected=tuple(told), raises=before.raises + 1
    )


def _frozen(given: Given) -> None:
    on = given.public["event"] == "frozen"
    if given.state.budget.frozen is on:
        raise Untrue("the budget was so before")
    given.state.budget = frozen(given.state.budget, on)


def _refreshed(given: Given) -> None:
    state = given.state
    try:
        state.budget = refreshed(state.budget, given.public["period"])
    except AccountingError:
        raise Untrue("no later period of the budget had begun") from None
    state.people = {}


def _charged(given: Given) -> None:
    if "by" in given.public:
        _charged_below(given)
        return
    state, public, entry = given.state, given.public, given.entry
    path = [state, *given.above]
    budget, charges = state.budget, public["charge"]["charges"]
    if len(charges) != len(budget.orders):
        raise Untrue("there is not one charge for each order")
    identity = entry["reservation"]
    for over in given.above:
        if over.owed.pop(identity, None) != canonical([budget.name, public["charge"]]):
            raise Untrue(f"the charge does not stand at the budget above, {over.budget.name}")
    step = decide([budget], charges)
    if not step.admitted:
        raise Untrue("the odometer had no room for the charge, or the budget was frozen")
    try:
        joined = b"".join(given.opener.people(base64.b64decode(part, validate=True)) for part in given.sealed)
    except EnvelopeInvalid:
        raise Untrue("the sealed people do not open") from None
    if given.opener.identity(budget.name, budget.tenant, public, entry["state"], joined) != identity:
        raise Untrue("the reservation is not the HMAC of its manifest")
    if identity in state.reservations:
        raise Untrue("the reservation was charged before")
    window = (public["window"]["start"], public["window"]["end"])
    where = attempt_field(public["model"], window)
    if public["attempt"] != state.attempts.get(where, 0) + 1:
        raise Untrue("the attempt is not the next one at its window")
    admitted = admit(path, joined, charges)
    if admitted != base64.b64decode(entry["admitted"], validate=True):
        raise Untrue("the people admitted do not follow from what they had spent")
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
    levels = [(state.people, state.budget.limits) for state in path]
    one, charge, (people, limits) = len(charges) == len(levels) == 1, charges[0], levels[0]
    for position in range(count):
        packed = joined[position * TOKEN_BYTES : (position + 1) * TOKEN_BYTES]
        if one:  # what most journals consist of, and ten times faster than the general case
            total = people.get(packed, nothing)[0] + charge
            if total > limits[0]:
                continue
            people[packed] = (total,)
        else:
            totals = [after_person(held.get(packed, nothing), charges) for held, _ in levels]
            if not all(fits(total, limit) for total, (_, limit) in zip(totals, levels, strict=True)):
                continue
            for (held, _), total_ in zip(levels, totals, strict=True):
                held[packed] = total_
        admitted[position // 8] |= 0x80 >> position % 8
    return bytes(admitted)


def _charged_below(given: Given) -> None:
    """A charge to a budget below: the odometer pays now, the people when the charge's own entry comes."""
    state, public = given.state, given.public
    if state.budget.name not in ancestors(public["by"])[1:]:
        raise Untrue("the budget that was charged is not below it")
    step = decide([state.budget], public["charge"]["charges"])
    if not step.admitted:
        raise Untrue("the odometer had no room for the charge, or the budget was frozen")
    state.budget = step.steps[0].after
    state.owed[given.entry["reservation"]] = canonical([public["by"], public["charge"]])


def _refused(given: Given) -> None:
    path = [given.state.budget, *(state.budget for state in given.above)]
    if decide(path, given.public["charge"]["charges"]).admitted:
        raise Untrue("there was room for the charge that was refused")
    given.state.refusals[refusal_key(given.public)] = sum(budget.raises for budget in path)


def _threshold(given: Given) -> None:
    if given.state.budget.fraction < given.public["threshold"]:
        raise Untrue("the share of the budget had not been reached")


def _exhausted(given: Given) -> None:
    budget = given.state.budget
    if has_room(budget.spent, given.public["charge"]["charges"], budget.caps):
        raise Untrue("the odometer had room when it was called exhausted")
    given.state.budget = replace(budget, exhausted=True)


def _moved(given: Given) -> None:
    state, public, identity = given.state, given.public, given.entry["reservation"]
    to = public["event"]
    known = state.reservations.get(identity)
    if known is None or known.state not in TRANSITIONS[to]:
        raise Untrue(f"no attempt could become {to} there")
    window = (public["window"]["start"], public["window"]["end"])
    if (public["model"], window, public["attempt"]) != (known.model, known.window, known.attempt):
        raise Untrue("the attempt is not the one that was charged")
    known.state = to
    if to != "started":
        state.open.discard(identity)
    if to == "committed":
        known.release = public["release"]
        state.models[known.model] = given.entry["state"]["model_state"]


APPLY: dict[str, Callable[[Given], None]] = {
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
