"""Laws of silences and inhibition: when they hold, that they forget no alert, and who hides whom."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alert_world import alert
from veilstream.alerting.delivery_board import Board, Place
from veilstream.alerting.silences import (
    FIELDS,
    Inhibition,
    Matcher,
    Silence,
    load_inhibitions,
    parse_matchers,
)

NOW = 1_800_000_000.0
TEXT = st.text("abc/*?[]-.", min_size=1, max_size=8)
SPANS = st.tuples(st.floats(NOW - 1000, NOW + 1000), st.floats(0.001, 1000))
RULES = load_inhibitions(None)
ALERTS = st.builds(
    lambda number, state, severity, budget, rule, seq: alert(
        number, state, severity=severity, budget=budget, rule=rule, seq=seq
    ),
    st.integers(1, 6),
    st.sampled_from(["firing", "resolved"]),
    st.sampled_from(["info", "warning", "critical"]),
    st.sampled_from(["acme", "acme/a", "acme/b"]),
    st.sampled_from(["budget-threshold", "budget-exhausted", "budget-refused"]),
    st.integers(1, 9),
)


def board_of(alerts: list[dict[str, Any]], rules: tuple[Inhibition, ...] = RULES) -> Board:
    board = Board(rules)
    for offset, one in enumerate(alerts):
        board.see_alert(one, Place("budget.alerts", offset))
    return board


@given(SPANS, st.floats(NOW - 3000, NOW + 3000))
def test_a_silence_holds_from_its_start_until_before_its_end(span: tuple[float, float], now: float) -> None:
    starts, lasts = span
    silence = Silence("s", parse_matchers(["budget=*"]), starts, starts + lasts, "me", "why")
    board = Board(())
    board.see_silence(silence, Place("budget.alerts", 0))
    inside = starts <= now < starts + lasts
    assert (board.verdict(alert(), now) == "silenced") == inside
    # The next edge is where the answer changes, and none lies between.
    edge = board.next_edge(now)
    assert (edge is None) == (now >= starts + lasts)
    if edge is not None:
        assert edge > now
        assert (board.verdict(alert(), (now + edge) / 2) == "silenced") == (
            inside or (now + edge) / 2 >= edge
        )


@given(SPANS, st.sampled_from(FIELDS), TEXT)
def test_a_silence_is_read_as_it_was_written_to_the_millisecond(
    span: tuple[float, float], field: str, glob: str
) -> None:
    starts, lasts = span
    pattern = "*" if field == "severity" else glob  # a severity that there is not is refused
    made = Silence("s-1", parse_matchers([f"{field}={pattern}"]), starts, starts + lasts, "me", "why")
    again = Silence.from_value(made.to_value())
    assert (again.id, again.matcher, again.by, again.comment) == (made.id, made.matcher, "me", "why")
    assert abs(again.starts - made.starts) <= 0.001
    assert abs(again.ends - made.ends) <= 0.001
    assert Silence.from_value(again.to_value()) == again


@given(st.text("ab/", max_size=6), st.text("ab/*?", min_size=1, max_size=6))
def test_patterns_are_those_of_the_shell_over_the_whole_text(text: str, glob: str) -> None:
    """Against ten obvious lines."""

    def like(pattern: str, rest: str) -> bool:
        if not pattern:
            return not rest
        if pattern[0] == "*":
            return any(like(pattern[1:], rest[i:]) for i in range(len(rest) + 1))
        return bool(rest) and pattern[0] in ("?", rest[0]) and like(pattern[1:], rest[1:])

    assert parse_matchers([f"budget={glob}"]).matches({"budget": text}) == like(glob, text)


@given(st.lists(ALERTS, max_size=12), st.permutations(range(12)))
def test_the_board_does_not_depend_on_the_order_in_which_it_is_seen(
    alerts: list[dict[str, Any]], order: list[int]
) -> None:
    """Of each key the highest offset counts: records that are read twice or late change nothing."""
    board, shuffled = board_of(alerts), Board(RULES)
    for offset in [n for n in order if n < len(alerts)] * 2:
        shuffled.see_alert(alerts[offset], Place("budget.alerts", offset))
    assert {m: k.place for m, k in board.firing.items()} == {m: k.place for m, k in shuffled.firing.items()}
    for one in alerts:
        assert board.verdict(one, NOW) == shuffled.verdict(one, NOW)


@given(st.lists(ALERTS, max_size=12))
def test_inhibition_agrees_with_the_definition(alerts: list[dict[str, Any]]) -> None:
    board = board_of(alerts)
    firing = {one["fingerprint"]: one for one in alerts}
    firing = {mark: one for mark, one in firing.items() if one["state"] == "firing"}
    for target in alerts:
        expected = any(
            rule.target.matches(target)
            and rule.source.matches(source)
            and rule.key(source) == rule.key(target)
            and mark != target["fingerprint"]
            and not (rule.source.matches(target) and rule.target.matches(source))
            for rule in RULES
            for mark, source in firing.items()
        )
        assert (board.verdict(target, NOW) == "inhibited") == expected


@given(st.lists(ALERTS, min_size=1, max_size=12))
def test_somebody_is_always_told(alerts: list[dict[str, Any]]) -> None:
    """Inhibition by the built-in rules never hides every alert of a budget that has some."""
    board = board_of(alerts)
    firing = [known.alert for known in board.firing.values()]
    for budget in {one["budget"] for one in firing}:
        told = [o for o in firing if o["budget"] == budget and board.verdict(o, NOW) is None]
        assert told, budget


@given(ALERTS, ALERTS)
def test_another_budgets_alert_hides_nothing(one: dict[str, Any], other: dict[str, Any]) -> None:
    if one["budget"] != other["budget"] and one["fingerprint"] != other["fingerprint"]:
        board = board_of([{**one, "state": "firing"}])
        assert board.verdict(other, NOW) is None


def test_two_that_are_source_and_target_do_not_hide_each_other() -> None:
    every = Matcher((("severity", ("*",)),))
    board = board_of([alert(1), alert(2)], (Inhibition("all", every, every, ("budget",)),))
    assert board.verdict(alert(1), NOW) is None
    assert board.verdict(alert(2), NOW) is None
