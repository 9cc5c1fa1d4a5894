"""What a run needs, and what a run costs: `train --dry-run` and `budget create` ask here.

Everything is in the ledger's integers, so that a plan for N windows is exactly N charges that the ledger
admits, and an N+1st that it refuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from veilstream.accounting.conversion import caps, check_budget, odometer_epsilon
from veilstream.accounting.rdp import check_order, subsampled_gaussian
from veilstream.accounting.units import INFINITE, add, to_units, total
from veilstream.errors import AccountingError

__all__ = [
    "MAX_ORDER",
    "MAX_ORDERS",
    "Cost",
    "Plan",
    "Workload",
    "best_order",
    "cost",
    "noise_within",
    "plan",
    "window_charges",
]

MAX_ORDER = 256
MAX_ORDERS = 8
NOISE_STEP = 1e-4
"""Grid of the noise multiplier: a plan's σ is the least multiple that fits."""

_MOST_NOISE = 1e6


@dataclass(frozen=True, slots=True)
class Workload:
    """What another model trains in each window, under the same budget and with the same noise."""

    sampling_rate: float
    steps: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters under which `windows` windows of `steps` steps fit into (ε, δ)."""

    epsilon: float
    delta: float
    orders: tuple[int, ...]
    caps: tuple[int, ...]  # units, at each order
    sampling_rate: float
    steps: int
    windows: int
    noise_multiplier: float
    charges: tuple[int, ...]  # units of one window, at each order, of all models of the plan
    epsilon_after: tuple[float, ...]  # of the public odometer, after each window


@dataclass(frozen=True, slots=True)
class Cost:
    """What windows of given parameters do to a budget."""

    orders: tuple[int, ...]
    caps: tuple[int, ...]
    charges: tuple[int, ...]
    windows: int  # how many more fit
    epsilon_after: tuple[float, ...]  # after each of them, the first `horizon` at most


def window_charges(
    orders: Sequence[int], sampling_rate: float, noise_multiplier: float, steps: int
) -> tuple[int, ...]:
    """Units at each order of `steps` steps of the Poisson-subsampled Gaussian (sampling of people).

    Rényi divergences of adaptively composed mechanisms add up (Mironov, arXiv 1702.07476, Proposition 1);
    an order that cannot be computed costs `INFINITE`.

    Raises:
        AccountingError: a parameter outside its domain (see `rdp.subsampled_gaussian`), steps below 1.
    """
    if type(steps) is not int or steps < 1:
        raise AccountingError("steps is an integer from 1 up")
    return tuple(_charge(order, sampling_rate, noise_multiplier, steps) for order in orders)


@lru_cache(maxsize=65536)
def _charge(order: int, sampling_rate: float, noise_multiplier: float, steps: int) -> int:
    return to_units(steps * subsampled_gaussian(sampling_rate, noise_multiplier, order))


def plan(
    epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int,
    windows: int,
    orders: int = 1,
    *,
    beside: Sequence[Workload] = (),
) -> Plan:
    """The order, and the least noise multiplier (a multiple of 1e-4), with which `windows` windows fit.

    `orders` is |G|. With one order it is the best of 2..256 for this run. With more, each is converted at
    δ/|G|: the first is the best for this run, the others for runs of ½, 2, ¼, 4 … times as many windows, so
    that later charges of other sizes find an order that suits them. More orders cost some noise.

    `beside` are other models that train in each window, with the same noise and from the same budget: their
    charges add up (a person may be in all of them), and the noise is what all of them need.

    7–300 ms, by the number of orders.

    Raises:
        AccountingError: a parameter outside its domain, or no noise below 1e6 suffices.
    """
    check_budget(epsilon, delta)
    if type(windows) is not int or windows < 1:
        raise AccountingError("windows is an integer from 1 up")
    if not 1 <= orders <= MAX_ORDERS:
        raise AccountingError(f"a budget has 1 to {MAX_ORDERS} orders")
    work = ((sampling_rate, steps), *((other.sampling_rate, other.steps) for other in beside))
    for rate, count in work:
        window_charges((2,), rate, 1.0, count)  # the parameters' domains, before any search
    share = delta / orders
    ticks, best = _least_noise(epsilon, share, work, windows)
    noise = ticks * NOISE_STEP
    chosen = tuple(sorted(_companions(best, epsilon, share, work, windows, orders)))
    charges = tuple(_window(order, work, noise) for order in chosen)
    after: list[float] = []
    spent: tuple[int, ...] = (0,) * len(chosen)
    for _ in range(windows):
        spent = tuple(add(s, c) for s, c in zip(spent, charges, strict=True))
        after.append(odometer_epsilon(spent, chosen, delta))
    return Plan(
        epsilon=epsilon,
        delta=delta,
        orders=chosen,
        caps=caps(epsilon, delta, chosen),
        sampling_rate=sampling_rate,
        steps=steps,
        windows=windows,
        noise_multiplier=noise,
        charges=charges,
        epsilon_after=tuple(after),
    )


def best_order(
    epsilon: float, delta: float, sampling_rate: float, noise_multiplier: float, steps: int
) -> int:
    """The order (2..256) under which most windows of these parameters fit into (ε, δ).

    Where none fits at any order, the order that comes nearest. One window after the other is what a budget is
    for, so an order that wins by the number of windows also wins by the least ε for a long run.

    Raises:
        AccountingError: a parameter outside its domain, or ε out of reach of every order at this δ.
    """
    check_budget(epsilon, delta)
    room = {order: caps(epsilon, delta, (order,))[0] for order in range(2, MAX_ORDER + 1)}
    usable = [order for order, limit in room.items() if limit > 0]
    if not usable:
        raise AccountingError("no order up to 256 can promise this ε at this δ", hint="raise ε or δ")
    charges = dict(zip(usable, window_charges(usable, sampling_rate, noise_multiplier, steps), strict=True))
    return min(usable, key=lambda order: charges[order] / room[order])


def cost(
    epsilon: float,
    delta: float,
    orders: Sequence[int],
    sampling_rate: float,
    noise_multiplier: float,
    steps: int,
    *,
    spent: Sequence[int] | None = None,
    horizon: int = 1000,
    beside: Sequence[Workload] = (),
) -> Cost:
    """How many more windows of these parameters a budget has room for, and ε after each.

    `spent` is what its odometer shows, in units at each order; nothing by default. A window fits when some
    order stays within its cap. `beside` are other models that train in each window from the same budget.

    Raises:
        AccountingError: a parameter outside its domain, or not one spend for each order.
    """
    for order in orders:
        check_order(order)
    limits = caps(epsilon, delta, orders)
    window_charges(orders, sampling_rate, noise_multiplier, steps)  # the parameters' domains
    work = ((sampling_rate, steps), *((other.sampling_rate, other.steps) for other in beside))
    charges = tuple(_window(order, work, noise_multiplier) for order in orders)
    start = tuple(spent) if spent is not None else (0,) * len(limits)
    if len(start) != len(limits) or not limits:
        raise AccountingError("there must be one spend for each order")
    fits = [
        (limit - have) // charge if charge else 0
        for have, charge, limit in zip(start, charges, limits, strict=True)
    ]
    windows = max(0, *fits)
    after = [
        odometer_epsilon(
            [min(have + n * charge, INFINITE) for have, charge in zip(start, charges, strict=True)],
            orders,
            delta,
        )
        for n in range(1, min(windows, horizon) + 1)
    ]
    return Cost(tuple(orders), limits, charges, windows, tuple(after))


def noise_within(
    rooms: Sequence[int], orders: Sequence[int], work: Sequence[Workload], windows: int
) -> float:
    """The least noise multiplier (a multiple of 1e-4) with which `windows` more windows fit what is left.

    `rooms` is what is left at each order, in units (cap less spend; of a tree, the least along the path);
    `work` is what trains in each window, all of it with this noise.

    Raises:
        AccountingError: a parameter outside its domain, or no noise below 1e6 suffices.
    """
    if type(windows) is not int or windows < 1:
        raise AccountingError("windows is an integer from 1 up")
    if len(rooms) != len(orders) or not work:
        raise AccountingError("there must be one room for each order, and something to train")
    for each in work:
        window_charges(orders, each.sampling_rate, 1.0, each.steps)  # the parameters' domains
    pairs = tuple((each.sampling_rate, each.steps) for each in work)
    return _least_within(dict(zip(orders, rooms, strict=True)), pairs, windows)[0] * NOISE_STEP


_Work = tuple[tuple[float, int], ...]  # sampling rate and steps of each model that trains in a window


def _window(order: int, work: _Work, noise_multiplier: float) -> int:
    return total(_charge(order, rate, noise_multiplier, steps) for rate, steps in work)


def _least_noise(epsilon: float, share: float, work: _Work, windows: int) -> tuple[int, int]:
    """Least σ in ticks of 1e-4 at which some order of 2..256 fits, and that order."""
    limits = {order: caps(epsilon, share, (order,))[0] for order in range(2, MAX_ORDER + 1)}
    return _least_within(limits, work, windows)


def _least_within(rooms: Mapping[int, int], work: _Work, windows: int) -> tuple[int, int]:
    """Least σ in ticks of 1e-4 at which some order fits into its room. Divergence falls with σ."""
    limits = {order: room for order, room in rooms.items() if room > 0}
    suits = 0

    def some_order(ticks: int) -> int:
        trial = [suits, *limits] if suits else list(limits)
        noise = ticks * NOISE_STEP
        return next((o for o in trial if _window(o, work, noise) * windows <= limits[o]), 0)

    high = round(1 / NOISE_STEP)
    while not (suits := some_order(high)):
        high *= 2
        if high * NOISE_STEP > _MOST_NOISE or not limits:
            raise AccountingError(
                "no noise suffices for this ε and δ with these orders",
                hint="raise ε or δ, or lower the sampling rate, steps or windows",
            )
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if found := some_order(middle):
            high, suits = middle, found
        else:
            low = middle
    return high, some_order(high)


def _companions(best: int, epsilon: float, share: float, work: _Work, windows: int, orders: int) -> list[int]:
    chosen = [best]
    factor = 2
    while len(chosen) < orders and factor <= 64:
        for horizon in (windows * factor, max(1, math.ceil(windows / factor))):
            order = _least_noise(epsilon, share, work, horizon)[1]
            if order not in chosen and len(chosen) < orders:
                chosen.append(order)
        factor *= 2
    # Fewer different best orders than asked for: the nearest to the best that can promise this ε at all.
    limits = {order: caps(epsilon, share, (order,))[0] for order in range(2, MAX_ORDER + 1)}
    others = sorted(limits, key=lambda order: (limits[order] <= 0, abs(order - best), order))
    chosen += [order for order in others if order not in chosen][: orders - len(chosen)]
    return chosen
