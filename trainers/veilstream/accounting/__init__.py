"""Pure mathematics of privacy loss: numbers in, numbers out. No clock, no store, no randomness.

* `units` — the ledger's integers: Rényi divergence in 1e-9 nats, rounded up.
* `rdp` — Rényi divergence of the Gaussian and of the Poisson-subsampled Gaussian.
* `conversion` — Rényi divergence to (ε, δ) and back, for one order and for a set of orders.
* `plan` — which order and how much noise a run needs, and what a run costs.
* `reporting` — PLD, by `dp-accounting`, for a run whose parameters were all fixed beforehand.

**Guarantees.** What is charged is never below the exact Rényi divergence, what is reported never below the
conversion's exact value, and a cap never above it: every rounding goes to the safe side (floating-point slack
included), and what cannot be computed costs +∞. A set G of orders is sound because each order is converted at
δ/|G|; the best order of a grid at the whole of δ is not a guarantee when mechanisms are chosen adaptively.

**Does not say** anything about a program: that the noise was added, the clipping done, the sampling secret is
for `veilstream.dp` to do and `veilstream.auditing` to test.

`dp-accounting` is imported by `reporting` alone, when it is asked.
"""

from veilstream.accounting.conversion import cap, caps, epsilon, odometer_epsilon
from veilstream.accounting.plan import MAX_ORDER, Cost, Plan, best_order, cost, plan, window_charges
from veilstream.accounting.rdp import gaussian, subsampled_gaussian
from veilstream.accounting.reporting import PLDReport, pld_epsilon
from veilstream.accounting.units import INFINITE, UNITS_PER_NAT, add, to_nats, to_units

__all__ = [
    "INFINITE",
    "MAX_ORDER",
    "UNITS_PER_NAT",
    "Cost",
    "PLDReport",
    "Plan",
    "add",
    "best_order",
    "cap",
    "caps",
    "cost",
    "epsilon",
    "gaussian",
    "odometer_epsilon",
    "plan",
    "pld_epsilon",
    "subsampled_gaussian",
    "to_nats",
    "to_units",
    "window_charges",
]
