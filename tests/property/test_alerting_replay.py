"""A law of every rule: a restart at any point of any history gives the same alerts as no restart.

A history is made of events (a charge, a refusal, a freeze …) and of ticks, in the order of their times, over
days. A kill comes at any input, after any number of its alerts were acknowledged, while the commits lag. The
next life has what `loading.load_state` gives it: the alerts of the topic and the events below the committed
offset. It gets the events from there on again, not the ticks that were; a tick that was cut off comes again.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alert_replay import START, Ledger, built_in, rules, seconds_of
from veilstream.alerting.rules import evaluate, observe
from veilstream.alerting.ruleset import RuleSet
from veilstream.alerting.state import State

QUICK = """
[[rule]]
name = "budget-threshold"
kind = "threshold"
[[rule]]
name = "budget-refused"
kind = "refused"
[[rule]]
name = "budget-frozen"
kind = "frozen"
[[rule]]
name = "burn"
kind = "burn_rate"
period = "3d"
charges = 1
windows = [
    { factor = 4, long = "1h", short = "1m" },
    { factor = 2, long = "6h", short = "10m", keep = "1h" },
    { factor = 1, long = "1d", short = "6h", keep = "0s", severity = "info" },
]
[[rule]]
name = "projection"
kind = "projection"
within = "1d"
over = "1d"
charges = 2
[[rule]]
name = "share"
kind = "share"
share = 0.2
over = "6h"
[[rule]]
name = "absence"
kind = "absence"
expected = "6h"
"""

RULE_SETS = (rules(QUICK), built_in())

Input = tuple[float, dict[str, Any] | None]  # seconds after START, and the event; None is a tick


def history(steps: list[tuple[float, str, str, float, str]]) -> list[Input]:
    ledger, now, inputs = Ledger(), 0.0, list[Input]()
    for pause, kind, budget, amount, model in steps:
        now += pause
        if kind == "tick":
            inputs.append((now, None))
        elif kind == "charged":
            inputs.append((now, ledger.charge(budget, amount, now, model=model)))
        elif kind == "raised":
            inputs.append((now, ledger.raise_to(budget, ledger.limit(budget) + amount + 0.1, now)))
        elif kind == "refused for a freeze":
            inputs.append((now, ledger.say(budget, "refused", now, reason="frozen")))
        else:
            inputs.append((now, ledger.say(budget, kind, now)))
    return inputs


histories = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 30.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0]),
        st.sampled_from(
            ["tick"] * 6
            + ["charged"] * 7
            + ["created", "committed", "raised", "refreshed", "corrected", "refused", "exhausted"]
            + ["frozen", "unfrozen", "refused for a freeze"]
        ),
        st.sampled_from(["acme", "acme/support"]),
        st.sampled_from([0.001, 0.01, 0.05, 0.2, 0.6]),
        st.sampled_from(["one", "two"]),
    ),
    max_size=40,
).map(history)


def take(state: State, one: Input, rule_set: RuleSet) -> tuple[list[dict[str, Any]], State]:
    at, event = one
    return evaluate(state, event, rule_set, START + at)


def straight(inputs: list[Input], rule_set: RuleSet) -> list[dict[str, Any]]:
    state, said = State(), []
    for one in inputs:
        alerts, state = take(state, one, rule_set)
        said += alerts
    return said


def loaded(topic: list[dict[str, Any]], handled: list[dict[str, Any]], rule_set: RuleSet) -> State:
    state = State.from_alerts(topic)
    for event in handled:
        state = observe(state, event, rule_set, seconds_of(event))
    return state


def compacted(topic: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What compaction leaves: the last record of each fingerprint, where it stood."""
    last = {alert["fingerprint"]: number for number, alert in enumerate(topic)}
    return [alert for number, alert in enumerate(topic) if last[alert["fingerprint"]] == number]


def marks(alerts: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [(alert["rule"], alert["fingerprint"], alert["state"], alert["time"]) for alert in alerts]


kills = st.lists(
    st.tuples(st.integers(0, 45), st.integers(0, 8), st.integers(0, 30), st.booleans()), max_size=4
)


@settings(max_examples=250, deadline=None)
@given(histories, kills, st.sampled_from(RULE_SETS))
def test_a_restart_anywhere_gives_the_same_alerts(
    inputs: list[Input], deaths: list[tuple[int, int, int, bool]], rule_set: RuleSet
) -> None:
    topic: list[dict[str, Any]] = []
    events = [event for _, event in inputs if event is not None]
    place = 0  # of the next input
    for at, acknowledged, lag, compact in [*sorted(deaths), (len(inputs), 0, 0, False)]:
        done = sum(event is not None for _, event in inputs[:place])  # events that the last life settled
        committed = max(0, done - lag)
        state = loaded(compacted(topic) if compact else topic, events[:committed], rule_set)
        for event in events[committed:done]:
            # Nothing that was told is told again; what is left of a tick that was cut off may come now.
            alerts, state = evaluate(state, event, rule_set, seconds_of(event))
            topic += alerts
        while place < min(at, len(inputs)):
            alerts, state = take(state, inputs[place], rule_set)
            if place == at - 1 and at <= len(inputs) - 1:
                topic += alerts[:acknowledged]
                break  # killed in the middle of it: it comes again
            topic += alerts
            place += 1
    assert marks(topic) == marks(straight(inputs, rule_set))


@settings(max_examples=150, deadline=None)
@given(histories, st.sampled_from(RULE_SETS))
def test_each_fingerprint_fires_once_and_resolves_at_most_once_after_it(
    inputs: list[Input], rule_set: RuleSet
) -> None:
    fired: set[str] = set()
    resolved: set[str] = set()
    for alert in straight(inputs, rule_set):
        mark = alert["fingerprint"]
        if alert["state"] == "firing":
            assert mark not in fired
            fired.add(mark)
        else:
            assert mark in fired - resolved
            resolved.add(mark)


@settings(max_examples=150, deadline=None)
@given(histories, st.sampled_from(RULE_SETS))
def test_ticks_that_are_not_due_are_of_no_use(inputs: list[Input], rule_set: RuleSet) -> None:
    """The schedule (`due`) leaves out nothing: judging every budget at every tick says the same."""
    from dataclasses import replace

    state, said = State(), list[dict[str, Any]]()
    for one in inputs:
        if one[1] is None:
            for name, budget in list(state.budgets.items()):
                state = state.with_budget(name, replace(budget, due=float("-inf")))
        alerts, state = take(state, one, rule_set)
        said += alerts
    assert marks(said) == marks(straight(inputs, rule_set))
