"""The figures of a run as rows for people: means, and the spread where seeds differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from veilstream.bench.allocation.measure import POLICIES
from veilstream.bench.allocation.plot import LABELS

__all__ = ["by_name", "heterogeneity", "main"]

Rows = tuple[Sequence[str], Sequence[Sequence[str]]]


def main(result: dict[str, Any]) -> Rows:
    """A row a policy: granted, budget spent, fairness, delay."""
    columns = (
        "policy",
        "granted",
        "% of demands",
        "budget spent %",
        "Jain",
        "fair granted %",
        "promised %",
        "delay s",
        "delay p95 s",
    )
    rows = []
    for policy in POLICIES:
        told = result["policies"][policy]
        rows.append(
            (
                LABELS[policy],
                _told(told["granted"], 1, 0),
                _told(told["granted_part"], 100, 1),
                _told(told["budget_spent"], 100, 1),
                _told(told["jain"], 1, 2),
                _told(told["fair_granted"], 100, 1) if told["fair_demands"]["mean"] else "none asked",
                _told(told["promised_granted"], 100, 1) if told["promised_demands"]["mean"] else "none",
                _told(told["delay_seconds"], 1, 2),
                _told(told["delay_p95_seconds"], 1, 2),
            )
        )
    return columns, rows


def by_name(result: dict[str, Any], key: str, scale: float, digits: int) -> Rows:
    """A row a policy, a column a kind or a model: `key` is `part_by_kind`, `budget_by_model` and the like."""
    names = list(result["policies"][POLICIES[0]][key])
    return ("policy", *names), [
        (LABELS[p], *(_told(result["policies"][p][key][name], scale, digits) for name in names))
        for p in POLICIES
    ]


def heterogeneity(result: dict[str, Any]) -> Rows:
    """A row for each pair of deviations: demands granted by each policy, and packing over DPF."""
    columns = ("σ blocks", "σ order", *(LABELS[p] for p in POLICIES), "packing / DPF")
    return columns, [
        (
            f"{row['sigma_blocks']:g}",
            f"{row['sigma_alpha']:g}",
            *(f"{row[p]:.0f}" for p in POLICIES),
            _told(row["packing_to_dominant_share"], 1, 2),
        )
        for row in result["heterogeneity"]
    ]


def _told(spread: dict[str, float], scale: float, digits: int) -> str:
    mean, least, greatest = (f"{scale * spread[k]:.{digits}f}" for k in ("mean", "least", "greatest"))
    return mean if least == greatest else f"{mean} ({least}–{greatest})"
