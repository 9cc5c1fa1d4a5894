"""What a budget is, and whether something may be charged to it. Pure: values in, values out.

The same rules stand once more in `lua/charge.lua`, which is what decides; the two must agree, or nothing is
changed.

**The filter** (`has_room`). A charge is admitted when for *some* order α of the budget's set G the sum so far
and the charge stay within the cap of α, which is ε converted at δ/|G| (`accounting.caps`).

**The odometer** is the filter of a hypothetical person present in every window: it bounds everyone. In mode
`odometer` a charge that it has no room for is refused. In mode `individual` charging goes on, for the people
who have room, and nothing that is seen outside tells whether there are any.

**Exhausted** is said once: when, after a charge, the odometer has no room for *the same charge again*, or
when a charge is refused. A raise makes it possible again. It depends on public parameters alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from veilstream.accounting import add, caps, odometer_epsilon
from veilstream.accounting.conversion import check_budget
from veilstream.accounting.rdp import check_order
from veilstream.errors import AccountingError

__all__ = [
    "ABANDON_REASONS",
    "BUDGET_NAME",
    "MAX_ORDERS",
    "TRANSITIONS",
    "Budget",
    "Decision",
    "Mode",
    "after",
    "decide",
    "define",
    "has_room",
    "raised",
]

Mode = Literal["odometer", "individual"]

MAX_ORDERS = 8
MAX_BUCKETS = 65536
BUDGET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

TRANSITIONS: dict[str, tuple[str, ...]] = {
    # an attempt's state: the states that it may come from
    "started": ("reserved",),
    "committed": ("started",),
    "abandoned": ("reserved", "started"),
}

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
    raises: int = 0
    exhausted: bool = False

    @property
    def epsilon_spent(self) -> float:
        """ε of the public odometer at δ; +∞ where no order can be computed any more."""
        return odometer_epsilon(self.spent, self.orders, self.delta)

    @property
    def fraction(self) -> float:
        """Share of the budget spent: the least over orders of spent/cap (orders with a cap above 0)."""
        return min(s / c for s, c in zip(self.spent, self.caps, strict=True) if c > 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a charge does to a budget: `after` has the new odometer (the old one where it was refused)."""

    admitted: bool
    after: Budget
    exhausts: bool  # an `exhausted` event goes with it


def define(
    name: str, tenant: str, epsilon: float, delta: float, orders: Sequence[float], mode: str
) -> Budget:
    """A new budget with nothing spent.

    Raises:
        AccountingError: ε or δ outside its domain, no order or more than 8, an order twice or not an integer
            from 2 up, or an ε that no order of the set can promise at this δ; a name, tenant or mode that
            cannot be.
    """
    if not BUDGET_NAME.fullmatch(name):
        raise AccountingError("a budget's name is up to 128 of a-z 0-9 . _ -, the first a letter or digit")
    if not TENANT_NAME.fullmatch(tenant):
        raise AccountingError("a tenant is up to 63 of a-z 0-9 -, the first a letter or digit")
    if mode not in get_args(Mode):
        raise AccountingError(f"a budget's mode is one of {', '.join(get_args(Mode))}")
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
    )


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


def after(spent: Sequence[int], charges: Sequence[int]) -> tuple[int, ...]:
    """What is spent after a charge; saturates at `INFINITE`."""
    return tuple(add(have, charge) for have, charge in zip(spent, charges, strict=True))


def has_room(spent: Sequence[int], charges: Sequence[int], limits: Sequence[int]) -> bool:
    """The filter, for a person or for the odometer: some order stays within its cap.

    Caps are below `INFINITE`, so a sum that saturated never fits.
    """
    return any(total <= limit for total, limit in zip(after(spent, charges), limits, strict=True))


def decide(budget: Budget, charges: Sequence[int]) -> Decision:
    """Whether the odometer admits a charge, what it shows then, and whether it is then exhausted."""
    if budget.mode == "odometer" and not has_room(budget.spent, charges, budget.caps):
        return Decision(False, budget, not budget.exhausted)
    charged = replace(budget, spent=after(budget.spent, charges))
    full = not has_room(charged.spent, charges, budget.caps)
    return Decision(True, charged, full and not budget.exhausted)


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
