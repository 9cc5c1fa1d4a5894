"""Every other kind of rule, by example: what fires and resolves it, what it says; selectors and clocks."""

from __future__ import annotations

import pytest

from alert_replay import Ledger, Replay, built_in, rules
from veilstream.alerting.rules import observe
from veilstream.alerting.state import State

MINUTE, HOUR, DAY = 60, 3600, 86_400


def one(kind: str, *lines: str, name: str = "mine") -> str:
    return "\n".join([f'[[rule]]\nname = "{name}"\nkind = "{kind}"', *lines])


SHARE = one("share", "share = 0.3", 'over = "1d"')


def test_a_model_that_takes_its_share_within_the_window_fires_and_resolves_when_it_is_out_of_it() -> None:
    ledger, replay = Ledger(), Replay(rules(SHARE))
    assert replay.event(ledger.charge("acme", 0.2, at=0, model="greedy")) == []
    assert replay.event(ledger.charge("acme", 0.2, at=HOUR, model="modest")) == []
    assert replay.event(ledger.charge("acme", 0.1, at=2 * HOUR, model="greedy")) == [
        ("mine", "firing", "greedy")
    ]
    assert replay.tick(DAY - 0.001) == []
    assert replay.tick(DAY) == [("mine", "resolved", "greedy")]
    assert "greedy took 30 % of budget acme" in replay.alerts[0]["summary"]
    assert (replay.alerts[0]["model"], replay.alerts[0]["limit"]) == ("greedy", 0.3)
    assert replay.alerts[0]["value"] == pytest.approx(0.3)


def test_a_share_of_an_ancestor_is_told_by_the_budget_below_where_no_model_is_named() -> None:
    ledger, replay = Ledger(), Replay(rules(SHARE))
    assert replay.event(ledger.charge("acme", 0.4, at=0, by="acme/support")) == [
        ("mine", "firing", "acme/support")
    ]


def test_two_models_have_alerts_of_their_own() -> None:
    ledger, replay = Ledger(), Replay(rules(SHARE))
    replay.event(ledger.charge("acme", 0.3, at=0, model="a"))
    replay.event(ledger.charge("acme", 0.3, at=0, model="b"))
    assert len({alert["fingerprint"] for alert in replay.alerts}) == 2


def test_frozen_fires_at_the_freeze_and_resolves_at_its_end() -> None:
    ledger, replay = Ledger(), Replay(rules(one("frozen")))
    replay.event(ledger.charge("acme", 0.1, at=0))
    assert replay.event(ledger.say("acme", "frozen", at=1)) == [("mine", "firing", None)]
    assert replay.event(ledger.say("acme", "refused", at=2, reason="frozen")) == []
    assert replay.event(ledger.say("acme", "unfrozen", at=3)) == [("mine", "resolved", None)]
    assert replay.event(ledger.say("acme", "frozen", at=4)) == [("mine", "firing", None)]
    assert replay.alerts[0]["severity"] == "warning"


ABSENCE = one("absence", 'expected = "1d"')


def test_absence_fires_when_the_last_event_is_as_old_as_expected_and_resolves_at_the_next() -> None:
    ledger, replay = Ledger(), Replay(rules(ABSENCE))
    replay.event(ledger.charge("acme", 0.1, at=0))
    replay.event(ledger.say("acme", "committed", at=HOUR))
    assert replay.tick(DAY + HOUR - 0.001) == []
    assert replay.tick(DAY + HOUR) == [("mine", "firing", None)]
    assert replay.tick(2 * DAY) == []
    assert replay.event(ledger.charge("acme", 0.1, at=2 * DAY + 1)) == [("mine", "resolved", None)]
    assert replay.tick(3 * DAY + 1) == [("mine", "firing", None)]
    assert "for 1 day" in replay.alerts[0]["summary"]


@pytest.mark.parametrize("how", ["never charged", "frozen", "exhausted"])
def test_absence_says_nothing_of_a_budget_that_is_at_rest(how: str) -> None:
    ledger, replay = Ledger(), Replay(rules(ABSENCE))
    if how == "never charged":
        replay.event(ledger.say("acme", "created", at=0))
    else:
        replay.event(ledger.charge("acme", 0.1, at=0))
        replay.event(ledger.say("acme", how, at=1))
        replay.event(ledger.say("acme", "committed", at=2))
    assert replay.tick(10 * DAY) == []
    if how == "exhausted":
        replay.event(ledger.raise_to("acme", 2.0, at=11 * DAY))
        assert replay.tick(12 * DAY) == [("mine", "firing", None)]


def test_a_refusal_by_a_budget_above_ends_with_the_next_charge() -> None:
    ledger, replay = Ledger(), Replay(rules())
    replay.event(ledger.charge("acme/support", 0.1, at=0))
    event = {**ledger.say("acme/support", "refused", at=1, reason="no_room"), "at": "acme"}
    assert replay.event(event) == [("budget-refused", "firing", None)]
    assert "budget acme, which lies above it" in replay.alerts[-1]["description"]
    assert replay.event(ledger.say("acme/support", "committed", at=2)) == []
    assert replay.event(ledger.charge("acme/support", 0.1, at=3)) == [("budget-refused", "resolved", None)]


def test_a_refusal_for_a_freeze_ends_with_the_freeze_and_one_for_want_of_room_does_not() -> None:
    for reason, expected in (("frozen", [("budget-refused", "resolved", None)]), ("no_room", [])):
        ledger, replay = Ledger(), Replay(rules())
        replay.event(ledger.charge("acme", 0.1, at=0))
        replay.event(ledger.say("acme", "frozen", at=1))
        replay.event(ledger.say("acme", "refused", at=2, reason=reason))
        assert replay.event(ledger.say("acme", "unfrozen", at=3)) == expected


def test_a_refusal_for_want_of_room_stays_while_smaller_charges_go_on() -> None:
    ledger, replay = Ledger(), Replay(rules())
    replay.event(ledger.charge("acme", 0.1, at=0))
    replay.event(ledger.say("acme", "refused", at=1, reason="no_room"))
    assert replay.event(ledger.charge("acme", 0.1, at=2)) == []
    assert replay.event(ledger.raise_to("acme", 2.0, at=3)) == [("budget-refused", "resolved", None)]


def test_selectors_choose_budgets_and_tenants() -> None:
    text = (
        one("threshold", "at = [0.5]", 'budgets = ["acme/*"]', name="below")
        + "\n"
        + one("threshold", "at = [0.5]", 'tenants = ["other*"]', name="others")
    )
    ledger, replay = Ledger(), Replay(rules(text))
    assert replay.event(ledger.charge("acme", 0.6, at=0)) == []
    assert replay.event(ledger.charge("acme/support/chat", 0.6, at=0)) == [("below", "firing", 0.5)]
    ledger.say("second", "created", 0, tenant="other-1")
    assert replay.event(ledger.charge("second", 0.6, at=0, tenant="other-1")) == [("others", "firing", 0.5)]


def test_severity_labels_and_runbook_of_the_rule_reach_the_alert() -> None:
    text = one(
        "exhausted",
        'severity = "info"',
        'labels = { team = "privacy" }',
        'runbook = "https://wiki.example/x"',
    )
    ledger, replay = Ledger(), Replay(rules(text))
    replay.event(ledger.say("acme", "exhausted", at=0))
    replay.event(ledger.raise_to("acme", 2.0, at=1))
    for alert in replay.alerts:
        assert (alert["severity"], alert["labels"]) == ("info", {"team": "privacy"})
        assert alert["runbook"] == "https://wiki.example/x"
        assert alert["audience"] == "public"
    assert [alert["state"] for alert in replay.alerts] == ["firing", "resolved"]


def test_an_alert_of_a_rule_that_was_removed_resolves_at_the_next_tick_of_a_restart() -> None:
    ledger, before = Ledger(), Replay(rules(one("frozen")))
    before.event(ledger.charge("acme", 0.1, at=0))
    before.event(ledger.say("acme", "frozen", at=1))
    after = Replay(rules(one("exhausted", name="another")))
    after.state = State.from_alerts(before.alerts)
    for event in ledger.events:
        after.state = observe(after.state, event, after.rules, 1_790_000_001.0)
    assert after.tick(HOUR) == [("mine", "resolved", None)]
    assert "no longer under this rule" in after.alerts[0]["summary"]


def test_an_event_that_is_read_again_does_not_take_back_what_a_tick_said_days_later() -> None:
    text = one("absence", 'expected = "3d"')
    ledger, before = Ledger(), Replay(rules(text))
    before.event(ledger.charge("acme", 0.1, at=0))
    assert before.tick(4 * DAY) == [("mine", "firing", None)]
    after = Replay(rules(text))
    after.state = State.from_alerts(before.alerts)
    assert after.event(ledger.events[0]) == []
    assert after.tick(5 * DAY) == []
    assert after.event(ledger.charge("acme", 0.1, at=5 * DAY)) == [("mine", "resolved", None)]


# Clocks.


def test_a_tick_of_a_clock_that_jumped_back_is_ignored_until_it_is_past_what_it_saw() -> None:
    ledger, replay = Ledger(), Replay(rules(ABSENCE))
    replay.event(ledger.charge("acme", 0.1, at=0))
    assert replay.tick(DAY) == [("mine", "firing", None)]
    state = replay.state
    for back in (HOUR, 0, -DAY, DAY - 0.001):
        assert replay.tick(back) == []
        assert replay.state is state
    assert replay.event(ledger.charge("acme", 0.1, at=DAY + 1)) == [("mine", "resolved", None)]


def test_a_tick_before_the_last_event_of_a_budget_passes_it_over() -> None:
    """The ledger's clock is an hour ahead of ours: nothing is resolved before its time."""
    ledger, replay = Ledger(), Replay(built_in())
    replay.event(ledger.charge("acme", 0.02, at=HOUR))
    assert ("budget-burn-rate", "firing", "1h") in replay.event(ledger.charge("acme", 0.02, at=HOUR + 1))
    for second in range(0, HOUR, 60):
        assert replay.tick(second) == []


def test_what_a_clock_that_ran_ahead_wrote_does_not_blind_the_windows_for_a_year() -> None:
    text = (
        '[[rule]]\nname = "burn"\nkind = "burn_rate"\nperiod = "30d"\ncharges = 1\n'
        'windows = [{ factor = 14.4, long = "1h", short = "5m" }]'
    )
    ledger, replay = Ledger(), Replay(rules(text))
    assert replay.event(ledger.charge("acme", 0.02, at=365 * DAY)) == [("burn", "firing", "1h")]
    # The clock is set right: the charge counts as of now, and leaves the windows in the usual time.
    assert replay.event(ledger.say("acme", "committed", at=0)) == []
    assert replay.tick(10 * MINUTE - 0.001) == []
    assert replay.tick(10 * MINUTE) == [("burn", "resolved", "1h")]
    assert replay.event(ledger.charge("acme", 0.02, at=2 * HOUR)) == [("burn", "firing", "1h")]


def test_an_event_that_comes_late_is_not_judged_before_the_alert_that_a_tick_fired() -> None:
    ledger, replay = Ledger(), Replay(rules(ABSENCE))
    replay.event(ledger.charge("acme", 0.1, at=0))
    assert replay.tick(DAY + HOUR) == [("mine", "firing", None)]
    # Written half an hour before that tick, read after it.
    assert replay.event(ledger.charge("acme", 0.1, at=DAY + HOUR / 2)) == [("mine", "resolved", None)]
    assert replay.alerts[1]["time"] >= replay.alerts[0]["time"]
