"""When a budget will be used up if it goes on as lately, and how sure that is. Pure.

The lookback, from the later of `since` and t − over up to t, is cut into 12 equal blocks. What was spent in a
block is one observation of the pace, quiet blocks among them; their mean is the pace, and its interval is
Student's t over the blocks (batch means: Law & Kelton, "Simulation Modeling and Analysis", section 9.5.3).
A line through the running total would be no better: the residuals of a cumulative sum hang together, and its
interval would be far too narrow.

Two-sided: at confidence 0.9 the true pace lies above the upper end once in twenty times, if blocks are alike
and independent. Charges that keep to a schedule give a narrow interval, bursts a wide one.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from veilstream.alerting.history import History

__all__ = ["BLOCKS", "CONFIDENCES", "Forecast", "forecast"]

BLOCKS = 12
_T_11 = {0.5: 0.697, 0.8: 1.363, 0.9: 1.796, 0.95: 2.201, 0.99: 3.106}  # Student's t, two-sided, 11 degrees
CONFIDENCES = tuple(_T_11)


class Forecast(NamedTuple):
    """Seconds from now until the budget is used up: at the upper, the mean and the lower end of the pace."""

    early_seconds: float
    mean_seconds: float
    late_seconds: float  # infinite where the interval has a pace of nothing in it


def forecast(
    history: History, *, fraction: float, time_ms: int, over_ms: int, charges: int, confidence: float
) -> Forecast | None:
    """The forecast at `time_ms` for a budget of which `fraction` is spent.

    None where there is nothing to go by: fewer than `charges` charges in the lookback, or one of no length.
    A budget that is full has a forecast of zeros.

    Raises:
        KeyError: `confidence` is not one of `CONFIDENCES`.
    """
    quantile = _T_11[confidence]
    start = max(history.since, time_ms - over_ms)
    span = time_ms - start
    if span <= 0 or history.charges(time_ms, over_ms) < charges:
        return None
    if fraction >= 1:
        return Forecast(0.0, 0.0, 0.0)
    length_seconds = span / BLOCKS / 1000
    edges = [history.total_at(start + span * number // BLOCKS) for number in range(BLOCKS)] + [history.total]
    if history.since >= start:
        edges[0] = history.base  # a charge at the very beginning is in the first block
    spent = [after - before for before, after in pairwise(edges)]
    mean = math.fsum(spent) / BLOCKS
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in spent) / (BLOCKS - 1))
    half = quantile * deviation / math.sqrt(BLOCKS)
    left = 1.0 - fraction
    return Forecast(*(_until(left, pace, length_seconds) for pace in (mean + half, mean, mean - half)))


def _until(left: float, spent_per_block: float, block_seconds: float) -> float:
    return left / spent_per_block * block_seconds if spent_per_block > 0 else math.inf
