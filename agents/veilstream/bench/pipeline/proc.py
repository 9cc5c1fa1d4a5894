"""CPU time and memory of a process, from `/proc` (proc(5)); Linux only, like the rest of the measurement."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Sample", "between", "read"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sample(NamedTuple):
    """A process at a moment: Unix time and CPU time in seconds, resident memory in MB."""

    at: float
    cpu_s: float
    rss_mb: float


def read(pid: int) -> Sample | None:
    """Its figures now, children not included; None where it is gone."""
    try:
        # The name, in parentheses, may hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return Sample(time.time(), (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE / 1e6)


def between(samples: Sequence[Sample], start: float, end: float) -> tuple[float, float, float]:
    """CPU seconds spent from `start` to `end`, and the memory at both; by the samples that lie nearest.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples")
    times = [sample.at for sample in samples]

    def at(moment: float) -> tuple[float, float]:
        place = bisect_left(times, moment)
        if place == 0:
            return samples[0].cpu_s, samples[0].rss_mb
        if place == len(samples):
            return samples[-1].cpu_s, samples[-1].rss_mb
        before, after = samples[place - 1], samples[place]
        part = (moment - before.at) / max(after.at - before.at, 1e-9)
        return before.cpu_s + part * (after.cpu_s - before.cpu_s), after.rss_mb

    (cpu_start, rss_start), (cpu_end, rss_end) = at(start), at(end)
    return cpu_end - cpu_start, rss_start, rss_end
