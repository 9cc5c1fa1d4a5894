"""What a budget is, and whether something may be charged to it. Pure: values in, values out.

The same rules stand once more in `lua/charge.lua`, which is what decides; the two must agree, or nothing is
changed.

**A tree.** A budget's name is a path of one to three names, `tenant/purpose/model`. Its root fixes tenant, δ
and the orders; every budget has an ε of its own, at most its parent's. A charge is charged to the budget and
to all above it, and each of them has its filters and its odometer, so the guarantee of each holds by itself.
The children of one parent may promise more together than it has: the parent's filter bounds their sum.

**The filter** (`has_room`). A charge is admitted when for *some* order α of the budget's set G the sum so far
and the charge stay within the cap of α, which is ε converted at δ/|G| (`accounting.caps`).

**The odometer** is the filter of a hypothetical person present in every window: it bounds everyone. In mode
`odometer` a charge that it has no room for is refused. In mode `individual` charging goes on, for the people
who have room, and nothing that is seen outside tells whether there are any.

**A period.** A budget with `refresh_seconds` counts nothing of earlier periods: (ε, δ) holds for each period,
and over k periods it is (kε, kδ). Below a parent for a lifetime, the parent's guarantee stays whole.

**A correction** is privacy loss outside of the ledger that an operator enters: everyone counts as having
spent it. It is in the odometer, and taken off everybody's cap.

**Exhausted** is said once: when, after a charge, the odometer has no room for *the same charge again*. A
raise makes it possible again. (A charge that is refused tells of itself, not of the budget: cheaper ones may
fit.) It depends on public parameters alone, and so do the shares (`THRESHOLDS`) of which the ledger says that
a charge has reached them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from veilstream.accounting import INFINITE, add, caps, odometer_epsilon
from veilstream.accounting.conversion import check_budget
from veilstream.accounting.rdp import check_order
from veilstream.errors import AccountingError

__all__ = [
    "ABANDON_REASONS",
    "BUDGET_NAME",
    "MAX_ORDERS",
    "PERSON_MOST",
    "THRESHOLDS",
    "TRANSITIONS",
    "Budget",
    "Decision",
    "Mode",
    "Step",
    "after",
    "after_person",
    "ancestors",
    "check_child",
    "corrected",
    "decide",
    "define",
    "fits",
    "frozen",
    "has_room",
    "limits",
    "parent_of",
    "raised",
    "refreshed",
    "root_of",
]

Mode = Literal["odometer", "individual"]

MAX_ORDERS = 8
MAX_BUCKETS = 65536
BUDGET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}(/[a-z0-9][a-z0-9._-]{0,127}){0,2}")
TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

TRANSITIONS: dict[str, tuple[str, ...]] = {
    # an attempt's state: the states that it may come from
    "started": ("reserved",),
    "committed": ("started",),
    "abandoned": ("reserved", "started"),
}

THRESHOLDS = (0.5, 0.8, 0.95, 1.0)
"""Shares of a budget that are told of by an event when a charge reaches them."""

MIN_PERIOD_SECONDS = 1.0

PERSON_MOST = 2**40 - 1
"""From here on (1,099 nats) a person's sum at one of several orders counts as infinite."""

ABANDON_REASONS = ("crashed", "failed", "fenced", "operator", "restarted", "stopped")
"""Why an attempt was given up, as the outside sees it: a closed list, so that no private value slips out."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget and its public odometer. Everything here is public."""

    name: str
    tenant: str
    epsilon: float
    delta: float
    orders: tuple[int, ...]
    mode: Mode
    caps: tuple[int, ...]  # units (1e-9 nats) at each order
    spent: tuple[int, ...]  # units at each order
    created_epsilon: float
    seq: int = 0  # of its last event
    raises: int = 0  # how often its room has become another: by raises, refreshes, corrections, unfreezing
    exhausted: bool = False
    frozen: bool = False
    refresh_seconds: float | None = None  # None: for a lifetime
    period: int = 0  # whole multiples of refresh_seconds since 1970
    corrected: tuple[int, ...] = ()  # units at each order that everyone counts as having spent
    block_seconds: float | None = None  # the unit is a record: a window charges the blocks of time it touches

    @property
    def parent(self) -> str | None:
        return parent_of(self.name)

    @property
    def limits(self) -> tuple[int, ...]:
        """What a person's own charges may reach, at each order."""
        return limits(self.caps, self.corrected)

    def due_period(self, unix_seconds: float) -> int:
        """The period that a time lies in; the present one for a budget that is never refreshed."""
        if self.refresh_seconds is None:
            return self.period
        return math.floor(unix_seconds / self.refresh_seconds)

    @property
    def epsilon_spent(self) -> float:
        """ε of the public odometer at δ; +∞ where no order can be computed any more."""
        return odometer_epsilon(self.spent, self.orders, self.delta)

    @property
    def fraction(self) -> float:
        """Share of the budget spent: the least over orders of spent/cap (orders with a cap above 0)."""
        return min(s / c for s, c in zip(self.spent, self.caps, strict=True) if c > 0)


@dataclass(frozen=True, slots=True)
class Step:
    """What a charge does to one budget of the path."""

    after: Budget  # as it was, where the charge was refused
    threshold: float | None = None  # the largest share that this charge has reached
    exhausts: bool = False  # an `exhausted` event goes with it


@dataclass(frozen=True, slots=True)
class Decision:
    """What a charge does: a step for each budget of the path, the charged one first, the root last."""

    admitted: bool
    steps: tuple[Step, ...]
    at: str | None = None  # refused: the budget that has no room, or is frozen
    reason: Literal["no_room", "frozen"] | None = None


def root_of(name: str) -> str:
    return name.partition("/")[0]


def parent_of(name: str) -> str | None:
    return name.rpartition("/")[0] or None


def ancestors(name: str) -> tuple[str, ...]:
    """The path of a budget: itself first, its root last."""
    parts = name.split("/")
    return tuple("/".join(parts[:length]) for length in range(len(parts), 0, -1))


def define(
    name: str,
    tenant: str,
    epsilon: float,
    delta: float,
    orders: Sequence[float],
    mode: str,
    *,
    refresh_seconds: float | None = None,
    period: int = 0,
    block_seconds: float | None = None,
) -> Budget:
    """A new budget with nothing spent.

    Raises:
        AccountingError: ε or δ outside its domain, no order or more than 8, an order twice or not an integer
            from 2 up, or an ε that no order of the set can promise at this δ; a name, tenant, mode or period
            that cannot be.
    """
    if not BUDGET_NAME.fullmatch(name):
        raise AccountingError(
            "a budget's name is one to three names joined by /, each up to 128 of a-z 0-9 . _ -, the first a "
            "letter or digit"
        )
    if not TENANT_NAME.fullmatch(tenant):
        raise AccountingError("a tenant is up to 63 of a-z 0-9 -, the first a letter or digit")
    if mode not in get_args(Mode):
        raise AccountingError(f"a budget's mode is one of {', '.join(get_args(Mode))}")
    for what, seconds in (("period", refresh_seconds), ("block", block_seconds)):
        if seconds is not None and not MIN_PERIOD_SECONDS <= seconds < math.inf:
            raise AccountingError(f"a {what} is a finite number of seconds, {MIN_PERIOD_SECONDS:g} or more")
    check_budget(epsilon, delta)
    if epsilon == 0.0:
        raise AccountingError("a budget of ε 0 admits nothing")
    chosen = tuple(sorted(_order(order) for order in orders))
    if not 1 <= len(chosen) <= MAX_ORDERS or len(set(chosen)) != len(chosen):
        raise AccountingError(f"a budget has 1 to {MAX_ORDERS} different orders")
    epsilon, delta = float(epsilon), float(delta)
    return Budget(
        name=name,
        tenant=tenant,
        epsilon=epsilon,
        delta=delta,
        orders=chosen,
        mode="odometer" if mode == "odometer" else "individual",
        caps=_usable_caps(epsilon, delta, chosen),
        spent=(0,) * len(chosen),
        created_epsilon=epsilon,
        refresh_seconds=float(refresh_seconds) if refresh_seconds is not None else None,
        period=period,
        block_seconds=float(block_seconds) if block_seconds is not None else None,
    )


def check_child(child: Budget, parent: Budget) -> None:
    """Raises AccountingError where a budget cannot stand under its parent."""
    if (child.tenant, child.delta, child.orders) != (parent.tenant, parent.delta, parent.orders):
        raise AccountingError("a budget has its parent's tenant, δ and orders")
    if child.epsilon > parent.epsilon:
        raise AccountingError(
            f"ε is at most the parent's, {parent.epsilon:g}", hint=f"raise {parent.name} first"
        )
    if child.block_seconds != parent.block_seconds:
        raise AccountingError("a budget has its parent's unit, and its blocks")


def raised(budget: Budget, epsilon: float) -> Budget:
    """The budget with a larger ε. Raises AccountingError where it is not larger."""
    check_budget(epsilon, budget.delta)
    if epsilon <= budget.epsilon:
        raise AccountingError(
            f"ε is {budget.epsilon:g}: it can only be raised", hint="make another budget for a smaller one"
        )
    return replace(
        budget,
        epsilon=float(epsilon),
        caps=_usable_caps(epsilon, budget.delta, budget.orders),
        raises=budget.raises + 1,
        exhausted=False,
    )


def refreshed(budget: Budget, period: int) -> Budget:
    """The budget when a period begins: nothing spent. Raises AccountingError unless it is a later one."""
    if budget.refresh_seconds is None or period <= budget.period:
        raise AccountingError("a budget is refreshed when a later period has begun")
    return replace(
        budget,
        period=period,
        spent=(0,) * len(budget.orders),
        corrected=(),
        raises=budget.raises + 1,
        exhausted=False,
    )


def corrected(budget: Budget, charges: Sequence[int]) -> Budget:
    """The budget after a loss outside of the ledger: units at each order, counted for everyone.

    Raises AccountingError where the charges are not one for each order, each from 0 up, one of them above 0.
    """
    if len(charges) != len(budget.orders):
        raise AccountingError(f"{len(charges)} charges for a budget with {len(budget.orders)} orders")
    if any(type(units) is not int or not 0 <= units <= INFINITE for units in charges) or not any(charges):
        raise AccountingError(f"a charge is an integer from 0 to {INFINITE}, one of them above 0")
    return replace(
        budget,
        spent=after(budget.spent, charges),
        corrected=after(budget.corrected or (0,) * len(charges), charges),
        raises=budget.raises + 1,
    )


def frozen(budget: Budget, on: bool) -> Budget:
    """The budget frozen, or no longer so."""
    return replace(budget, frozen=on, raises=budget.raises + (0 if on else 1))


def limits(caps_: Sequence[int], corrected_: Sequence[int]) -> tuple[int, ...]:
    """Caps less what everyone counts as having spent; may be negative, and then nothing fits."""
    if not corrected_:
        return tuple(caps_)
    return tuple(cap - loss for cap, loss in zip(caps_, corrected_, strict=True))


def after(spent: Sequence[int], charges: Sequence[int]) -> tuple[int, ...]:
    """What is spent after a charge; saturates at `INFINITE`."""
    return tuple(add(have, charge) for have, charge in zip(spent, charges, strict=True))


def after_person(spent: Sequence[int], charges: Sequence[int]) -> tuple[int, ...]:
    """What a person has spent after a charge; with several orders, infinite from `PERSON_MOST` on."""
    total = after(spent, charges)
    return total if len(total) == 1 else tuple(INFINITE if t >= PERSON_MOST else t for t in total)


def has_room(spent: Sequence[int], charges: Sequence[int], limits: Sequence[int]) -> bool:
    """The filter, for a person or for the odometer: some order stays within its cap.

    Caps are below `INFINITE`, so a sum that saturated never fits.
    """
    return fits(after(spent, charges), limits)


def fits(total: Sequence[int], limits: Sequence[int]) -> bool:
    """Whether some order is within its limit."""
    return any(units <= limit for units, limit in zip(total, limits, strict=True))


def decide(path: Sequence[Budget], charges: Sequence[int]) -> Decision:
    """Whether the budgets of a path, the charged one first and the root last, admit a charge, and what then.

    Refused at the first budget (from the charged one up) that is frozen, or that is in mode `odometer` and
    whose odometer has no room.
    """
    for budget in path:
        if budget.frozen:
            return Decision(False, tuple(Step(b) for b in path), budget.name, "frozen")
        if budget.mode == "odometer" and not has_room(budget.spent, charges, budget.caps):
            return Decision(False, tuple(Step(b) for b in path), budget.name, "no_room")
    return Decision(True, tuple(_charged(budget, charges) for budget in path))


def _charged(budget: Budget, charges: Sequence[int]) -> Step:
    charged = replace(budget, spent=after(budget.spent, charges))
    full = not has_room(charged.spent, charges, budget.caps)
    reached = [share for share in THRESHOLDS if budget.fraction < share <= charged.fraction]
    return Step(charged, max(reached, default=None), full and not budget.exhausted)


def _order(order: float) -> int:
    if isinstance(order, bool) or order != order or order in (float("inf"), float("-inf")):
        raise AccountingError("a Rényi order is an integer from 2 up")
    if int(order) != order:
        raise AccountingError("a Rényi order is an integer from 2 up")
    check_order(int(order))
    return int(order)


def _usable_caps(epsilon: float, delta: float, orders: tuple[int, ...]) -> tuple[int, ...]:
    limits = caps(epsilon, delta, orders)
    if max(limits) <= 0:
        raise AccountingError(
            "no order of this budget can promise this ε at this δ",
            hint="raise ε or δ, take larger orders, or let `veilstream train --dry-run` choose",
        )
    return limits
