"""PrivateKube's microbenchmark with several blocks: mice and elephants, blocks that come over time.

Luo et al., "Privacy Budget Scheduling", OSDI 2021, arXiv 2106.15335, its microbenchmark, with numbers of the
simulator's published configuration (github.com/columbia/PrivateKube, simulator/): a run of 300 s; 11 blocks
at its start and one more every 10 s; demands by a Poisson process, one in 0.078125 s; each asks for the
newest block (75 %) or the 10 newest (25 %), and for 1 % of each (mice, 75 %) or 10 % (elephants); it gives up
after 300 s. Budgets there are normalised and add up: here a block has one Rényi order, and demands are shares
of its cap, which is the same thing in the ledger's integers.

Ours: the decision every second; three models, whose demands arrive in the proportions 2:3:5 and whose
weights are 2:1:1; N.
"""

from __future__ import annotations

import random

from veilstream.accounting import caps
from veilstream.bench.allocation.workload import Workload
from veilstream.contracts import BudgetBlock, Demand
from veilstream.ledger.allocation import ByArrivals

__all__ = ["privatekube"]

SECONDS, BLOCK_SECONDS, FIRST_BLOCKS = 300.0, 10.0, 11
ARRIVAL_SECONDS = 0.078125
TIMEOUT_SECONDS = 300.0
MICE, ELEPHANTS = 100, 10  # one of so many of a block's cap
MICE_PART, ONE_BLOCK_PART, MANY_BLOCKS = 0.75, 0.75, 10
ORDER, EPSILON, DELTA = 8, 10.0, 1e-7
MODELS = {"support": (2, 2.0), "search": (3, 1.0), "research": (5, 1.0)}  # demands in ten, and weight


def privatekube(seed: int, *, fair_n: int = 100, scale: float = 1.0) -> Workload:
    """One seeded run. `fair_n` is N of unlocking; `scale` shortens the run (1 is the published length)."""
    chance = random.Random(f"privatekube/{seed}")  # noqa: S311 - a simulation, not privacy noise
    seconds = SECONDS * scale
    cap = caps(EPSILON, DELTA, (ORDER,))
    blocks = [BudgetBlock(f"b{number:03d}", cap, (0,)) for number in range(FIRST_BLOCKS)]
    while (created := BLOCK_SECONDS * (len(blocks) - FIRST_BLOCKS + 1)) < seconds:
        blocks.append(BudgetBlock(f"b{len(blocks):03d}", cap, (0,), created=created))
    demands: list[Demand] = []
    kinds: dict[str, str] = {}
    now = chance.expovariate(1 / ARRIVAL_SECONDS)
    while now < seconds:
        mouse = chance.random() < MICE_PART
        wanted = 1 if chance.random() < ONE_BLOCK_PART else MANY_BLOCKS
        model = chance.choices(list(MODELS), [part for part, _ in MODELS.values()])[0]
        there = FIRST_BLOCKS + int(now // BLOCK_SECONDS)
        price = (cap[0] // (MICE if mouse else ELEPHANTS),)
        demand = Demand(
            id=f"d{len(demands):05d}",
            model=model,
            arrival=now,
            charges={block.id: price for block in blocks[there - wanted : there]},
            deadline=now + TIMEOUT_SECONDS,
        )
        demands.append(demand)
        kinds[demand.id] = f"{'mouse' if mouse else 'elephant'}, {wanted} block{'s' * (wanted > 1)}"
        now += chance.expovariate(1 / ARRIVAL_SECONDS)
    return Workload(
        name="privatekube",
        blocks=tuple(blocks),
        demands=tuple(demands),
        kinds=kinds,
        weights={model: weight for model, (_, weight) in MODELS.items()},
        unlocking=ByArrivals(fair_n),
        fair_n=fair_n,
        period_seconds=1.0,
        end_seconds=seconds,
        parameters={
            "seconds": seconds,
            "block_seconds": BLOCK_SECONDS,
            "first_blocks": FIRST_BLOCKS,
            "arrival_seconds": ARRIVAL_SECONDS,
            "timeout_seconds": TIMEOUT_SECONDS,
            "mouse_share": 1 / MICE,
            "elephant_share": 1 / ELEPHANTS,
            "mice": MICE_PART,
            "one_block": ONE_BLOCK_PART,
            "many_blocks": MANY_BLOCKS,
            "fair_n": fair_n,
        },
    )
