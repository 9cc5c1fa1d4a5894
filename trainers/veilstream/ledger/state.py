"""A budget's whole state as a value, read from the store or folded from the journal, and its canonical form.

**Inside the boundary**: it holds the ledger tokens of people and what each has spent.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from veilstream.ledger.budget import Budget
from veilstream.ledger.chain import GENESIS, canonical
from veilstream.ledger.manifest import unpack

__all__ = ["Attempt", "Difference", "State", "bucket_of", "document", "first_difference"]


@dataclass(slots=True)
class Attempt:
    """One reservation."""

    budget: str
    state: str
    seq: int
    attempt: int
    model: str
    window: tuple[float, float]
    admitted: bytes  # bitmap over the people asked for, most significant bit first
    epsilon_spent: float
    release: str | None = None

    @property
    def answer(self) -> tuple[bytes, ...]:
        """What the script answered to the charge."""
        return (
            b"%d" % self.seq, b"%d" % self.attempt, self.admitted, repr(self.epsilon_spent).encode()
        )  # fmt: skip


@dataclass(slots=True)
class State:
    """Everything that the ledger knows of a budget, but leases and what only this store's process needs."""

    budget: Budget
    buckets: int
    people: dict[bytes, tuple[int, ...]] = field(default_factory=dict)  # packed token: units at each order
    reservations: dict[str, Attempt] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)  # attempt_field: charges so far
    open: set[str] = field(default_factory=set)  # reservations that are neither committed nor abandoned
    refusals: dict[str, int] = field(default_factory=dict)  # refusal_key: raises when it was refused
    models: dict[str, dict[str, Any]] = field(default_factory=dict)  # model: state at its last commit
    unsigned: bool = False  # of the first version: its first entries carry no HMAC
    owed: dict[str, bytes] = field(
        default_factory=dict
    )  # charges of budgets below, whose own entry is not there
    relayed: int = 0  # the last seq that the journal has
    entry_head: str = GENESIS
    public_head: str = GENESIS


def bucket_of(packed: bytes, buckets: int) -> int:
    """The hash that holds a person: by the token's first two bytes, as `lua/charge.lua` has it."""
    return int.from_bytes(packed[:2], "big") * buckets // 65536


def document(state: State) -> dict[str, Any]:
    """The canonical dump as a JSON value: two states are the same exactly when their dumps are."""
    people = {unpack(packed): list(units) for packed, units in state.people.items()}
    return {**_without_people(state), "people": people}


def _without_people(state: State) -> dict[str, Any]:
    budget = state.budget
    held: dict[str, Any] = {
        "name": budget.name,
        "tenant": budget.tenant,
        "epsilon": budget.epsilon,
        "created_epsilon": budget.created_epsilon,
        "delta": budget.delta,
        "orders": list(budget.orders),
        "mode": budget.mode,
        "caps": list(budget.caps),
        "spent": list(budget.spent),
        "seq": budget.seq,
        "raises": budget.raises,
        "exhausted": budget.exhausted,
        "buckets": state.buckets,
    }
    # What came later is there only where it says something: a dump of before is a dump of today.
    if budget.frozen:
        held["frozen"] = True
    if budget.refresh_seconds is not None:
        held |= {"refresh_seconds": budget.refresh_seconds, "period": budget.period}
    if budget.corrected:
        held["corrected"] = list(budget.corrected)
    if budget.block_seconds is not None:
        held["block_seconds"] = budget.block_seconds
    return {
        "budget": held,
        "reservations": {
            key: {
                "state": attempt.state,
                "seq": attempt.seq,
                "attempt": attempt.attempt,
                "model": attempt.model,
                "window": list(attempt.window),
                "admitted": base64.b64encode(attempt.admitted).decode("ascii"),
                "epsilon_spent": attempt.epsilon_spent,
                "release": attempt.release,
            }
            for key, attempt in state.reservations.items()
        },
        "attempts": state.attempts,
        "open": sorted(state.open),
        "refusals": state.refusals,
        "models": state.models,
        "relayed": {"seq": state.relayed, "entry": state.entry_head, "public": state.public_head},
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two states part. Never names a person: `people` are told by bucket and count."""

    budget: str
    field: str
    seq: int  # of the store
    detail: str


def first_difference(journal: State, store: State) -> Difference | None:
    """The first field in which the store is not what the journal says; None when they agree."""
    told, held = _without_people(journal), _without_people(store)
    for part in told:
        if canonical(told[part]) == canonical(held[part]):
            continue
        where = part
        if isinstance(told[part], dict):
            keys = sorted({*told[part], *held[part]})
            key = next(k for k in keys if _at(told[part], k) != _at(held[part], k))
            # A name of the model or of the window is public; a reservation's id stays inside, as this does.
            where = f"{part}.{key}"
        return Difference(journal.budget.name, where, store.budget.seq, "the store differs from the journal")
    if journal.people == store.people:
        return None
    wrong = [p for p in {*journal.people, *store.people} if journal.people.get(p) != store.people.get(p)]
    bucket = min(bucket_of(packed, journal.buckets) for packed in wrong)
    count = sum(bucket_of(packed, journal.buckets) == bucket for packed in wrong)
    detail = f"{count} people of bucket {bucket} have spent something else, {len(wrong)} in all"
    return Difference(journal.budget.name, f"people.bucket/{bucket}", store.budget.seq, detail)


def _at(values: dict[str, Any], key: str) -> bytes:
    return canonical([values[key]]) if key in values else b""
