"""Budgets: creating, raising, correcting, freezing, refreshing and listing them.

Each is one script and one event. All but refreshing, which the calendar does, take the operator's key.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from veilstream.contracts import KeyProvider, RootKey
from veilstream.errors import AccountingError, BudgetExists, ChargeInvalid, KeyMissing
from veilstream.ledger.authority import authority
from veilstream.ledger.budget import (
    MAX_BUCKETS,
    Budget,
    ancestors,
    check_child,
    corrected,
    define,
    frozen,
    parent_of,
    raised,
    refreshed,
)
from veilstream.ledger.chain import GENESIS
from veilstream.ledger.helping import Helping
from veilstream.ledger.projection import event, show
from veilstream.ledger.refusals import TRIES, contended, refused
from veilstream.ledger.store import (
    BUDGETS,
    LAYOUT,
    Keys,
    members,
    meta_of,
    read_meta,
    read_path,
    refuse_old_layout,
    store_errors,
)
from veilstream.telemetry.logs import emit

__all__ = ["Budgets"]

_AMENDED = (
    "epsilon", "caps", "spent", "raises", "exhausted", "frozen", "period", "corrected",
)  # fmt: skip


class Budgets(Helping, ABC):
    """The part of `Ledger` that deals in budgets."""

    provider: KeyProvider | None
    operator: RootKey | None
    by: str

    @abstractmethod
    def now(self) -> str:
        """RFC 3339."""

    @abstractmethod
    def unix(self) -> float:
        """Unix seconds."""

    async def create_budget(
        self,
        name: str,
        tenant: str,
        epsilon: float,
        delta: float,
        orders: Sequence[float],
        mode: str = "odometer",
        *,
        buckets: int = 8192,
        refresh_seconds: float | None = None,
        block_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Create a budget; the same again changes nothing. Returns its public state.

        A name with `/` stands under the budget before the last `/`, which must be there: it has the same
        tenant, δ and orders, and at most its ε.

        Args:
            buckets: hashes that hold its people, 1 to 65,536: some 100 people in each use the least memory.
            refresh_seconds: length of a period, after which nothing counts as spent. The guarantee is then
                one for each period, and k periods cost k times.
            block_seconds: the unit is a record and not a person; see `allocation.blocks`.

        Raises:
            AccountingError: a parameter outside its domain, or not possible under the parent.
            BudgetExists: the name is taken by a budget that was created with other parameters.
            BudgetUnknown: the parent.
            KeyMissing: there is no operator's key.
        """
        budget = define(
            name, tenant, epsilon, delta, orders, mode,
            refresh_seconds=refresh_seconds, block_seconds=block_seconds,
        )  # fmt: skip
        budget = replace(budget, seq=1, period=budget.due_period(self.unix()))
        if type(buckets) is not int or not 1 <= buckets <= MAX_BUCKETS:
            raise ChargeInvalid(f"buckets is an integer from 1 to {MAX_BUCKETS}")
        keys = Keys(name)
        over = parent_of(name)
        if over is not None:
            check_child(budget, (await read_meta(self.client, over))[0])
        await refuse_old_layout(self.client, name)
        meta = meta_of(budget, buckets)
        meta |= {"acked": "0", "rebuilt": "0", "entry_head": GENESIS, "public_head": GENESIS}
        created = event(budget, 1, "created", self.now())
        with store_errors():
            await self.client.sadd(BUDGETS, name)
        status, _ = await self.write(
            name,
            "create",
            [keys.tree, keys.pending, keys.meta, keys.outbox, *([Keys(over).meta] if over else [])],
            [
                name,
                created,
                orjson.dumps({"buckets": buckets, "layout": int(LAYOUT)}),
                self._authority(created),
                *(part for pair in meta.items() for part in pair),
            ],
        )
        if status == "ok":
            emit("budget_created", budget=name, epsilon=budget.epsilon, delta=budget.delta)
            return show(budget)
        if status == "unknown":
            raise refused(status, over or name)
        there, _ = await read_meta(self.client, name)
        if _parameters(there) != _parameters(budget):
            raise BudgetExists(
                f"budget {name} exists with other parameters",
                hint="take another name, or `veilstream budget raise` for a larger ε",
            )
        return show(there)

    async def raise_budget(self, name: str, epsilon: float) -> dict[str, Any]:
        """Raise a budget's ε, upwards only: with new caps. Returns its public state.

        The same ε again changes nothing.

        Raises:
            AccountingError: ε outside its domain, smaller than now, or above the parent's.
            BudgetUnknown, KeyMissing, StoreUnavailable.
        """
        over = parent_of(name)
        if over is not None:
            above = (await read_meta(self.client, over))[0]
            if epsilon > above.epsilon:
                raise AccountingError(
                    f"ε is at most the parent's, {above.epsilon:g}", hint=f"raise {over} first"
                )

        def change(budget: Budget) -> Budget | None:
            return None if epsilon == budget.epsilon else raised(budget, epsilon)

        shown = await self._amend(name, "raised", change)
        emit("budget_raised", budget=name, epsilon=shown["epsilon"])
        return shown

    async def correct_budget(self, name: str, charges: Sequence[int]) -> dict[str, Any]:
        """Enter privacy loss outside of the ledger: `charges` units at each order, for everyone.

        It counts as spent by every person, so it is in the odometer and taken off everybody's cap, here and
        in every budget above, the root's first. Undone by nothing but the end of a period. The same again
        counts again: where an answer is lost, more is counted as spent than was, never less. Returns the
        budget's public state.

        Raises:
            AccountingError: not one charge for each order.
            BudgetUnknown, KeyMissing, StoreUnavailable.
        """
        shown: dict[str, Any] = {}
        for over in reversed(ancestors(name)):
            shown = await self._amend(over, "corrected", lambda budget: corrected(budget, charges))
            emit("budget_corrected", budget=over)
        return shown

    async def freeze_budget(self, name: str, on: bool = True) -> dict[str, Any]:
        """Freeze a budget, or unfreeze it: nothing is charged to it, nor to those below, while it is frozen.

        What was paid for before may still be trained and released. The same again changes nothing. Returns
        its public state.

        Raises:
            BudgetUnknown, KeyMissing, StoreUnavailable.
        """

        def change(budget: Budget) -> Budget | None:
            return None if budget.frozen is on else frozen(budget, on)

        shown = await self._amend(name, "frozen" if on else "unfrozen", change)
        emit("budget_frozen", budget=name, frozen=on)
        return shown

    async def refresh_budget(self, name: str) -> bool:
        """Begin the budget's period, if it is due by this clock and by the store's. Whether it was.

        What the people of earlier periods had spent is then taken out of the store.

        Raises:
            BudgetUnknown, StoreUnavailable.
        """
        before = (await read_meta(self.client, name))[0]
        period = before.due_period(self.unix())
        if period <= before.period:
            return False

        def change(budget: Budget) -> Budget | None:
            return refreshed(budget, period) if period > budget.period else None

        shown = await self._amend(name, "refreshed", change, period=period)
        if shown["period"] != period:
            return False  # the store's clock is behind: soon
        emit("budget_refreshed", budget=name, period=period)
        await self._forget(name, before.period)
        return True

    async def refresh_due(self) -> list[str]:
        """Begin every period that is due; the budgets that had one."""
        names = await self.budgets()
        return [name for name in names if await self.refresh_budget(name)]

    async def budgets(self, root: str | None = None) -> list[str]:
        """Names of the budgets that there are, of one tree or of all, sorted."""
        names = sorted(await members(self.client, BUDGETS))
        if root is not None:
            names = [name for name in names if name == root or name.startswith(f"{root}/")]
        with store_errors():
            return [name for name in names if await self.client.exists(Keys(name).meta)]

    async def budget(self, name: str) -> Budget:
        """A budget's public state as a value. Raises BudgetUnknown."""
        return (await read_meta(self.client, name))[0]

    async def path(self, name: str) -> list[Budget]:
        """A budget and all above it: itself first, its root last. Raises BudgetUnknown."""
        return [budget for budget, _ in await read_path(self.client, ancestors(name))]

    async def show(self, name: str) -> dict[str, Any]:
        """A budget's public state, and up to which entry the journal has acknowledged. BudgetUnknown."""
        budget, meta = await read_meta(self.client, name)
        return {**show(budget), "exhausted": budget.exhausted, "acknowledged": int(meta["acked"])}

    def _authority(self, told: bytes) -> bytes:
        root = self.operator
        if root is None and self.provider is not None:
            root = self.provider.operator()
        if root is None:
            raise KeyMissing(
                "there is no operator's key here",
                hint="only who holds it changes budgets: `veilstream keys create`, on the officer's machine",
            )
        return orjson.dumps(authority(root, self.by, orjson.loads(told)))

    async def _amend(
        self, name: str, kind: str, change: Callable[[Budget], Budget | None], *, period: int | None = None
    ) -> dict[str, Any]:
        """Change a budget by one event; what it is then. `change` gives None for no change."""
        keys = Keys(name)
        for _ in range(TRIES):
            budget, meta = await read_meta(self.client, name)
            changed = change(budget)
            if changed is None:
                return show(budget)
            changed = replace(changed, seq=budget.seq + 1)
            told = event(changed, changed.seq, kind, self.now())
            fields = meta_of(changed, int(meta["buckets"]))
            status, _ = await self.write(
                name,
                "amend",
                [keys.tree, keys.pending, keys.meta, keys.outbox],
                [
                    name,
                    budget.seq,
                    told,
                    "",
                    b"" if period is not None else self._authority(told),
                    "" if period is None else period,
                    *(part for field in _AMENDED for part in (field, fields[field])),
                ],
            )
            if status == "ok":
                return show(changed)
            if status == "early":
                return show(budget)
            if status != "moved":
                raise refused(status, name)
        raise contended(name)

    async def _forget(self, name: str, period: int) -> None:
        """Take a period's people out of the store."""
        buckets = int((await read_meta(self.client, name))[1]["buckets"])
        prefix = Keys(name).people(period)
        with store_errors():
            for first in range(0, buckets, 512):
                last = min(first + 512, buckets)
                await self.client.unlink(*(f"{prefix}{bucket}" for bucket in range(first, last)))


def _parameters(budget: Budget) -> tuple[object, ...]:
    """What a budget was created with."""
    return (
        budget.tenant, budget.created_epsilon, budget.delta, budget.orders, budget.mode,
        budget.refresh_seconds, budget.block_seconds,
    )  # fmt: skip
