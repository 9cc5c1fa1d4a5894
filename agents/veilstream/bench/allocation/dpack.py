"""DPack's microbenchmark: demands that differ in how many blocks they ask for, and in their best order.

Tholoniat et al., "DPack: Efficiency-Oriented Privacy Budget Scheduling", arXiv 2212.13228, microbenchmark,
with what its published code says (github.com/columbia/dpack): blocks of ε = 10 and δ = 1e-7; a zoo of Rényi
curves (Gaussian, Laplace, both together, subsampled Gaussian), each scaled so that it takes the same least
share of a block; a curve's best order, where that is, drawn from a discrete Gaussian around order 5 with
deviation σ_α, in places of the list of orders; the number of blocks drawn from a discrete Gaussian around 10
with deviation σ_blocks, which blocks at random.

Ours: the orders are the ledger's (integers, at most 8, δ split between them); curves are scaled by a factor;
demands arrive by a Poisson process; blocks unlock over the first half of the run, in 10 steps, and there are
20 passes, as far apart as those; three models as in `privatekube`. `offline`
is the published setting: all demands at once, everything unlocked, one pass.
"""

from __future__ import annotations

import math
import random
from functools import cache

from veilstream.accounting import caps, gaussian, subsampled_gaussian, to_units
from veilstream.accounting.laplace import laplace
from veilstream.bench.allocation.privatekube import MODELS
from veilstream.bench.allocation.workload import Workload
from veilstream.contracts import BudgetBlock, Demand
from veilstream.ledger.allocation import AllAtOnce, ByTime

__all__ = ["ORDERS", "dpack", "zoo"]

ORDERS = (3, 4, 5, 6, 8, 16, 32, 64)
CENTRE = ORDERS.index(5)
EPSILON, DELTA = 10.0, 1e-7
BLOCKS, MEAN_BLOCKS = 20, 10
SECONDS, STEPS = 40.0, 20


@cache
def zoo() -> dict[int, tuple[tuple[float, ...], ...]]:
    """Place of the best order to the curves that have it: shares of a block's cap, the least of them 1."""
    limits = caps(EPSILON, DELTA, ORDERS)
    mechanisms: list[list[float]] = []
    scales = [0.01 * 1000 ** (step / 99) for step in range(100)]  # 0.01 to 10, as in the published zoo
    mechanisms += [[gaussian(sigma, order) for order in ORDERS] for sigma in scales]
    mechanisms += [[laplace(scale, order) for order in ORDERS] for scale in scales]
    few = (0.05, 0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
    mechanisms += [
        [laplace(scale, order) + gaussian(sigma, order) for order in ORDERS] for scale in few for sigma in few
    ]
    mechanisms += [
        [epochs / q * subsampled_gaussian(q, sigma, order) for order in ORDERS]
        for epochs in (1, 10, 100, 200)
        for q in (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)
        for sigma in (0.5, 1.0, 2.0)
    ]
    found: dict[int, list[tuple[float, ...]]] = {}
    for curve in mechanisms:
        part = [nats * 1e9 / cap if cap > 0 else math.inf for nats, cap in zip(curve, limits, strict=True)]
        least = min(part)
        if 0.01 <= least <= 1.0:  # the published filter
            best = part.index(least)
            found.setdefault(best, []).append(tuple(min(p / least, 1e6) for p in part))
    return {best: tuple(dict.fromkeys(curves)) for best, curves in sorted(found.items())}


def dpack(
    seed: int,
    *,
    sigma_blocks: float,
    sigma_alpha: float,
    demands: int = 500,
    least_share: float = 0.02,
    offline: bool = False,
) -> Workload:
    """One seeded run: `demands` expected demands, each of `least_share` of a block at its best order.

    `offline`: all are there at the start, all is unlocked, and there is one pass.
    """
    chance = random.Random(f"dpack/{seed}")  # noqa: S311 - a simulation, not privacy noise
    limits = caps(EPSILON, DELTA, ORDERS)
    curves = zoo()
    places = [place for place in curves if sigma_alpha > 0 or place == CENTRE]
    odds = [
        math.exp(-((place - CENTRE) ** 2) / (2 * sigma_alpha**2)) if sigma_alpha else 1.0 for place in places
    ]
    counts = list(range(1, BLOCKS + 1))
    count_odds = [
        math.exp(-((count - MEAN_BLOCKS) ** 2) / (2 * sigma_blocks**2))
        if sigma_blocks
        else float(count == MEAN_BLOCKS)
        for count in counts
    ]
    blocks = tuple(BudgetBlock(f"b{number:03d}", limits, (0,) * len(ORDERS)) for number in range(BLOCKS))
    asked: list[Demand] = []
    kinds: dict[str, str] = {}
    now = chance.expovariate(demands / SECONDS)
    while now < SECONDS:
        curve = chance.choice(curves[chance.choices(places, odds)[0]])
        count = chance.choices(counts, count_odds)[0]
        price = tuple(
            to_units(part * least_share * cap / 1e9) if cap > 0 else to_units(math.inf)
            for part, cap in zip(curve, limits, strict=True)
        )
        demand = Demand(
            id=f"d{len(asked):05d}",
            model=chance.choices(list(MODELS), [part for part, _ in MODELS.values()])[0],
            arrival=0.0 if offline else now,
            charges={block.id: price for block in chance.sample(blocks, count)},
        )
        asked.append(demand)
        kinds[demand.id] = "few blocks" if count < MEAN_BLOCKS else "many blocks"
        now += chance.expovariate(demands / SECONDS)
    return Workload(
        name="dpack",
        blocks=blocks,
        demands=tuple(asked),
        kinds=kinds,
        weights={model: weight for model, (_, weight) in MODELS.items()},
        unlocking=AllAtOnce() if offline else ByTime(SECONDS / 2, STEPS // 2),
        fair_n=50,
        period_seconds=SECONDS / STEPS,
        end_seconds=SECONDS / STEPS if offline else SECONDS,
        parameters={
            "orders": list(ORDERS),
            "epsilon": EPSILON,
            "delta": DELTA,
            "blocks": BLOCKS,
            "mean_blocks": MEAN_BLOCKS,
            "sigma_blocks": sigma_blocks,
            "sigma_alpha": sigma_alpha,
            "demands": demands,
            "least_share": least_share,
            "offline": offline,
        },
    )
