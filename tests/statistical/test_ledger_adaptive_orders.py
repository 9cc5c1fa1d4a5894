"""Why δ is split over a budget's orders: the adversary of `privacy.md`, computed and not sampled.

First a Gaussian (μ = 1) is released. Then a mechanism with two outcomes is chosen *by its output y*: shaped
so that it takes exactly the room that is left at one of two orders, whichever does more harm at this y. Under
"any order of the grid, each converted at the whole of δ" both are admitted. The privacy loss that decides at
order α comes from outputs near y = αμ, so with orders 2 and 6 the two halves of the attack do not overlap,
and each of them uses up a δ of its own.

Nothing here is random: the failure probability is an integral over y on a fine grid, exact to some 1e-6 of
itself, and the thresholds (1.9 δ, δ) are far from what it gives (1.954 δ, 0.977 δ).
"""

import math

import numpy as np

from veilstream.accounting import cap, caps, gaussian, to_nats, to_units
from veilstream.ledger.budget import has_room

MU, ORDERS, EPSILON, DELTA = 1.0, (2, 6), 60.0, 1e-16


def divergence(p: float, loss: float, order: int) -> float:
    """The larger Rényi divergence, in nats, of two outcomes: probability p against p·exp(−loss)."""
    q = p * math.exp(-loss)
    forward = p**order * q ** (1 - order) + (1 - p) ** order * (1 - q) ** (1 - order)
    backward = q**order * p ** (1 - order) + (1 - q) ** order * (1 - p) ** (1 - order)
    return math.log(max(forward, backward)) / (order - 1)


def largest(loss: float, order: int, room: float) -> float:
    """The largest p (below ½) at which the mechanism has at most `room` at this order."""
    low, high = 0.0, 0.5
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if middle == 0 or divergence(middle, loss, order) <= room else (low, middle)
        )
    return low


def failure(limits: dict[int, float]) -> tuple[float, list[tuple[int, float, float]]]:
    """What the adversary reaches of δ at ε under these caps; and the mechanisms it chose."""
    total, chosen = 0.0, []
    grid = np.linspace(-5.0, 13.0, 901)
    for y in grid:
        first = MU * y - MU * MU / 2  # privacy loss of the Gaussian's output
        worst = (0.0, 0, 0.0, 0.0)
        for order, limit in limits.items():
            loss = EPSILON - first + math.log(order / (order - 1))  # where the conversion is tight
            p = largest(loss, order, limit - order * MU * MU / 2)
            harm = p * (1 - math.exp(EPSILON - first - loss))
            worst = max(worst, (harm, order, p, loss))
        density = math.exp(-((y - MU) ** 2) / 2) / math.sqrt(2 * math.pi)
        total += density * worst[0] * float(grid[1] - grid[0])
        chosen.append(worst[1:])
    return total, chosen


def test_any_order_at_the_whole_of_delta_is_broken_by_an_adaptive_choice() -> None:
    reached, _ = failure({order: cap(EPSILON, DELTA, order) for order in ORDERS})
    assert reached > 1.9 * DELTA


def test_the_filter_with_its_split_survives_the_same_adversary() -> None:
    reached, _ = failure(dict(zip(ORDERS, (to_nats(u) for u in caps(EPSILON, DELTA, ORDERS)), strict=True)))
    assert reached <= DELTA


def test_the_filter_refuses_what_the_broken_rule_admits() -> None:
    _, chosen = failure({order: cap(EPSILON, DELTA, order) for order in ORDERS})
    spent = [to_units(gaussian(1 / MU, order)) for order in ORDERS]
    whole = [caps(EPSILON, DELTA, (order,))[0] + 10 for order in ORDERS]  # 1e-8 nats for the bisection
    used = set()
    for order, p, loss in chosen[250:650:10]:  # y from 0 to 8: where the attack has its weight
        charges = [to_units(divergence(p, loss, each)) for each in ORDERS]
        used.add(order)
        assert has_room(spent, charges, whole)
        assert not has_room(spent, charges, caps(EPSILON, DELTA, ORDERS))
    assert used == set(ORDERS)
