"""All policies on the same runs, over several seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from veilstream.bench.allocation.dpack import dpack
from veilstream.bench.allocation.figures import over_seeds, run_figures
from veilstream.bench.allocation.privatekube import privatekube
from veilstream.bench.allocation.simulate import simulate
from veilstream.bench.allocation.workload import Workload
from veilstream.contracts import Allocator
from veilstream.ledger.allocation import DominantShare, FirstCome, Packing, WeightedShares

__all__ = ["HETEROGENEITY", "POLICIES", "measure", "policies"]

POLICIES = ("first_come", "weighted", "dominant_share", "packing")
HETEROGENEITY = ((0.0, 0.0), (3.0, 0.0), (6.0, 0.0), (10.0, 0.0), (0.0, 4.0), (3.0, 4.0))
"""Pairs of σ_blocks and σ_α that the DPack workload is run with offline; online, with the last of them."""


def policies(workload: Workload) -> dict[str, Allocator]:
    """The four allocators; all but first come share the workload's unlocking, so only the order differs."""
    return {
        "first_come": FirstCome(),
        "weighted": WeightedShares(workload.unlocking, workload.weights),
        "dominant_share": DominantShare(workload.unlocking),
        "packing": Packing(workload.unlocking),
    }


def measure(
    workload: str, *, seed: int, seeds: int, scale: float = 1.0, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Figures of each policy over the seeds `seed`, `seed`+1, …, `seed`+`seeds`−1.

    Returns:
        workload and its parameters; `policies`: the figures of each (`figures.run_figures`), as mean, least
        and greatest over the seeds; `ratio_to_dominant_share`: packing's granted demands over DPF's in the
        same run, likewise; for the DPack workload also `heterogeneity`: granted demands for each pair of
        σ_blocks and σ_α, all at once, as in the paper.
    """
    if workload == "privatekube":
        made = [privatekube(seed + number, scale=scale) for number in range(seeds)]
        return _over(made, say)

    def made_with(pair: tuple[float, float], offline: bool) -> dict[str, Any]:
        runs = [
            dpack(
                seed + number,
                sigma_blocks=pair[0],
                sigma_alpha=pair[1],
                demands=max(10, round(500 * scale)),
                offline=offline,
            )
            for number in range(seeds)
        ]
        return _over(runs, say)

    rows = []
    for pair in HETEROGENEITY:
        told = made_with(pair, offline=True)
        rows.append(
            {
                "sigma_blocks": pair[0],
                "sigma_alpha": pair[1],
                **{name: told["policies"][name]["granted"]["mean"] for name in POLICIES},
                "packing_to_dominant_share": told["ratio_to_dominant_share"],
            }
        )
    return made_with(HETEROGENEITY[-1], offline=False) | {"heterogeneity": rows}


def _over(made: list[Workload], say: Callable[[str], None]) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in POLICIES}
    for number, workload in enumerate(made):
        for name, allocator in policies(workload).items():
            runs[name].append(run_figures(workload, simulate(workload, allocator)))
        say(f"{workload.name}: run {number + 1} of {len(made)}")
    ratios = [
        {"ratio": p["granted"] / max(1, d["granted"])}
        for p, d in zip(runs["packing"], runs["dominant_share"], strict=True)
    ]
    return {
        "workload": made[0].name,
        "parameters": made[0].parameters,
        "weights": made[0].weights,
        "seeds": len(made),
        "policies": {name: over_seeds(those) for name, those in runs.items()},
        "ratio_to_dominant_share": over_seeds(ratios)["ratio"],
    }
