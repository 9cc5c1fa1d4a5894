"""The arithmetic of the report: quantiles, ratios, a slope with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median
from typing import NamedTuple

__all__ = ["Slope", "quantile", "ratios", "rounded", "slope"]

_T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)  # Student's t, 1 to 10 degrees


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that a part `q` of them does not pass (nearest rank).

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(q * len(ordered)) - 1))]


def ratios(ours: Sequence[float], peer: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of ours over the peer's, repetition by repetition; empty without a peer."""
    found = [a / b for a, b in zip(ours, peer, strict=False) if b > 0]
    if not found:
        return {}
    return {"median": median(found), "least": min(found), "greatest": max(found)}


class Slope(NamedTuple):
    """Of a line through points, with the 95 % interval of its slope."""

    per_x: float
    low: float
    high: float


def slope(points: Sequence[tuple[float, float]], window: float) -> Slope:
    """Least squares through the means of windows of `window` along x.

    Samples a second apart are far from independent; the means of half a minute are less so, and the interval
    (Student's t over their residuals) is of those. With fewer than three windows it is infinite.
    """
    groups: dict[int, list[tuple[float, float]]] = {}
    for x, y in points:
        groups.setdefault(int((x - points[0][0]) // window), []).append((x, y))
    means = [(fmean(x for x, _ in group), fmean(y for _, y in group)) for group in groups.values()]
    count = len(means)
    if count < 2:
        return Slope(0.0, -math.inf, math.inf)
    mid_x, mid_y = fmean(x for x, _ in means), fmean(y for _, y in means)
    spread = sum((x - mid_x) ** 2 for x, _ in means)
    per_x = sum((x - mid_x) * (y - mid_y) for x, y in means) / spread
    degrees = count - 2
    if degrees < 1:
        return Slope(per_x, -math.inf, math.inf)
    residual = sum((y - mid_y - per_x * (x - mid_x)) ** 2 for x, y in means)
    t = _T_975[degrees - 1] if degrees <= len(_T_975) else 1.96 + 2.7 / degrees
    half = t * math.sqrt(residual / degrees / spread)
    return Slope(per_x, per_x - half, per_x + half)


def rounded(value: object) -> object:
    """Four significant digits for every number of a report that is no integer; infinities become None."""
    if isinstance(value, bool) or not isinstance(value, float | dict | list | tuple):
        return value
    if isinstance(value, dict):
        return {key: rounded(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(child) for child in value]
    if not math.isfinite(value):
        return None
    return float(f"{value:.4g}")
