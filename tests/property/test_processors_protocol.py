"""No schedule of faults makes the processor lose, repeat or reorder a record; each rule left out does.

Exhaustive within the bound (`FAULTS` faults, two workers, three records); beyond it schedules are drawn, for
three workers and more faults.
"""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilstream.processors.protocol_model import (
    AT_LEAST_ONCE,
    EXACTLY_ONCE,
    MUTANT_FAULTS,
    MUTANTS,
    explore,
    main,
)
from veilstream.processors.protocol_steps import Model, Protocol

NEED_NO_FAULT = {
    "what is below the next offset is not dropped",
    "at least once: acknowledged before delivery",
}
"""Mutants that break by themselves; each other one needs a single fault, and no more."""
WIDER_FAULTS = 7

DELIVERIES = pytest.mark.parametrize("protocol", [EXACTLY_ONCE, AT_LEAST_ONCE], ids=lambda p: p.delivery)


@DELIVERIES
def test_no_schedule_within_the_bound_breaks_the_promise(protocol: Protocol) -> None:
    report = explore(protocol)
    assert report.violation is None, "\n".join(report.violation or ())
    assert report.states > 10_000
    assert report.transitions > report.states


@pytest.mark.slow
@DELIVERIES
def test_nor_does_one_within_a_wider_bound(protocol: Protocol) -> None:
    report = explore(protocol, faults=WIDER_FAULTS)
    assert report.violation is None, "\n".join(report.violation or ())
    assert report.states > 40_000


def _wrong_values(rule: str) -> set[Any]:
    """The values of a rule that are not the product's."""
    hint = get_type_hints(Protocol)[rule]
    values = set(get_args(hint)) if get_origin(hint) is Literal else {True, False}
    return values - {getattr(EXACTLY_ONCE, rule)}


def test_each_wrong_value_of_each_rule_is_a_mutant() -> None:
    """None is forgotten, none is there twice; the mutants of at least once leave out one rule each, too."""
    rules = [field.name for field in fields(Protocol) if field.name != "delivery"]
    wrong = [replace(EXACTLY_ONCE, **{rule: value}) for rule in rules for value in _wrong_values(rule)]
    mutants = [mutant for mutant in MUTANTS.values() if mutant.delivery == "exactly_once"]
    assert len(mutants) == len(wrong)
    assert set(mutants) == set(wrong)
    for mutant in MUTANTS.values():
        if mutant.delivery == "at_least_once":
            assert sum(getattr(mutant, rule) != getattr(AT_LEAST_ONCE, rule) for rule in rules) == 1


@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_that_is_left_out_is_caught_with_a_trace(name: str) -> None:
    least = 0 if name in NEED_NO_FAULT else 1
    assert not least or explore(MUTANTS[name], faults=0).violation is None
    trace = explore(MUTANTS[name], faults=least).violation
    assert trace is not None
    assert trace[0] == "A is assigned the partition"
    assert trace[-1].startswith("broken: ")
    assert all(not step.startswith("broken: ") for step in trace[:-1])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a fenced lane lets go for good", "no way on without a further fault"),
        ("what is below the next offset is not dropped", "outputs [1, 1] are committed with the offset 1"),
        ("fetches from before the opening are taken", "outputs [2] are committed with the offset 2"),
        ("offset committed after the transaction", "a read_committed reader sees the records [1, 1]"),
        ("offset committed before the transaction", "a read_committed reader sees the records [2]"),
        ("at least once: acknowledged before delivery", "the offset 1 is beyond the output []"),
    ],
)
def test_a_mutant_breaks_as_it_should(name: str, what: str) -> None:
    trace = explore(MUTANTS[name], faults=MUTANT_FAULTS).violation
    assert trace is not None
    assert trace[-1] == f"broken: {what}"


def test_what_a_fence_is_for_does_happen() -> None:
    """Not vacuous: zombies are refused, and requests of the dead do arrive."""
    model = Model(EXACTLY_ONCE, workers=2, records=2)
    start = model.initial(2)
    seen, frontier, words = {start}, [start], set()
    while frontier:
        for word, after, _ in model.steps(frontier.pop()):
            words.add(word)
            if after not in seen:
                seen.add(after)
                frontier.append(after)
    for step in (
        "A: Produce of record 1 is refused",
        "A: TxnOffsetCommit of offset 1 is refused",
        "B: EndTxn is refused",
        "the late Produce of record 1 arrives",
        "the late TxnOffsetCommit of offset 1 arrives",
        "the late EndTxn arrives",
        "the late InitProducerId arrives",
        "A is killed, its EndTxn still under way",
        "A hears that the partition is gone, its EndTxn still under way",
        "the transaction's timeout aborts it",
    ):
        assert step in words, step


@DELIVERIES
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_nor_does_any_longer_schedule_that_is_drawn(protocol: Protocol, seed: int) -> None:
    model, chance = Model(protocol, workers=3, records=5), random.Random(seed)
    state = model.initial(12)
    for _ in range(200):
        steps = list(model.steps(state))
        if not steps:
            break
        _, state, _ = chance.choice(steps)
        assert model.broken(state) is None


def test_the_report_says_what_was_explored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilstream.processors.protocol_model.FAULTS", 1)
    monkeypatch.setattr(
        "veilstream.processors.protocol_model.MUTANTS",
        {"one transactional id for the process": Protocol(transactional_id="process")},
    )
    assert main(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["explored"]
    assert [row["protocol"] for row in rows[:2]] == ["exactly once", "at least once"]
    assert [row["violation"] is None for row in rows] == [True, True, False]
    assert main([]) == 0
    assert "B is assigned the partition" in capsys.readouterr().out
