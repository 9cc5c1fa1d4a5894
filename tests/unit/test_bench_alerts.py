"""The benchmark of alerting measures what it says: its workload, its matching, its figures."""

from __future__ import annotations

from typing import Any

import pytest

from alert_replay import Replay, built_in
from veilstream.bench.alerts import Story, figures
from veilstream.bench.pipeline.children import BenchFailed
from veilstream.events import types
from veilstream.events.codec import check


def test_the_workload_keeps_the_schema_and_makes_alerts_often() -> None:
    story, replay = Story(7), Replay(built_in())
    events = [story.next() for _ in range(7 * 2 * (Story.CHARGES + 2))]
    for number, event in enumerate(events):
        check(types.BUDGET_EVENT, event)
        event["time"] = f"2026-11-24T10:{number // 60:02}:{number % 60:02}.000Z"
        replay.event(event)
    seqs = [event["seq"] for event in events if event["budget"] == "bench/b3"]
    assert seqs == list(range(1, 2 * (Story.CHARGES + 2) + 1))
    per_event = len(replay.alerts) / len(events)
    assert 0.2 < per_event < 1.0
    assert {alert["state"] for alert in replay.alerts} == {"firing", "resolved"}


SENT: dict[str, Any] = {
    "sent": [["a", 1, 100.0], ["a", 2, 104.0], ["b", 1, 105.0], ["b", 2, 106.0]],
    "began": 100.0,
    "ended": 107.0,
    "late_p99_seconds": 0.001,
}


def test_an_alert_is_matched_with_its_event_and_the_warm_up_is_left_out() -> None:
    seen = [("a", 1, 109.0), ("a", 2, 104.25), ("a", 2, 104.5), ("b", 1, 105.125), ("primer", 1, 90.0)]
    result = figures(SENT, seen, 1.0, 4.0)
    assert result["count"] == 3
    assert result["p50_seconds"] == 0.25
    assert result["p99_seconds"] == 0.5
    assert result["events_per_s"] == 3 / 4
    assert result["alerts_per_s"] == 3 / 4


def test_no_alert_is_no_figure() -> None:
    with pytest.raises(BenchFailed):
        figures(SENT, [("a", 1, 109.0)], 1.0, 4.0)
