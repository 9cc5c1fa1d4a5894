"""The rules, by example: what fires, how bad it is, what resolves it, and what the sentences say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from alert_replay import built_in, rules
from budget_story import budget_event
from veilstream.alerting.ruleparse import default_rules_text
from veilstream.alerting.rules import RULES, evaluate, fingerprint, severity
from veilstream.alerting.ruleset import KINDS
from veilstream.alerting.state import State
from veilstream.events import types
from veilstream.events.codec import check

NOW = 1_795_514_400.0


def run(events: list[dict[str, Any]], state: State | None = None) -> tuple[list[dict[str, Any]], State]:
    state = state or State()
    alerts: list[dict[str, Any]] = []
    for event in events:
        fresh, state = evaluate(state, event, rules(), NOW)
        for alert in fresh:
            check(types.ALERT, alert)
        alerts += fresh
    return alerts, state


def brief(alerts: list[dict[str, Any]]) -> list[tuple[str, float | None, str, str]]:
    return [(a["rule"], a.get("threshold"), a["severity"], a["state"]) for a in alerts]


def test_nothing_fires_below_the_first_threshold() -> None:
    alerts, _ = run([budget_event(1, "created", 0.0), budget_event(2, "charged", 0.4999)])
    assert alerts == []


def test_a_jump_over_thresholds_fires_each_of_them_with_its_own_severity() -> None:
    alerts, _ = run([budget_event(1, "created", 0.0), budget_event(2, "charged", 0.96)])
    assert brief(alerts) == [
        ("budget-threshold", 0.5, "info", "firing"),
        ("budget-threshold", 0.8, "warning", "firing"),
        ("budget-threshold", 0.95, "critical", "firing"),
    ]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, "info"),
        (0.7999, "info"),
        (0.8, "warning"),
        (0.9499, "warning"),
        (0.95, "critical"),
        (1.0, "critical"),
    ],
)
def test_severity_follows_the_threshold(threshold: float, expected: str) -> None:
    assert severity(("budget-threshold", threshold)) == expected


def test_a_threshold_is_reached_when_the_fraction_equals_it() -> None:
    alerts, _ = run([budget_event(1, "charged", 0.8)])
    assert [a["threshold"] for a in alerts] == [0.5, 0.8]


def test_refused_and_exhausted_are_critical_and_fire_once() -> None:
    alerts, _ = run(
        [
            budget_event(1, "charged", 0.4),
            budget_event(2, "refused", 0.4, reason="no room"),
            budget_event(3, "exhausted", 0.4),
            budget_event(4, "refused", 0.4),
            budget_event(5, "exhausted", 0.4),
        ]
    )
    assert brief(alerts) == [
        ("budget-refused", None, "critical", "firing"),
        ("budget-exhausted", None, "critical", "firing"),
    ]


def test_a_refusal_after_one_that_was_resolved_is_told_again() -> None:
    """A freeze above refuses, a charge goes through, and then there is no room: two refusals, two alerts."""
    alerts, _ = run(
        [
            budget_event(1, "created", 0.0),
            budget_event(2, "refused", 0.0, reason="frozen", at="demo/above"),
            budget_event(3, "charged", 0.3),
            budget_event(4, "refused", 0.3, reason="no_room"),
            budget_event(5, "corrected", 0.4, corrected=[10**8]),
            budget_event(6, "refused", 0.4, reason="no_room"),
        ]
    )
    assert brief(alerts) == [
        ("budget-refused", None, "critical", "firing"),
        ("budget-refused", None, "critical", "resolved"),
        ("budget-refused", None, "critical", "firing"),
    ]
    assert alerts[0]["fingerprint"] != alerts[2]["fingerprint"]


def test_a_correction_ends_nothing() -> None:
    alerts, _ = run([budget_event(1, "exhausted", 0.9), budget_event(2, "corrected", 0.96, corrected=[1])])
    assert ("budget-exhausted", None, "critical", "resolved") not in brief(alerts)


def test_a_raise_resolves_what_it_frees_and_keeps_what_still_holds() -> None:
    alerts, _ = run(
        [
            budget_event(1, "created", 0.0),
            budget_event(2, "charged", 0.96),
            budget_event(3, "exhausted", 0.96),
        ]
    )
    fired = {a["threshold"]: a["fingerprint"] for a in alerts if "threshold" in a}
    after, _ = run(
        [
            budget_event(1, "created", 0.0),
            budget_event(2, "charged", 0.96),
            budget_event(3, "exhausted", 0.96),
            budget_event(4, "raised", 0.6, epsilon=2.0),
        ]
    )
    resolved = after[len(alerts) :]
    assert brief(resolved) == [
        ("budget-threshold", 0.8, "warning", "resolved"),
        ("budget-threshold", 0.95, "critical", "resolved"),
        ("budget-exhausted", None, "critical", "resolved"),
    ]
    assert [a["fingerprint"] for a in resolved[:2]] == [fired[0.8], fired[0.95]]
    assert all(a["epsilon"] == 2.0 for a in resolved)


def test_after_a_raise_the_threshold_fires_again_under_a_new_fingerprint() -> None:
    alerts, _ = run(
        [
            budget_event(1, "created", 0.0),
            budget_event(2, "charged", 0.55),
            budget_event(3, "raised", 0.3, epsilon=2.0),
            budget_event(4, "charged", 0.55, epsilon=2.0),
        ]
    )
    assert [a["state"] for a in alerts] == ["firing", "resolved", "firing"]
    assert alerts[0]["fingerprint"] == alerts[1]["fingerprint"] != alerts[2]["fingerprint"]


def test_a_refresh_with_the_same_epsilon_begins_an_epoch_too() -> None:
    alerts, _ = run(
        [
            budget_event(1, "created", 0.0),
            budget_event(2, "charged", 0.55),
            budget_event(3, "refreshed", 0.0),
            budget_event(4, "charged", 0.55),
        ]
    )
    assert [a["state"] for a in alerts] == ["firing", "resolved", "firing"]


def test_a_fingerprint_fires_once_even_if_an_odometer_ran_backwards() -> None:
    """No ledger of ours does that; if one did, a flapping value must not page all night."""
    alerts, _ = run([budget_event(n, "charged", f) for n, f in enumerate((0.55, 0.4, 0.55, 0.4), start=1)])
    assert [a["state"] for a in alerts] == ["firing", "resolved"]


def test_a_restart_in_the_middle_repeats_nothing_and_takes_nothing_back() -> None:
    """The topic is ahead of the offsets: every alert was acknowledged, no offset was committed."""
    events = [
        budget_event(1, "created", 0.0),
        budget_event(2, "charged", 0.55),
        budget_event(3, "raised", 0.3, epsilon=2.0),
        budget_event(4, "charged", 0.55, epsilon=2.0),
    ]
    alerts, _ = run(events)
    again, _ = run(events, State.from_alerts(alerts))
    assert again == []


def test_a_crash_between_two_alerts_of_one_event_delivers_the_other_one() -> None:
    events = [budget_event(1, "charged", 0.85)]
    alerts, _ = run(events)
    assert len(alerts) == 2
    again, _ = run(events, State.from_alerts(alerts[:1]))
    assert brief(again) == [("budget-threshold", 0.8, "warning", "firing")]


def test_a_new_threshold_in_the_settings_fires_for_a_budget_that_is_past_it() -> None:
    first, _ = run([budget_event(1, "charged", 0.7)])
    state = State.from_alerts(first)
    fresh, _ = evaluate(state, budget_event(2, "committed", 0.7), rules(thresholds=(0.5, 0.6)), NOW)
    assert [a["threshold"] for a in fresh] == [0.6]


def test_budgets_do_not_touch_each_other() -> None:
    mine, state = run([budget_event(1, "charged", 0.55)])
    other, _ = run([budget_event(1, "charged", 0.55, budget="second")], state)
    assert len(mine) == len(other) == 1
    assert mine[0]["fingerprint"] != other[0]["fingerprint"]


def test_fields_of_a_fingerprint_cannot_run_together() -> None:
    marks = {
        fingerprint("a", "b", None, 11),
        fingerprint("a", "b", 1.0, 1),
        fingerprint("ab", "", None, 11),
        fingerprint("a", "b", None, 1),
        fingerprint("a", "b", 1.0, 11),
    }
    assert len(marks) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", mark) for mark in marks)


def test_a_fingerprint_is_stable_across_releases() -> None:
    """It is a key of a compacted topic that is kept for ever: this value may never change."""
    assert fingerprint("demo", "budget-threshold", 0.8, 1) == "aebc7e8961ca7ba45a07c2b59648e8a6"


def test_the_description_says_how_much_is_spent_and_what_happens_next() -> None:
    alerts, _ = run([budget_event(1, "charged", 0.81)])
    text = alerts[1]["description"]
    assert "has spent ε = 0.81 of 1 (δ = 1e-05)" in text
    assert "81 % of the budget is used" in text
    assert "the next alert comes at 95 %" in text
    assert "training stops until it is raised" in text
    assert alerts[1]["summary"] == "Budget demo has reached 80 %"


def test_in_individual_mode_the_description_does_not_promise_a_stop() -> None:
    alerts, _ = run([budget_event(1, "exhausted", 0.99, mode="individual")])
    text = alerts[-1]["description"]
    assert "only for people who have room left" in text
    assert "No further model" not in text


def test_a_share_is_never_rounded_up() -> None:
    alerts, _ = run([budget_event(1, "charged", 0.99996)])
    assert "99.9 % of the budget is used" in alerts[0]["description"]


def test_every_built_in_rule_has_its_runbook() -> None:
    docs = Path(__file__).parents[2]
    for rule in built_in().rules:
        name, _, anchor = rule.runbook.partition("#")
        assert name == ("docs/operations.md" if rule.name in RULES else "docs/alerts.md")
        lines = (docs / name).read_text().splitlines()
        headings = {line.lstrip("#").strip().lower() for line in lines if line.startswith("#")}
        assert anchor == rule.name
        assert anchor in headings
    alerts, _ = run([budget_event(1, "charged", 0.5)])
    assert alerts[0]["runbook"] == "docs/operations.md#budget-threshold"


def test_the_document_of_the_rules_names_every_kind_and_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    for kind in KINDS:
        assert f"`{kind}`" in text
    keys = set(re.findall(r"^([a-z]+) =", default_rules_text(), re.MULTILINE))
    keys |= {"tenants", "budgets", "labels", "factor", "long", "short", "keep"}
    for key in keys - {"name", "kind"}:
        assert f"`{key}`" in text


def test_what_is_on_the_topic_from_before_loads_and_does_not_fire_again() -> None:
    """The fixture was written by the first release."""
    folder = Path(__file__).parents[1] / "fixtures" / "events"
    records = (folder / "ai.veilstream.alert.v1.jsonl").read_text().splitlines()
    alert = json.loads(json.loads(records[0])["value"])
    event = budget_event(
        alert["seq"], "charged", alert["fraction"], epsilon=alert["epsilon"], budget="demo", tenant="demo"
    )
    created = budget_event(1, "created", 0.0, epsilon=alert["epsilon"], budget="demo", tenant="demo")
    fresh, state = evaluate(State.from_alerts([alert]), created, rules(), NOW)
    assert fresh == []
    fresh, _ = evaluate(state, event, rules(), NOW)
    assert fresh == []
