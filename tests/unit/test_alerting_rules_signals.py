"""The operator's rules, by example: fires, resolves, survives a restart, and never leaves the boundary."""

from __future__ import annotations

from typing import Any

import pytest

from alert_replay import START, Ledger, Replay, built_in, rules
from veilstream.alerting.signals import ANY_TENANT, evaluate_signal
from veilstream.alerting.state import State
from veilstream.events import types
from veilstream.events.codec import check

Told = list[tuple[str, str, str, str]]


class Signals:
    """Signals in the order of the topic; every one and every alert is checked against its schema."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State()
        self.rules = built_in()
        self.log: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []

    def say(self, signal: str, **more: Any) -> Told:
        self.log.append({"signal": signal, "time": "2026-11-24T10:00:00.000Z", "source": "test", **more})
        return self.read(len(self.log) - 1)

    def read(self, place: int) -> Told:
        signal = self.log[place]
        check(types.OPERATOR_SIGNAL, signal)
        alerts, self.state = evaluate_signal(self.state, signal, self.rules, place=place, time=START)
        for alert in alerts:
            check(types.ALERT, alert)
            assert alert["audience"] == "operator"
        self.alerts += alerts
        return [(a["rule"], a["state"], a["budget"], a.get("model", "")) for a in alerts]


def test_a_ledger_that_differs_fires_once_and_resolves_when_it_is_verified() -> None:
    signals = Signals()
    assert signals.say("ledger_differs", tenant="acme", budget="acme", detail="spent at 7") == [
        ("ledger-differs", "firing", "acme", "")
    ]
    assert signals.say("ledger_differs", tenant="acme", budget="acme") == []
    assert signals.say("ledger_verified", tenant="acme", budget="other") == []
    assert signals.say("ledger_verified", tenant="acme", budget="acme") == [
        ("ledger-differs", "resolved", "acme", "")
    ]
    assert "First difference: spent at 7." in signals.alerts[0]["description"]
    assert signals.alerts[0]["severity"] == "critical"


def test_a_ledger_that_is_verified_whole_resolves_every_budget() -> None:
    signals = Signals()
    signals.say("ledger_differs", budget="a")
    signals.say("ledger_differs", budget="b")
    assert signals.say("ledger_verified") == [
        ("ledger-differs", "resolved", "a", ""),
        ("ledger-differs", "resolved", "b", ""),
    ]


def test_an_audit_above_its_claim_fires_and_a_later_one_that_is_not_resolves() -> None:
    signals = Signals()
    common = {"tenant": "acme", "budget": "acme", "model": "chat"}
    assert signals.say("audit", value=2.0, limit=2.0, **common) == []
    assert signals.say("audit", value=2.1, limit=2.0, **common) == [
        ("audit-above-claim", "firing", "acme", "chat")
    ]
    assert signals.say("audit", value=1.0, limit=2.0, **{**common, "model": "other"}) == []
    assert signals.say("audit", value=2.0, limit=2.0, **common) == [
        ("audit-above-claim", "resolved", "acme", "chat")
    ]
    alert = signals.alerts[0]
    assert (alert["value"], alert["limit"]) == (2.1, 2.0)
    assert "measured ε ≥ 2.1; the ledger claims ε ≤ 2." in alert["description"]


def test_people_denied_is_measured_against_the_share_of_the_rule() -> None:
    signals = Signals()
    common = {"tenant": "acme", "budget": "acme", "model": "chat"}
    assert signals.say("people_denied", value=24, limit=100, **common) == []
    assert signals.say("people_denied", value=25, limit=100, **common) == [
        ("people-denied", "firing", "acme", "chat")
    ]
    assert signals.say("people_denied", value=0, limit=0, **common) == []
    assert signals.say("people_denied", value=10, limit=100, **common) == [
        ("people-denied", "resolved", "acme", "chat")
    ]


@pytest.mark.parametrize("signal", ["window_counts", "audit", "people_denied"])
def test_what_says_nothing_of_a_rule_changes_nothing(signal: str) -> None:
    signals = Signals()
    before = signals.state
    assert signals.say(signal) == []
    assert signals.state is before


def test_an_alert_carries_what_the_budget_shows_or_zeros() -> None:
    ledger, replay = Ledger(), Replay(built_in())
    replay.event(ledger.charge("acme", 0.3, at=0))
    signals = Signals(replay.state)
    signals.say("ledger_differs", tenant="acme", budget="acme")
    signals.say("ledger_differs")
    known, unknown = signals.alerts
    assert (known["epsilon"], known["fraction"], known["delta"]) == (1.0, 0.3, 1e-5)
    assert (unknown["tenant"], unknown["budget"], unknown["epsilon"]) == (ANY_TENANT, "", 0.0)


def test_a_restart_anywhere_repeats_nothing_and_takes_nothing_back() -> None:
    """d1 v2 d3 of a budget were told; in a replay the old v2 must not resolve what d3 fired."""
    story = ["ledger_differs", "ledger_verified", "ledger_differs", "ledger_differs", "ledger_verified"]
    straight = Signals()
    for signal in story:
        straight.say(signal, budget="a")
    expected = [(a["fingerprint"], a["state"]) for a in straight.alerts]
    assert [state for _, state in expected] == ["firing", "resolved", "firing", "resolved"]
    for killed in range(len(story) + 1):
        for committed in range(killed + 1):
            life = Signals()
            life.log = straight.log
            for place in range(killed):
                life.read(place)
            again = Signals(State.from_alerts(life.alerts))
            again.log = straight.log
            for place in range(committed, len(story)):
                again.read(place)
            told = [(a["fingerprint"], a["state"]) for a in life.alerts + again.alerts]
            assert told == expected


def test_rules_select_signals_by_budget() -> None:
    signals = Signals()
    signals.rules = rules('[[rule]]\nname = "mine"\nkind = "ledger_differs"\nbudgets = ["acme*"]\n')
    assert signals.say("ledger_differs", budget="other") == []
    assert signals.say("ledger_differs", budget="acme/support") == [("mine", "firing", "acme/support", "")]


def test_operator_alerts_do_not_touch_the_state_of_public_ones() -> None:
    signals = Signals()
    signals.say("ledger_differs", tenant="acme", budget="acme")
    state = State.from_alerts(signals.alerts)
    assert len(state.budgets) == 0
    assert len(state.watches) == 1
