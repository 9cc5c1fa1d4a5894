"""Who is granted what, when models compete for a budget: allocators, adaptive spending, blocks of time. Pure.

    allocator = DominantShare(ByArrivals(100))
    for demand in allocator.allocate(blocks, waiting, now):
        ...charge it: the ledger's filter decides

**Guarantees.**
* *Privacy is not the allocator's to break.* It reads public parameters alone (caps, spends, prices, arrival
  times) and proposes; each charge goes through the filter of record (`ledger.budget.has_room`), whatever was
  proposed and however the proposals depend on earlier releases. Choosing mechanisms and their parameters
  after seeing earlier releases is what a filter with orders fixed beforehand allows: Feldman & Zrnic,
  arXiv 2008.11193; Lécuyer, arXiv 2103.01379.
* Nothing proposed is over capacity: each block that a proposal asks for keeps an order whose spend, with all
  proposals before it, is within the unlocked part of its cap.
* All or nothing, deterministic, and nothing that fits into what is unlocked is left waiting.

**Does not.** Hide who asks for what, or when: demands are public. Give anything back: a grant is spent.

| file | question |
|---|---|
| `fitting` | does a demand fit; what share of a block is it |
| `unlocking` | how much of a block may be spent by now |
| `first_come`, `weighted`, `dominant_share`, `packing` | the four policies, an `Allocator` each |
| `falling` | a run whose noise falls from window to window |
| `utility` | budget moved between models by a utility that is itself a charged, noisy release |
| `blocks` | budgets by blocks of time, for tenants whose unit is a record (weaker) |
"""

from veilstream.ledger.allocation.blocks import block_name, block_token, blocks_of, window_charges_by_block
from veilstream.ledger.allocation.dominant_share import DominantShare
from veilstream.ledger.allocation.falling import FallingNoise, falling_noise, next_noise
from veilstream.ledger.allocation.first_come import FirstCome
from veilstream.ledger.allocation.fitting import arrive, dominant_share, fits, from_budget, grant
from veilstream.ledger.allocation.packing import Packing
from veilstream.ledger.allocation.unlocking import AllAtOnce, ByArrivals, ByTime, Unlocking
from veilstream.ledger.allocation.utility import (
    NoisyUtility,
    measure_utility,
    reallocate,
    split,
    utility_charges,
)
from veilstream.ledger.allocation.weighted import WeightedShares

__all__ = [
    "AllAtOnce",
    "ByArrivals",
    "ByTime",
    "DominantShare",
    "FallingNoise",
    "FirstCome",
    "NoisyUtility",
    "Packing",
    "Unlocking",
    "WeightedShares",
    "arrive",
    "block_name",
    "block_token",
    "blocks_of",
    "dominant_share",
    "falling_noise",
    "fits",
    "from_budget",
    "grant",
    "measure_utility",
    "next_noise",
    "reallocate",
    "split",
    "utility_charges",
    "window_charges_by_block",
]
