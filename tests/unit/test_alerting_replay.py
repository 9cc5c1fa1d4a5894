"""Thirty days of a company's budgets, event by event, minute by minute, in seconds: time is an argument."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from alert_replay import Ledger, Replay, built_in, told

MINUTE, HOUR, DAY = 60, 3600, 86_400
DAYS = 30

Input = tuple[float, dict[str, Any] | None]


def month() -> list[Input]:
    """Ten budgets at a sustainable pace, one that runs away on day 10, one that falls silent on day 5, one
    that is frozen for two days, and one that refreshes every day; a tick every minute.
    """
    ledger = Ledger()
    planned: list[tuple[float, str, float]] = []
    for number in range(10):
        planned += [(hour * HOUR + number, f"steady/b{number}", 1 / (24 * 45)) for hour in range(24 * DAYS)]
    planned += [(10 * DAY + minute * MINUTE, "runaway", 0.02) for minute in range(0, 60, 2)]
    planned += [(hour * HOUR, "silent", 0.0005) for hour in range(24 * 5)]
    planned += [(hour * HOUR + 7, "frozen", 0.0005) for hour in range(24 * 3)]
    inputs: list[Input] = [
        (at, ledger.charge(name, amount, at))
        for at, name, amount in sorted(planned, key=lambda plan: plan[0])
    ]
    inputs += [(3 * DAY + 1, ledger.say("frozen", "frozen", 3 * DAY + 1))]
    inputs += [(5 * DAY + 1, ledger.say("frozen", "unfrozen", 5 * DAY + 1))]
    inputs += [(10 * DAY + HOUR, ledger.raise_to("runaway", 4.0, 10 * DAY + HOUR))]
    for day in range(DAYS):
        more = {"refresh_seconds": DAY, "period": 20_717 + day}
        inputs += [
            (day * DAY + hour * HOUR, ledger.charge("daily", 1 / 30, day * DAY + hour * HOUR, **more))
            for hour in range(1, 23, 2)
        ]
        at = (day + 1) * DAY - 1
        inputs.append((at, ledger.say("daily", "refreshed", at, **more)))
    inputs += [(minute * MINUTE + 0.5, None) for minute in range(DAYS * 24 * 60)]
    return sorted(inputs, key=lambda one: one[0])


def replayed(inputs: list[Input]) -> Replay:
    replay = Replay(built_in())
    for at, event in inputs:
        if event is None:
            replay.tick(at)
        else:
            replay.event(event)
    return replay


def test_thirty_days_replay_in_less_than_five_seconds_and_say_what_they_should() -> None:
    inputs = month()
    began = time.process_time()
    replay = replayed(inputs)
    assert time.process_time() - began < 5.0

    def of(budget: str) -> Counter[tuple[str, str, Any]]:
        return Counter(told(alert) for alert in replay.alerts if alert["budget"] == budget)

    steady = of("steady/b3")  # 16 of 24 days' worth after 30: thresholds, and nothing else
    assert steady == {("budget-threshold", "firing", 0.5): 1}
    runaway = of("runaway")
    for window in ("1h", "6h", "3d"):
        assert runaway[("budget-burn-rate", "firing", window)] == 1
        assert runaway[("budget-burn-rate", "resolved", window)] == 1
    assert runaway[("budget-projection", "firing", None)] >= 1
    assert runaway[("budget-projection", "firing", None)] == runaway[("budget-projection", "resolved", None)]
    assert runaway[("budget-threshold", "firing", 0.5)] == runaway[("budget-threshold", "resolved", 0.5)] == 1
    assert of("silent") == {("budget-absence", "firing", None): 1}
    assert of("frozen")[("budget-frozen", "firing", None)] == 1
    assert of("frozen")[("budget-frozen", "resolved", None)] == 1
    (absent,) = [alert for alert in replay.alerts if alert["budget"] == "silent"]
    assert absent["value"] == 7 * DAY + 0.5  # at the first tick after it was due
