"""Pure mathematics of privacy loss: numbers in, numbers out. No clock, no store, no randomness.

* `units` — the ledger's integers: Rényi divergence in 1e-9 nats, rounded up.
* Rényi divergence at integer orders, a file a mechanism: `rdp` (the Gaussian and the Poisson-subsampled
  Gaussian), `laplace`, `discrete_gaussian`, `skellam`, `factorised` (a run with correlated noise).
* `conversion` — Rényi divergence to (ε, δ) and back, for one order and for a set of orders.
* `plan` — which order and how much noise a run needs, and what a run costs.
* `outlook` — what lies ahead of a budget and of those above it; what a second model costs.
* `gdp` — the exact curve of the Gaussian; `certified` — the μ that bounds a run which is none.
* `reporting` — PLD, by `dp-accounting`, for a run whose parameters were all fixed beforehand; `prv` — the
  same by another road, between two bounds.

**Guarantees.** What is charged is never below the exact Rényi divergence, what is reported never below the
conversion's exact value, and a cap never above it: every rounding goes to the safe side (floating-point slack
included), and what cannot be computed costs +∞. A set G of orders is sound because each order is converted at
δ/|G|; the best order of a grid at the whole of δ is not a guarantee when mechanisms are chosen adaptively.
Orders are integers from 2 up: any other is refused, by every mechanism.

**Does not say** anything about a program: that the noise was added, the clipping done, the sampling secret is
for `veilstream.dp` to do and `veilstream.auditing` to test.

`dp-accounting` is imported by `reporting` alone, and scipy by `prv`, when they are asked.
"""

from veilstream.accounting.certified import CertifiedMu, certified_mu
from veilstream.accounting.conversion import cap, caps, epsilon, odometer_epsilon
from veilstream.accounting.discrete_gaussian import discrete_gaussian, subsampled_discrete_gaussian
from veilstream.accounting.factorised import (
    factorised,
    sensitivity_bound,
    square_root_coefficients,
    toeplitz_sensitivity,
)
from veilstream.accounting.gdp import gaussian_delta, gaussian_epsilon, gaussian_mu, mu_at
from veilstream.accounting.laplace import laplace, laplace_epsilon
from veilstream.accounting.outlook import Account, Outlook, SecondModel, outlook, second_model
from veilstream.accounting.plan import (
    MAX_ORDER,
    Cost,
    Plan,
    Workload,
    best_order,
    cost,
    noise_within,
    plan,
    window_charges,
)
from veilstream.accounting.prv import prv_bracket
from veilstream.accounting.rdp import gaussian, subsampled_gaussian
from veilstream.accounting.reporting import (
    PLD_LABEL,
    PLDReport,
    Stage,
    certified_mu_of,
    pld_bracket,
    pld_curve,
    pld_epsilon,
    pld_epsilons,
)
from veilstream.accounting.skellam import skellam
from veilstream.accounting.units import INFINITE, UNITS_PER_NAT, add, to_nats, to_units

__all__ = [
    "INFINITE",
    "MAX_ORDER",
    "PLD_LABEL",
    "UNITS_PER_NAT",
    "Account",
    "CertifiedMu",
    "Cost",
    "Outlook",
    "PLDReport",
    "Plan",
    "SecondModel",
    "Stage",
    "Workload",
    "add",
    "best_order",
    "cap",
    "caps",
    "certified_mu",
    "certified_mu_of",
    "cost",
    "discrete_gaussian",
    "epsilon",
    "factorised",
    "gaussian",
    "gaussian_delta",
    "gaussian_epsilon",
    "gaussian_mu",
    "laplace",
    "laplace_epsilon",
    "mu_at",
    "noise_within",
    "odometer_epsilon",
    "outlook",
    "plan",
    "pld_bracket",
    "pld_curve",
    "pld_epsilon",
    "pld_epsilons",
    "prv_bracket",
    "second_model",
    "sensitivity_bound",
    "skellam",
    "square_root_coefficients",
    "subsampled_discrete_gaussian",
    "subsampled_gaussian",
    "to_nats",
    "to_units",
    "toeplitz_sensitivity",
    "window_charges",
]
