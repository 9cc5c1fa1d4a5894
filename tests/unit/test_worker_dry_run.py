"""What training would cost, said first; and that saying it loads no torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any, cast

import pytest

from veilstream.accounting import plan
from veilstream.ledger import Budget, Ledger
from veilstream.ledger.budget import define
from veilstream.settings import Settings
from veilstream.worker.dry_run import dry_run


class _Ledger:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    async def path(self, name: str) -> list[Budget]:
        assert name == self._budget.name
        return [self._budget]


def worker(**changes: Any) -> Settings:
    return Settings.model_validate(
        {"worker": {"budget": "b", "tenant": "acme", "sampling_rate": 0.1, "steps": 60, **changes}}
    )


async def ask(settings: Settings, budget: Budget) -> dict[str, Any]:
    return await dry_run(settings, cast(Ledger, _Ledger(budget)))


async def test_a_plan_for_three_windows_costs_three_windows() -> None:
    made = plan(8.0, 1e-5, 0.1, 60, 3)
    settings = worker(noise_multiplier=made.noise_multiplier, window_seconds=600.0)
    budget = define("b", "acme", 8.0, 1e-5, made.orders, "odometer")
    cost = await ask(settings, budget)
    assert cost["windows_that_fit"] == 3
    assert cost["epsilon_after"] == pytest.approx(made.epsilon_after, abs=1e-6)
    assert cost["seconds_until_exhausted"] == 1800.0
    assert cost["epsilon_spent"] == 0.0
    after_one = await ask(settings, replace(budget, spent=made.charges))
    assert after_one["windows_that_fit"] == 2
    assert after_one["epsilon_of_next_window"] == pytest.approx(
        made.epsilon_after[1] - made.epsilon_after[0], abs=1e-5
    )
    assert after_one["epsilon_after"] == pytest.approx(made.epsilon_after[1:], abs=1e-6)


async def test_nothing_fits() -> None:
    budget = define("b", "acme", 0.5, 1e-5, (64,), "odometer")
    cost = await ask(worker(noise_multiplier=0.3), budget)
    assert cost["windows_that_fit"] == 0
    assert cost["epsilon_after"] == []
    assert cost["epsilon_of_next_window"] is None


def test_the_rooms_load_no_torch_by_themselves() -> None:
    script = (
        "import sys, veilstream.dp, veilstream.auditing, veilstream.worker, veilstream.worker.dry_run\n"
        "import veilstream.dp.params, veilstream.worker.tasks, veilstream.worker.windows\n"
        "import veilstream.worker.contributions\n"
        "loaded = {'torch', 'opacus', 'transformers', 'faust', 'presidio_analyzer'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
