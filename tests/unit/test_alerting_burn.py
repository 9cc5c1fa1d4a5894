"""Burn rates, by example: the exact instants at which they fire and resolve.

Against a period of 30 days, 14.4 times too fast in an hour is 2 % of the budget, 6 times in six hours 5 %,
once in three days 10 % (SRE Workbook, chapter 5).
"""

from __future__ import annotations

import pytest

from alert_replay import Ledger, Replay, built_in, rules

MINUTE, HOUR, DAY = 60, 3600, 86_400
FAST = ("budget-burn-rate", "firing", "1h")
OVER = ("budget-burn-rate", "resolved", "1h")


def only_burn(**more: str) -> str:
    lines = [f"{key} = {value}" for key, value in more.items()]
    return "\n".join(
        [
            '[[rule]]\nname = "budget-burn-rate"\nkind = "burn_rate"\nperiod = "30d"',
            *lines,
            'windows = [{ factor = 14.4, long = "1h", short = "5m" }]',
        ]
    )


def test_two_per_cent_in_an_hour_fires_and_a_hair_less_does_not() -> None:
    for second, expected in ((0.01, [FAST]), (0.0099, [])):
        ledger, replay = Ledger(), Replay(rules(only_burn()))
        replay.event(ledger.say("acme", "created", at=0))
        assert replay.event(ledger.charge("acme", 0.01, at=DAY)) == []
        assert replay.event(ledger.charge("acme", second, at=DAY + 4 * MINUTE)) == expected


def test_one_charge_alone_is_no_rate_unless_the_rule_says_so() -> None:
    for charges, expected in (("2", []), ("1", [FAST])):
        ledger, replay = Ledger(), Replay(rules(only_burn(charges=charges)))
        replay.event(ledger.say("acme", "created", at=0))
        assert replay.event(ledger.charge("acme", 0.3, at=DAY)) == expected


def test_both_windows_must_burn() -> None:
    """Half an hour apart: the hour has 2.4 %, the last five minutes have 0.1 %, which is 8.64 times."""
    ledger, replay = Ledger(), Replay(rules(only_burn()))
    replay.event(ledger.charge("acme", 0.023, at=DAY))
    assert replay.event(ledger.charge("acme", 0.001, at=DAY + 30 * MINUTE)) == []
    assert replay.event(ledger.charge("acme", 0.0015, at=DAY + 31 * MINUTE)) == [FAST]


def test_a_charge_that_is_an_hour_old_is_out_of_the_hour() -> None:
    for gap, expected in ((HOUR, []), (HOUR - 0.001, [FAST])):
        ledger, replay = Ledger(), Replay(rules(only_burn(charges="1")))
        replay.event(ledger.charge("acme", 0.012, at=DAY))
        assert replay.event(ledger.charge("acme", 0.0119, at=DAY + gap)) == expected


def test_it_resolves_when_the_short_window_and_as_long_again_are_quiet_to_the_millisecond() -> None:
    ledger, replay = Ledger(), Replay(rules(only_burn()))
    replay.event(ledger.charge("acme", 0.02, at=DAY))
    assert replay.event(ledger.charge("acme", 0.02, at=DAY + MINUTE)) == [FAST]
    last = DAY + MINUTE
    assert replay.tick(last + 10 * MINUTE - 0.001) == []
    assert replay.tick(last + 10 * MINUTE) == [OVER]
    assert replay.alerts[0]["fingerprint"] == replay.alerts[1]["fingerprint"]
    assert replay.tick(last + 2 * DAY) == []


def test_a_slow_beat_does_not_flap() -> None:
    """A charge every nine minutes is out of the five-minute window each time; one alert is enough."""
    ledger, replay = Ledger(), Replay(rules(only_burn()))
    said = []
    for number in range(20):
        said += replay.event(ledger.charge("acme", 0.01, at=DAY + number * 9 * MINUTE))
        for second in range(0, 9 * MINUTE, 30):
            said += replay.tick(DAY + number * 9 * MINUTE + second)
    assert said == [FAST]


def test_without_keep_it_resolves_at_the_end_of_the_short_window() -> None:
    text = only_burn().replace('short = "5m"', 'short = "5m", keep = "0s"')
    ledger, replay = Ledger(), Replay(rules(text))
    replay.event(ledger.charge("acme", 0.02, at=DAY))
    replay.event(ledger.charge("acme", 0.02, at=DAY + MINUTE))
    assert replay.tick(DAY + 6 * MINUTE - 0.001) == []
    assert replay.tick(DAY + 6 * MINUTE) == [OVER]


def test_the_built_in_windows_each_have_their_own_pace_and_severity() -> None:
    """1.25 % every 29 minutes: two are 2.5 % in an hour, four 5 % in six hours, eight 10 % in three days."""
    ledger, replay = Ledger(), Replay(built_in())
    replay.event(ledger.say("acme", "created", at=0))
    first: dict[str, tuple[float, str]] = {}
    for number in range(12):
        at = DAY + number * 29 * MINUTE
        replay.event(ledger.charge("acme", 0.0125, at=at))
        for alert in replay.alerts:
            if alert["rule"] == "budget-burn-rate":
                first.setdefault(alert["window"], (number, alert["severity"]))
    # 29 minutes apart, two are in an hour and two in half an hour: but only one in five minutes, so 15 times.
    assert first == {"1h": (1, "critical"), "6h": (3, "critical"), "3d": (7, "warning")}


def test_a_sustainable_pace_never_fires() -> None:
    """A charge every 6 hours that would use the budget up in 31 days: 0.97 times."""
    ledger, replay = Ledger(), Replay(built_in())
    for number in range(4 * 14):  # two weeks; later the thresholds come
        replay.event(ledger.charge("acme", 1 / (4 * 31), at=number * 6 * HOUR))
        replay.tick(number * 6 * HOUR + HOUR)
    assert replay.alerts == []


def test_a_budget_that_refreshes_is_measured_against_its_own_period() -> None:
    """2 % in an hour is 14.4 times of 30 days, and 0.48 times of a day."""
    for refresh, expected in ((None, [FAST]), (86_400, [])):
        more = {} if refresh is None else {"refresh_seconds": refresh, "period": 20_717}
        ledger, replay = Ledger(), Replay(rules(only_burn()))
        replay.event(ledger.charge("acme", 0.01, at=0, **more))
        assert replay.event(ledger.charge("acme", 0.01, at=MINUTE, **more)) == expected


def test_a_raise_makes_what_was_spent_a_smaller_share() -> None:
    for limit, expected in ((1.0, [FAST]), (2.0, [])):
        ledger, replay = Ledger(), Replay(rules(only_burn()))
        replay.event(ledger.charge("acme", 0.015, at=0))
        if limit > 1:
            replay.event(ledger.raise_to("acme", limit, at=30))
        assert replay.event(ledger.charge("acme", 0.01, at=MINUTE)) == expected


def test_a_refresh_begins_anew_and_a_correction_is_no_burn() -> None:
    ledger, replay = Ledger(), Replay(rules(only_burn()))
    replay.event(ledger.charge("acme", 0.015, at=0))
    replay.event(ledger.say("acme", "refreshed", at=30))
    assert replay.event(ledger.charge("acme", 0.01, at=MINUTE)) == []
    ledger._spent["acme"] += 0.5
    assert replay.event(ledger.say("acme", "corrected", at=MINUTE + 1)) == []
    assert replay.event(ledger.charge("acme", 0.005, at=MINUTE + 2)) == []


def test_value_limit_and_sentence_say_how_fast() -> None:
    ledger, replay = Ledger(), Replay(rules(only_burn()))
    replay.event(ledger.charge("acme", 0.02, at=0))
    replay.event(ledger.charge("acme", 0.02, at=MINUTE))
    (alert,) = replay.alerts
    assert alert["value"] == pytest.approx(28.8)
    assert (alert["limit"], alert["window"], alert["severity"]) == (14.4, "1h", "critical")
    assert "28.8 times too fast" in alert["summary"]
    assert "a whole budget lasts for 25 hours" in alert["description"]
    assert alert["time"] == ledger.events[-1]["time"]


def test_a_second_burn_has_another_fingerprint() -> None:
    ledger, replay = Ledger(), Replay(rules(only_burn()))
    for begin in (0, DAY):
        replay.event(ledger.charge("acme", 0.02, at=begin))
        replay.event(ledger.charge("acme", 0.02, at=begin + MINUTE))
        replay.tick(begin + HOUR)
    states = [alert["state"] for alert in replay.alerts]
    assert states == ["firing", "resolved", "firing", "resolved"]
    assert len({alert["fingerprint"] for alert in replay.alerts}) == 2
