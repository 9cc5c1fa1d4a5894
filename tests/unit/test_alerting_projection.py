"""Projected exhaustion, by example: the arithmetic against ten obvious lines; when it fires and resolves."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, stdev

import pytest

from alert_replay import Ledger, Replay, rules
from veilstream.alerting.history import History
from veilstream.alerting.projection import BLOCKS, forecast

HOUR, DAY = 3600, 86_400
RULE = """
[[rule]]
name = "budget-projection"
kind = "projection"
within = "3d"
over = "3d"
"""
NAME = "budget-projection"


def oracle(charges: list[tuple[int, float]], since: int, now: int, over: int, t: float) -> tuple[float, ...]:
    """Block by block, in plain loops. Times in ms."""
    start = max(since, now - over)
    edges = [start + (now - start) * number // BLOCKS for number in range(BLOCKS + 1)]
    spent = [
        sum(amount for at, amount in charges if low < at <= high or (at == low == since))
        for low, high in pairwise(edges)
    ]
    left = 1 - sum(amount for _, amount in charges)
    half = t * stdev(spent) / math.sqrt(BLOCKS)
    block = (now - start) / BLOCKS / 1000
    return tuple(
        left / pace * block if pace > 0 else math.inf
        for pace in (fmean(spent) + half, fmean(spent), fmean(spent) - half)
    )


@pytest.mark.parametrize("since", [0, 40 * HOUR * 1000])
def test_the_arithmetic_agrees_with_the_obvious(since: int) -> None:
    charges = [(since + number * 2_345_678, 0.004 + 0.003 * (number % 3)) for number in range(60)]
    history = History(since)
    for at, amount in charges:
        history = history.add(at, amount)
    now = charges[-1][0] + 1_000_000
    spent = sum(amount for _, amount in charges)
    found = forecast(history, fraction=spent, time_ms=now, over_ms=3 * DAY * 1000, charges=4, confidence=0.9)
    assert found is not None
    assert tuple(found) == pytest.approx(oracle(charges, since, now, 3 * DAY * 1000, 1.796))


def test_a_steady_pace_gives_a_narrow_interval_and_bursts_a_wide_one() -> None:
    def width(times: list[int]) -> float:
        history = History(0)
        for at in times:
            history = history.add(at, 0.005)
        found = forecast(
            history,
            fraction=0.12,
            time_ms=72 * HOUR * 1000,
            over_ms=3 * DAY * 1000,
            charges=4,
            confidence=0.9,
        )
        assert found is not None
        return found.late_seconds - found.early_seconds

    steady = width([(3 * number + 2) * HOUR * 1000 for number in range(24)])
    burst = width([10 * HOUR * 1000 + number for number in range(24)])
    assert steady < 1  # all blocks alike
    assert burst == math.inf


def test_too_little_to_go_by_is_no_forecast_and_a_full_budget_is_at_its_end() -> None:
    history = History(0).add(1000, 0.1).add(2000, 0.1).add(3000, 0.1)
    common = {"time_ms": 4000, "over_ms": 10_000, "confidence": 0.9}
    assert forecast(history, fraction=0.3, charges=4, **common) is None  # type: ignore[arg-type]
    assert forecast(History(5000), fraction=0.0, charges=1, **common) is None  # type: ignore[arg-type]
    assert forecast(history, fraction=1.0, charges=3, **common) == (0.0, 0.0, 0.0)  # type: ignore[arg-type]


def test_it_fires_when_the_early_end_comes_within_reach() -> None:
    """2 % every two hours, 24 % a day: blocks of 6 hours hold 3 charges each, so the spread is small."""
    ledger, replay = Ledger(), Replay(rules(RULE))
    fired = None
    for number in range(1, 51):
        if replay.event(ledger.charge("acme", 0.02, at=number * 2 * HOUR)):
            fired = number
            break
    assert fired is not None
    (alert,) = replay.alerts
    assert alert["value"] <= alert["limit"] == 3 * DAY
    assert alert["value_high"] >= alert["value"]
    left = 1 - 0.02 * fired
    true_days = left / 0.24
    assert alert["value"] / DAY <= true_days <= alert["value_high"] / DAY * 1.1
    assert "at the earliest" in alert["description"]
    assert "90 % interval" in alert["description"]


def test_it_resolves_as_the_pace_falls_and_not_by_a_hair() -> None:
    ledger, replay = Ledger(), Replay(rules(RULE))
    for number in range(1, 31):
        replay.event(ledger.charge("acme", 0.02, at=number * 2 * HOUR))
    assert [alert["state"] for alert in replay.alerts] == ["firing"]
    end = None
    for hour in range(60, 60 + 72):
        if replay.tick(hour * HOUR):
            end = hour
            break
    assert end is not None
    resolved = replay.alerts[-1]
    assert resolved["state"] == "resolved"
    assert resolved["value"] > 1.2 * resolved["limit"]
    assert 60 + 6 < end < 60 + 60
    assert all(not replay.tick(hour * HOUR) for hour in range(end, end + 100))


def test_a_budget_that_refreshes_first_is_not_projected() -> None:
    period = 1_790_000_000 // (2 * DAY)
    into = 1_790_000_000 - period * 2 * DAY
    for later, expected in ((0, False), (10, True)):
        # In the second case the period ends ten periods later: the budget is used up before.
        ledger, replay = Ledger(), Replay(rules(RULE))
        for number in range(1, 9):
            more = {"refresh_seconds": 2 * DAY, "period": period + later}
            replay.event(ledger.charge("acme", 0.01, at=number * HOUR, **more))
        assert into < 2 * DAY - 8 * HOUR
        assert bool(replay.alerts) is expected


def test_a_raise_resolves_it() -> None:
    ledger, replay = Ledger(), Replay(rules(RULE))
    for number in range(1, 31):
        replay.event(ledger.charge("acme", 0.02, at=number * 2 * HOUR))
    assert replay.event(ledger.raise_to("acme", 5.0, at=61 * HOUR)) == [(NAME, "resolved", None)]
