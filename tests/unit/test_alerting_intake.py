"""What alerting does with a record: bad ones are counted and passed over, never fatal, never quoted."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from alert_replay import rules
from veilstream.alerting.intake import forget, read_event
from veilstream.alerting.rules import observe
from veilstream.alerting.state import State
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import dumps
from veilstream.telemetry.metrics import OPERATOR, PUBLIC

GOOD: dict[str, Any] = {
    "seq": 1,
    "event": "charged",
    "budget": "intake",
    "tenant": "acme",
    "time": "2026-11-24T09:59:59.000Z",
    "epsilon": 2.0,
    "delta": 1e-5,
    "orders": [8.0],
    "mode": "odometer",
    "spent": [1],
    "caps": [4],
    "epsilon_spent": 0.5,
    "fraction": 0.25,
    "prev_hash": "0" * 64,
    "hash": "1" * 64,
}


def record(value: bytes | None, ce_type: str = types.BUDGET_EVENT, headers: Any = None) -> Any:
    if headers is None:
        headers = Attributes(type=ce_type, source="veilstream/ledger").to_headers()
    return SimpleNamespace(value=value, headers=headers, partition=0, offset=7)


def sample(name: str, **labels: str) -> float | None:
    found = PUBLIC.get_sample_value(name, labels)
    return OPERATOR.get_sample_value(name, labels) if found is None else found


def test_a_good_event_is_returned_and_shown_on_the_public_gauges() -> None:
    assert read_event(record(dumps(GOOD)), State()) == GOOD
    assert sample("veilstream_budget_epsilon", budget="intake") == 2.0
    assert sample("veilstream_budget_epsilon_spent", budget="intake") == 0.5
    assert sample("veilstream_budget_fraction", budget="intake") == 0.25
    assert sample("veilstream_budget_events_total", budget="intake", event="charged") == 1.0
    forget()
    assert sample("veilstream_budget_fraction", budget="intake") is None


def test_an_event_that_was_seen_is_dropped_by_budget_and_sequence() -> None:
    state = observe(State(), GOOD, rules(), 0.0)
    before = sample("veilstream_budget_events_total", budget="intake", event="charged")
    assert read_event(record(dumps(GOOD)), state) is None
    assert sample("veilstream_budget_events_total", budget="intake", event="charged") == before
    assert read_event(record(dumps({**GOOD, "seq": 2})), state) is not None


SECRET = "jane.doe@example.org"

BAD = {
    "unknown type": (record(dumps(GOOD), "ai.veilstream.budget.event.v2"), "unknown_type"),
    "another type of ours": (record(dumps(GOOD), types.ALERT), "unknown_type"),
    "no headers": (record(dumps(GOOD), headers=[]), "missing_attribute"),
    "not JSON": (record(SECRET.encode()), "not_json"),
    "no value": (record(None), "not_json"),
    "unknown event": (record(dumps({**GOOD, "event": SECRET})), "schema"),
    "unknown field": (record(dumps({**GOOD, SECRET: SECRET})), "schema"),
    "a list": (record(dumps([GOOD])), "schema"),
    "nested deep": (record(b"[" * 10_000 + b"]" * 10_000), "too_deep"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_counted_by_kind_logged_without_content_and_passed_over(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad, kind = BAD[name]
    before = sample("veilstream_budget_events_skipped_total", kind=kind) or 0.0
    with caplog.at_level(logging.WARNING, logger="veilstream.event"):
        assert read_event(bad, State()) is None
    assert sample("veilstream_budget_events_skipped_total", kind=kind) == before + 1
    (line,) = caplog.records
    fields = line.__dict__["veil_fields"]
    assert line.message == "budget_event_skipped"
    assert (fields["kind"], fields["partition"], fields["offset"]) == (kind, 0, 7)
    assert SECRET not in json.dumps(fields)


def test_a_hole_in_the_sequence_is_said_and_the_event_still_counts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="veilstream.event"):
        assert read_event(record(dumps({**GOOD, "seq": 5})), State()) is not None
    (line,) = caplog.records
    assert line.message == "budget_event_gap"
    assert line.__dict__["veil_fields"] == {"budget": "intake", "seq": 5, "expected": 1}
