"""A law: whatever is repeated, wherever alerting is killed, each fingerprint fires once and resolves once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alert_replay import THRESHOLDS, rules
from veilstream.alerting.rules import evaluate, observe
from veilstream.alerting.state import State

RULES = rules()

Step = tuple[str, str, float]


def history(steps: list[Step]) -> list[dict[str, Any]]:
    """Budget events as the ledger makes them: an odometer that only a new limit turns back."""
    limits: dict[str, float] = {}
    spent: dict[str, float] = {}
    seqs: dict[str, int] = {}
    events = []
    for budget, kind, amount in steps:
        if budget not in limits:
            kind, limits[budget], spent[budget] = "created", 1.0, 0.0
        elif kind == "raised":
            limits[budget] += amount
        elif kind == "refreshed":
            spent[budget] = 0.0
        elif kind == "charged":
            spent[budget] = min(spent[budget] + amount, limits[budget])
        seqs[budget] = seqs.get(budget, 0) + 1
        events.append(
            {
                "seq": seqs[budget],
                "event": kind,
                "budget": budget,
                "tenant": "acme",
                "epsilon": limits[budget],
                "delta": 1e-5,
                "mode": "odometer",
                "epsilon_spent": spent[budget],
                "fraction": spent[budget] / limits[budget],
            }
        )
    return events


histories = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["charged", "charged", "charged", "raised", "refreshed", "refused", "exhausted"]),
        st.floats(0.0, 0.7),
    ),
    max_size=25,
).map(history)


def take(state: State, event: dict[str, Any]) -> tuple[list[dict[str, Any]], State]:
    return evaluate(state, event, RULES, 0.0)


def straight(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    state, said = State(), []
    for event in events:
        alerts, state = take(state, event)
        said += alerts
    return said


def marks(alerts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(alert["fingerprint"], alert["state"]) for alert in alerts]


@given(histories)
def test_each_fingerprint_fires_once_and_resolves_at_most_once_after_it(events: list[dict[str, Any]]) -> None:
    said = marks(straight(events))
    assert len(said) == len(set(said))
    fired: set[str] = set()
    for mark, state in said:
        if state == "firing":
            fired.add(mark)
        else:
            assert mark in fired


@given(histories, st.data())
def test_repeated_events_say_nothing_more(events: list[dict[str, Any]], data: st.DataObject) -> None:
    """A relay that delivers at least once: after any event, an earlier stretch may come again."""
    repeated: list[dict[str, Any]] = []
    for index, event in enumerate(events):
        repeated.append(event)
        back = data.draw(st.integers(0, index + 1), label=f"repeated after {index}")
        repeated += events[index + 1 - back : index + 1]
    assert straight(repeated) == straight(events)


@given(histories, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.integers(0, 25)), max_size=4))
def test_kills_repeat_nothing_and_lose_nothing(
    events: list[dict[str, Any]], kills: list[tuple[int, int, int]]
) -> None:
    """Each kill comes at some event, after some of its alerts were acknowledged; commits lag behind.

    The next life starts with the state of the topic and the committed offset, as `loading.load_state` does.
    """
    topic: list[dict[str, Any]] = []
    committed = 0
    for at_event, acknowledged, lag in kills:
        state = State.from_alerts(topic)
        for event in events[:committed]:
            state = observe(state, event, RULES, 0.0)
        for index in range(committed, min(at_event, len(events))):
            alerts, state = take(state, events[index])
            if index == at_event - 1:
                topic += alerts[:acknowledged]
                break
            topic += alerts
            committed = max(committed, index + 1 - lag)
    state = State.from_alerts(topic)
    for event in events[:committed]:
        state = observe(state, event, RULES, 0.0)
    for event in events[committed:]:
        alerts, state = take(state, event)
        topic += alerts
    assert marks(topic) == marks(straight(events))


@given(histories)
def test_what_is_open_at_the_end_is_what_holds(events: list[dict[str, Any]]) -> None:
    """A naive oracle: a threshold's alert is open if and only if the last fraction is at or above it."""
    said = straight(events)
    last = {alert["fingerprint"]: alert for alert in said}
    for budget in {event["budget"] for event in events}:
        fraction = [event["fraction"] for event in events if event["budget"] == budget][-1]
        still = {
            alert["threshold"]
            for alert in last.values()
            if alert["budget"] == budget
            and alert["state"] == "firing"
            and alert["rule"] == "budget-threshold"
        }
        assert still == {threshold for threshold in THRESHOLDS if fraction >= threshold}


@given(st.lists(st.floats(0.0, 1.0), max_size=30))
def test_while_the_fraction_only_grows_nothing_resolves_and_thresholds_come_in_order(
    fractions: list[float],
) -> None:
    rising = sorted(fractions)
    events = history([("a", "charged", 0.0)] * len(rising))
    for event, fraction in zip(events, rising, strict=True):
        event["fraction"] = fraction
    said = straight(events)
    assert all(alert["state"] == "firing" for alert in said)
    reached = [alert["threshold"] for alert in said]
    assert reached == sorted(reached)
