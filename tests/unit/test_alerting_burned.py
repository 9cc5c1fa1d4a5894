"""What Prometheus measures the burn by: charges count, and nothing else that moves the odometer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from alert_replay import rules
from veilstream.alerting.intake import forget, read_event, show
from veilstream.alerting.rules import observe
from veilstream.alerting.state import State
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import dumps
from veilstream.telemetry.metrics import PUBLIC

BUDGET = "burned/support"
EVENT: dict[str, Any] = {
    "seq": 1,
    "event": "created",
    "budget": BUDGET,
    "parent": "burned",
    "tenant": "acme",
    "time": "2026-01-02T03:04:05.000Z",
    "epsilon": 3.0,
    "delta": 1e-6,
    "orders": [8.0],
    "mode": "odometer",
    "spent": [0],
    "caps": [10**9],
    "epsilon_spent": 0.0,
    "fraction": 0.0,
    "prev_hash": "0" * 64,
    "hash": "0" * 64,
}
STORY = (
    ("created", 0.0),
    ("charged", 0.3),
    ("started", 0.3),
    ("charged", 0.5),
    ("threshold", 0.5),
    ("raised", 0.2),
    ("charged", 0.25),
    ("refused", 0.25),
    ("corrected", 0.6),
    ("charged", 0.7),
    ("refreshed", 0.0),
    ("charged", 0.1),
)


def _value(name: str, **labels: str) -> float | None:
    return PUBLIC.get_sample_value(f"veilstream_{name}", {"budget": BUDGET, **labels})


def _record(event: dict[str, Any]) -> Any:
    headers = Attributes(type=types.BUDGET_EVENT, source="veilstream/ledger").to_headers()
    return SimpleNamespace(value=dumps(event), headers=headers, partition=0, offset=7)


def test_charges_are_added_up_and_new_limits_are_not() -> None:
    state, seen = State(), list[float]()
    for seq, (kind, fraction) in enumerate(STORY, start=1):
        event = read_event(_record({**EVENT, "seq": seq, "event": kind, "fraction": fraction}), state)
        assert event is not None
        state = observe(state, event, rules(), float(seq))
        seen.append(round(_value("budget_burned_total") or 0.0, 9))
    assert seen == [0.0, 0.3, 0.3, 0.5, 0.5, 0.5, 0.55, 0.55, 0.55, 0.65, 0.65, 0.75]
    # The same event again takes nothing.
    assert read_event(_record({**EVENT, "seq": 12, "event": "charged", "fraction": 0.1}), state) is None
    assert round(_value("budget_burned_total") or 0.0, 9) == 0.75


def test_what_is_shown_of_a_budget_and_forgotten() -> None:
    show({**EVENT, "fraction": 0.4, "frozen": True, "refresh_seconds": 86400})
    info = {"tenant": "acme", "parent": "burned", "mode": "odometer"}
    assert _value("budget_frozen") == 1.0
    assert _value("budget_refresh_seconds") == 86400.0
    assert _value("budget_info", **info) == 1.0
    forget()
    assert _value("budget_frozen") is None
    assert _value("budget_refresh_seconds") is None
    assert _value("budget_info", **info) is None
    assert _value("budget_burned_total") is not None  # a counter goes on
