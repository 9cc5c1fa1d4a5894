"""From an outcome to figures, and from runs over seeds to their mean and spread. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import mean, median
from typing import Any

from veilstream.bench.allocation.simulate import Outcome
from veilstream.bench.allocation.workload import Workload
from veilstream.contracts import BudgetBlock, Demand
from veilstream.ledger.allocation import ByArrivals, dominant_share

__all__ = ["jain", "over_seeds", "run_figures"]


def jain(received: Sequence[float]) -> float:
    """Jain's index of fairness: (Σx)²/(n·Σx²), 1 where all are equal, 1/n where one has all; 1 for nothing.

    Jain, Chiu & Hawe, "A Quantitative Measure of Fairness and Discrimination", DEC-TR-301, 1984.
    """
    squares = sum(x * x for x in received)
    return sum(received) ** 2 / (len(received) * squares) if squares > 0 else 1.0


def run_figures(workload: Workload, outcome: Outcome) -> dict[str, Any]:
    """Of one run.

    granted, weight and granted_part (of demands); by kind and by model: demands granted, and their part;
    budget_by_model: mean over blocks of the model's share of what was spent, at the block's best order;
    budget_spent: mean over blocks of the least share of a cap that is spent; jain: of the models' budgets,
    each over its weight; fair_granted: part of the demands asking for no more than a fair share that were
    granted; promised_granted: the same of those to whom DPF promises it (unlocking by arrivals; no more than
    N had asked for any of their blocks before their first pass); delay of what was granted: mean, median and
    95 %; refused: by the filter, 0 unless an allocator is wrong; cpu. A part of nothing is 1.
    """
    asked, got = workload.demands, outcome.granted
    capacities = {block.id: block.capacity for block in workload.blocks}
    kinds = Counter(workload.kinds.values())
    kinds_got = Counter(workload.kinds[name] for name in got)
    models = Counter(demand.model for demand in asked)
    models_got = Counter(demand.model for demand in asked if demand.id in got)
    fair = [d for d in asked if dominant_share(d, capacities) <= 1 / workload.fair_n]
    promised = _promised(workload, fair)
    delays = sorted(got[demand.id] - demand.arrival for demand in asked if demand.id in got)
    budgets = _budgets(outcome.blocks, sorted(models))
    return {
        "demands": len(asked),
        "granted": len(got),
        "granted_part": len(got) / len(asked) if asked else 0.0,
        "weight": sum(demand.weight for demand in asked if demand.id in got),
        "by_kind": {kind: kinds_got[kind] for kind in sorted(kinds)},
        "part_by_kind": {kind: kinds_got[kind] / kinds[kind] for kind in sorted(kinds)},
        "by_model": {model: models_got[model] for model in sorted(models)},
        "part_by_model": {model: models_got[model] / models[model] for model in sorted(models)},
        "budget_by_model": budgets,
        "budget_spent": mean(_spent_part(block) for block in outcome.blocks) if outcome.blocks else 0.0,
        "jain": jain([share / workload.weights.get(model, 1.0) for model, share in budgets.items()]),
        "fair_demands": len(fair),
        "fair_granted": _part(fair, got),
        "promised_demands": len(promised),
        "promised_granted": _part(promised, got),
        "delay_seconds": mean(delays) if delays else 0.0,
        "delay_p50_seconds": median(delays) if delays else 0.0,
        "delay_p95_seconds": delays[min(len(delays) - 1, int(0.95 * len(delays)))] if delays else 0.0,
        "refused": outcome.refused,
        "cpu_seconds": outcome.cpu_seconds,
    }


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, least and greatest of each figure over the runs; figures by kind or model likewise, in place."""
    told: dict[str, Any] = {}
    for key, first in runs[0].items():
        if isinstance(first, dict):
            told[key] = {name: _spread([run[key].get(name, 0.0) for run in runs]) for name in first}
        else:
            told[key] = _spread([run[key] for run in runs])
    return told


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": mean(values), "least": min(values), "greatest": max(values)}


def _part(demands: Sequence[Demand], granted: Mapping[str, float]) -> float:
    return sum(demand.id in granted for demand in demands) / len(demands) if demands else 1.0


def _promised(workload: Workload, fair: Sequence[Demand]) -> list[Demand]:
    if not isinstance(workload.unlocking, ByArrivals):
        return []
    arrivals: Counter[str] = Counter()
    in_time: set[str] = set()
    for _, batch in groupby(workload.demands, lambda d: math.ceil(d.arrival / workload.period_seconds)):
        those = list(batch)
        for demand in those:
            arrivals.update(demand.charges.keys())
        n = workload.unlocking.n
        in_time |= {d.id for d in those if all(arrivals[name] <= n for name in d.charges)}
    return [demand for demand in fair if demand.id in in_time]


def _best_order(block: BudgetBlock) -> int:
    parts = [
        spent / cap if cap > 0 else float("inf")
        for spent, cap in zip(block.spent, block.capacity, strict=True)
    ]
    return parts.index(min(parts))


def _spent_part(block: BudgetBlock) -> float:
    order = _best_order(block)
    return block.spent[order] / block.capacity[order]


def _budgets(blocks: Sequence[BudgetBlock], models: Sequence[str]) -> dict[str, float]:
    used = [(block, order) for block in blocks if block.spent[order := _best_order(block)] > 0]
    return {
        model: mean(
            block.spent_by[model][order] / block.spent[order] if model in block.spent_by else 0.0
            for block, order in used
        )
        if used
        else 0.0
        for model in models
    }
