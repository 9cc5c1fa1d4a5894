"""What training would cost: said before anything is spent, from public parameters alone. Loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from veilstream.accounting import cost
from veilstream.settings import Settings

if TYPE_CHECKING:
    from veilstream.ledger import Ledger

__all__ = ["dry_run"]

_SHOWN = 10


async def dry_run(settings: Settings, ledger: Ledger) -> dict[str, Any]:
    """The cost of the next windows under the worker's settings and its budget as it stands.

    `epsilon_after` is the public odometer after each of the next windows, ten at most.

    Raises:
        BudgetUnknown: create the budget first.
        AccountingError: a parameter is outside its domain.
    """
    worker = settings.worker
    path = await ledger.path(worker.budget)
    budget = path[0]
    window = (worker.sampling_rate, worker.noise_multiplier, worker.steps)
    prices = [cost(b.epsilon, b.delta, b.orders, *window, spent=b.spent, horizon=_SHOWN) for b in path]
    fits = 0 if any(b.frozen for b in path) else min(price.windows for price in prices)
    after = [round(epsilon, 6) for epsilon in prices[0].epsilon_after][:fits]
    return {
        "budget": budget.name,
        "tenant": worker.tenant,
        "model": worker.model,
        "epsilon": budget.epsilon,
        "delta": budget.delta,
        "epsilon_spent": round(budget.epsilon_spent, 6),
        "orders": list(budget.orders),
        "unit": "a person, per window",
        "window_seconds": worker.window_seconds,
        "sampling_rate": worker.sampling_rate,
        "noise_multiplier": worker.noise_multiplier,
        "clip_norm": worker.clip_norm,
        "steps": worker.steps,
        "records_per_person": worker.records_per_person,
        "expected_batch": worker.sampling_rate * worker.population,
        "windows_that_fit": fits,
        "epsilon_of_next_window": round(after[0] - budget.epsilon_spent, 6) if after else None,
        "epsilon_after": after,
        "seconds_until_exhausted": fits * worker.window_seconds,
    }
