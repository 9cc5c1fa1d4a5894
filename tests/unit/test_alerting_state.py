"""The state that the alerts of the topics leave, whatever compaction kept and in whatever order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from veilstream.alerting.state import State


def alert(mark: str, seq: int, state: str = "firing", **more: Any) -> dict[str, Any]:
    return {
        "fingerprint": mark,
        "rule": "budget-threshold",
        "state": state,
        "tenant": "acme",
        "budget": "demo",
        "seq": seq,
        "time": f"2026-11-24T10:00:{seq:02}.000Z",
        "threshold": seq / 100,
        **more,
    }


def test_the_place_of_a_budget_is_that_of_its_latest_alert_in_every_order() -> None:
    alerts = [alert("a", 3), alert("b", 9, "resolved"), alert("c", 5)]
    for order in permutations(alerts):
        budget = State.from_alerts(order).budget("demo")
        assert budget.delivered == 9
        assert budget.at == 1_795_514_409_000
        assert {name[1] for name in budget.open} == {0.03, 0.05}


def test_the_last_record_of_a_fingerprint_counts_and_both_have_fired() -> None:
    state = State.from_alerts([alert("a", 3), alert("a", 4, "resolved", threshold=0.03)])
    assert dict(state.budget("demo").open) == {}
    assert "a" in state.fired
    assert state.budget("demo").delivered == 4


def test_a_condition_is_told_apart_by_threshold_window_and_model() -> None:
    alerts = [
        alert("a", 1),
        alert("b", 2, rule="burn", window="1h", threshold=None),
        alert("c", 3, rule="burn", window="6h", threshold=None),
        alert("d", 4, rule="share", model="chat", threshold=None),
    ]
    assert set(State.from_alerts(alerts).budget("demo").open) == {
        ("budget-threshold", 0.01, None),
        ("burn", None, "1h"),
        ("burn", None, "6h"),
        ("share", None, "chat"),
    }


def test_what_operators_are_told_is_kept_apart() -> None:
    state = State.from_alerts(
        [
            alert("a", 7, rule="audit", audience="operator", model="chat"),
            alert("b", 9, "resolved", rule="audit", audience="operator", model="other"),
        ]
    )
    assert len(state.budgets) == 0
    first = state.watches.get(("audit", "acme", "demo", "chat"))
    second = state.watches.get(("audit", "acme", "demo", "other"))
    assert first is not None
    assert second is not None
    assert (first.delivered, first.alert is not None) == (7, True)
    assert (second.delivered, second.alert) == (9, None)


def test_a_state_is_a_value() -> None:
    before = State()
    after = before.with_budget("demo", before.budget("demo"), ["mark"])
    assert (len(before.budgets), len(before.fired)) == (0, 0)
    assert (len(after.budgets), len(after.fired)) == (1, 1)
