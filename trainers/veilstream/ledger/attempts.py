"""An attempt's life after its charge: started once, then committed or abandoned; never refunded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from veilstream.errors import ChargeInvalid, RecordInvalid
from veilstream.events.codec import check
from veilstream.events.types import RELEASE
from veilstream.ledger.budget import ABANDON_REASONS, TRANSITIONS, Budget
from veilstream.ledger.helping import Helping
from veilstream.ledger.lease import Lease
from veilstream.ledger.projection import event
from veilstream.ledger.refusals import TRIES, contended, refused, same_model
from veilstream.ledger.store import Keys, members, read_attempt, read_meta, store_errors

__all__ = ["Attempts", "OpenReservation"]


@dataclass(frozen=True, slots=True)
class OpenReservation:
    """A charge whose attempt was neither committed nor abandoned."""

    id: str
    seq: int
    state: str  # "reserved" or "started"
    attempt: int
    model: str
    window: tuple[float, float]
    epsilon_spent: float


class Attempts(Helping, ABC):
    """The part of `Ledger` that moves attempts from state to state."""

    max_entry_bytes: int

    @abstractmethod
    def now(self) -> str:
        """RFC 3339."""

    async def start(self, reservation: str, lease: Lease) -> int:
        """Start an attempt: once, and only when the journal has acknowledged its charge. Returns the seq.

        Raises:
            ChargeInvalid: it has started already (then it must be abandoned, and a new attempt charged), it
                is not acknowledged yet, or the store was rebuilt since, so that nobody knows whether it had.
            BudgetUnknown, Fenced, StoreUnavailable.
        """
        mark = self.random(16).hex()  # tells this call's repetition by the client from a second start
        seq = await self._move(reservation, lease, "started", mark)
        await self.replicated(lease.budget)  # a start that is forgotten would let it be trained twice
        return seq

    async def commit(
        self, reservation: str, lease: Lease, state: Mapping[str, Any], release: Mapping[str, Any]
    ) -> int:
        """Commit an attempt that started: its state, the model's pointer and the release's card, in one
        script. Returns the seq. The same release again changes nothing.

        Args:
            state: what training goes on from: end offsets, source positions, parent … (JSON; comes back from
                `model_state`).
            release: a card of `ai.veilstream.release.v1`; the relay publishes it.

        Raises:
            ChargeInvalid: the attempt is not in state `started`, or the card is not of its budget, tenant and
                model, states less ε than the reservation or another δ, breaks the schema, or is too large.
            BudgetUnknown, Fenced, StoreUnavailable.
        """
        try:
            check(RELEASE, dict(release))
        except RecordInvalid as error:
            raise ChargeInvalid(f"the release's card is wrong: {error.message}") from None
        kept, card = orjson.dumps(dict(state)), orjson.dumps(dict(release))
        if len(kept) + len(card) + 4000 > self.max_entry_bytes:
            raise ChargeInvalid("state and card are too large for one journal entry")
        return await self._move(
            reservation, lease, "committed", str(release["release"]), release=dict(release), model_state=kept
        )

    async def abandon(self, reservation: str, lease: Lease, reason: str) -> int:
        """Give an attempt up; its charge stays. `reason` is one of `ABANDON_REASONS`. Returns the seq.

        Raises:
            ChargeInvalid: another reason, or the attempt is committed.
            BudgetUnknown, Fenced, StoreUnavailable.
        """
        if reason not in ABANDON_REASONS:
            raise ChargeInvalid(f"the reason is public, and one of {', '.join(ABANDON_REASONS)}")
        return await self._move(reservation, lease, "abandoned", "abandoned", reason=reason)

    async def open_reservations(self, budget: str, model: str) -> list[OpenReservation]:
        """Charges of a model whose attempts were neither committed nor abandoned, oldest first."""
        # One that its process left half way is one too: who takes over must see it, however large it was.
        await self.finish_pending(budget)
        keys = Keys(budget)
        found = []
        for identity in await members(self.client, keys.open(model)):
            known = await read_attempt(self.client, keys.reservation(identity))
            if known is not None:
                found.append(
                    OpenReservation(
                        identity,
                        known.seq,
                        known.state,
                        known.attempt,
                        model,
                        known.window,
                        known.epsilon_spent,
                    )
                )
        return sorted(found, key=lambda reservation: reservation.seq)

    async def model_state(self, budget: str, model: str) -> dict[str, Any] | None:
        """What the last commit of a model left; None before the first."""
        with store_errors():
            found = await self.client.hget(Keys(budget).models, model)
        state: dict[str, Any] | None = orjson.loads(found) if found else None
        return state

    async def _move(
        self,
        reservation: str,
        lease: Lease,
        to: str,
        mark: str,
        *,
        release: dict[str, Any] | None = None,
        model_state: bytes = b"",
        reason: str = "",
    ) -> int:
        keys = Keys(lease.budget)
        key = keys.reservation(reservation)
        known = await read_attempt(self.client, key)
        if known is None or known.budget != lease.budget:
            raise ChargeInvalid("there is no such reservation under this budget")
        model = known.model
        same_model(lease, lease.budget, model)
        told: dict[str, Any] = {
            "model": model,
            "window": {"start": known.window[0], "end": known.window[1]},
            "attempt": known.attempt,
        }
        if reason:
            told["reason"] = reason
        inner: dict[str, Any] = {"epoch": lease.epoch}
        if release is not None:
            told["release"] = release["release"]
            inner["model_state"] = orjson.loads(model_state)
        for _ in range(TRIES):
            budget, _meta = await read_meta(self.client, lease.budget)
            if release is not None:
                _true_card(release, budget, model, known.epsilon_spent)
            moved = replace(budget, seq=budget.seq + 1)
            status, answer = await self.write(
                lease.budget,
                "transition",
                [
                    keys.tree,
                    keys.pending,
                    keys.meta,
                    keys.lease(lease.name),
                    key,
                    keys.outbox,
                    keys.open(model),
                    keys.models,
                    keys.attempts,
                ],
                [
                    *lease.proof,
                    budget.seq,
                    ",".join(TRANSITIONS[to]),
                    to,
                    mark,
                    event(moved, moved.seq, to, self.now(), **told),
                    reservation,
                    model,
                    orjson.dumps(inner),
                    orjson.dumps(release) if release is not None else b"",
                    str(release["release"]) if release is not None else "",
                    model_state,
                    lease.budget,
                ],
            )
            if status == "ok":
                return int(answer[0])
            if status != "moved":
                raise _not_moved(status, answer, to, lease.budget)
        raise contended(lease.budget)


def _true_card(release: dict[str, Any], budget: Budget, model: str, epsilon_spent: float) -> None:
    """A card says whose it is, and no less than what was spent when it was paid for."""
    card = release["card"]
    if (release["tenant"], release["model"], card["budget"]) != (budget.tenant, model, budget.name):
        raise ChargeInvalid("the release's card is of another tenant, model or budget")
    if card["epsilon_spent"] < epsilon_spent or card["delta"] != budget.delta:
        raise ChargeInvalid("the release's card states a smaller ε than was spent, or another δ")


def _not_moved(status: str, answer: list[bytes], to: str, budget: str) -> Exception:
    if status == "state":
        state = answer[0].decode()
        if state == to == "started":
            return ChargeInvalid(
                "the attempt has already started", hint="abandon it, and charge a new attempt"
            )
        return ChargeInvalid(f"an attempt that is {state} cannot become {to}")
    if status == "unacknowledged":
        return ChargeInvalid(
            "the journal has not acknowledged the charge yet", hint="wait_acknowledged comes before start"
        )
    if status == "rebuilt":
        return ChargeInvalid(
            "the store was rebuilt since: the attempt may have started before",
            hint="abandon it, and charge a new attempt",
        )
    if status == "superseded":
        return ChargeInvalid(
            "a newer attempt at this window was charged", hint="abandon this one, and go on with the newest"
        )
    if status == "none":
        return ChargeInvalid("there is no such reservation of this model")
    return refused(status, budget)
