"""No schedule of faults makes the ledger release what is unpaid, or tell of one person; a rule left out does.

Exhaustive within the bound (`FAULTS` faults, two workers, two charges); beyond it schedules are drawn, with
more of both. What was explored, and how long it took, is in the test's output (`-s`, or `--json`).
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilstream.ledger.protocol_model import (
    MUTANT_FAULTS,
    MUTANTS,
    PRODUCT,
    TELLING,
    explore,
    main,
    telling,
    views,
)
from veilstream.ledger.protocol_steps import Model, State
from veilstream.ledger.protocol_store import WINDOWS, Protocol, without

NEED_NO_FAULT = {
    "an attempt starts before the journal has its charge",
    "people are admitted by the odometer alone",
    "the charged budget's entry comes before its parent's",
    "the relay acknowledges and then appends",
}
"""Mutants that break by themselves; each other one needs a single fault, and no more."""

BREAKS_AS = {
    "an attempt starts before the journal has its charge": "more is trained than the journal shows as spent",
    "an attempt of a lost store starts": "an attempt is trained twice",
    "an attempt that has started starts again": "an attempt is trained twice",
    "a release is committed twice": "an attempt is committed that is committed",
    "an abandoned attempt is refunded": "more is trained than the journal shows as spent",
    "a charge is not fenced": "a process whose lease was taken changes something",
    "a transition is not fenced": "a process whose lease was taken changes something",
    "a charge under way keeps nobody out": "entry 2 of budget 0 follows 2",
    "a charge under way is for its process alone": "A cannot go on by itself",
    "the bitmap is lost with its process": "the store differs from journal and outbox: people",
    "people are admitted by the odometer alone": "a person passes their cap",
    "the odometer is not asked": "the odometer passes its cap",
    "a manifest that was charged is charged again": "a manifest is charged twice",
    "attempts are not counted": "attempt 1 at window 0 follows 1",
    "a plan that something came before is carried out": "entry 2 of budget 0 follows 2",
    "the charged budget's entry comes before its parent's": "the root shows less than was charged below it",
    "the relay acknowledges and then appends": "more is trained than the journal shows as spent",
    "a store is made again while a relay appends": "the store differs from journal and outbox: seq",
}


def test_no_schedule_within_the_bound_breaks_the_promise() -> None:
    began = time.perf_counter()
    report = explore(PRODUCT)
    print(f"\n{report.states} states, {report.transitions} transitions, {time.perf_counter() - began:.1f} s")
    assert report.violation is None, "\n".join(report.violation or ())
    assert report.states > 100_000
    assert report.transitions > 2 * report.states


@pytest.mark.slow
def test_nor_does_one_with_room_for_a_third_charge() -> None:
    report = explore(PRODUCT, charges=3)
    print(f"\n{report.states} states, {report.transitions} transitions")
    assert report.violation is None, "\n".join(report.violation or ())


def test_each_rule_left_out_is_a_mutant() -> None:
    """None is forgotten, none is there twice, and each leaves out one rule."""
    wrong = [Protocol(**{field.name: not field.default}) for field in fields(Protocol)]
    mutants = [*MUTANTS.values(), *TELLING.values()]
    assert len(mutants) == len(wrong)
    assert set(mutants) == set(wrong)
    assert set(BREAKS_AS) == set(MUTANTS)


@pytest.mark.parametrize("name", MUTANTS)
def test_each_rule_left_out_is_caught_with_a_trace(name: str) -> None:
    least = 0 if name in NEED_NO_FAULT else 1
    assert not least or explore(MUTANTS[name], faults=0).violation is None
    trace = explore(MUTANTS[name], faults=least).violation
    assert trace is not None
    assert trace[0] == "both budgets are created"
    assert trace[-1] == f"broken: {BREAKS_AS[name]}"
    assert all(not step.startswith("broken: ") for step in trace[:-1])


def test_what_is_seen_outside_does_not_depend_on_one_person() -> None:
    count, told = telling(PRODUCT, faults=MUTANT_FAULTS)
    print(f"\n{count} views")
    assert not told
    assert count > 100


@pytest.mark.slow
def test_nor_does_it_with_more_faults() -> None:
    count, told = telling(PRODUCT)
    print(f"\n{count} views")
    assert not told


@pytest.mark.parametrize("name", TELLING)
def test_what_tells_of_one_person_is_caught(name: str) -> None:
    assert explore(TELLING[name], faults=0).violation is None or name.startswith("a window of which nobody")
    assert telling(TELLING[name], faults=0)[1]


def test_the_views_say_more_than_one_thing_and_no_person() -> None:
    """Not vacuous: refusals, abandoned attempts and cut groups are among them, admitted people are not."""
    seen = views(PRODUCT, faults=MUTANT_FAULTS)
    kinds = {event[2] for view in seen for event in view}  # type: ignore[index]
    assert kinds == {"raised", "charged", "refused", "started", "committed", "abandoned"}
    assert any(view and view[-1][0] == 0 for view in seen)  # type: ignore[index]
    assert without(WINDOWS, 0) == ((1,), ())
    assert seen == views(PRODUCT, without(WINDOWS, 0), faults=MUTANT_FAULTS)


def test_what_fences_locks_and_rebuilds_are_for_does_happen() -> None:
    """Not vacuous: zombies are refused, the dead are helped, lost starts are not repeated."""
    words = set()
    model = Model(PRODUCT)
    start = model.initial(1)
    seen, frontier = {start}, [start]
    while frontier:
        for word, _, after, _ in model.steps(frontier.pop()):
            words.add(word)
            if after not in seen:
                seen.add(after)
                frontier.append(after)
    for step in (
        "A: charge of A's attempt 1 at window 0: fenced",
        "A: charge of A's attempt 1 at window 0: repeated",
        "B: charge of B's attempt 1 at window 0: attempt",
        "A: charge of A's attempt 1 at window 1: charged",
        "A: charge of A's attempt 2 at window 1: refused",
        "A: A's attempt 1 at window 0 is started: fenced",
        "A: A's attempt 1 at window 0 is started: rebuilt",
        "A: A's attempt 1 at window 0 is started: state",
        "A: A's attempt 1 at window 0 is committed: fenced",
        "B: A's attempt 1 at window 0 is abandoned: ok",
        "B: advance of A's attempt 1 at window 0, run 2",
        "A finds it finished",
        "the relay without a lease appends the leaf's entry 2, charged",
        "the store is lost, and made again from the journal, of which the relay had just appended 1 entries",
    ):
        assert step in words, step


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_nor_does_any_longer_schedule_that_is_drawn(seed: int) -> None:
    model, chance = Model(PRODUCT, charges=5), random.Random(seed)
    state: State = model.initial(12)
    for _ in range(150):
        steps = list(model.steps(state))
        if not steps:
            break
        _, _, state, _ = chance.choice(steps)
        assert model.broken(state) is None


def test_the_report_says_what_was_explored(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = {"the bitmap is lost with its process": Protocol(bitmap_in_the_store=False)}
    monkeypatch.setattr("veilstream.ledger.protocol_model.FAULTS", 1)
    monkeypatch.setattr("veilstream.ledger.protocol_model.MUTANTS", caught)
    told = {"an event tells how many runs a charge took": Protocol(hides_runs=False)}
    monkeypatch.setattr("veilstream.ledger.protocol_model.TELLING", told)
    assert main(["--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["explored"]
    assert [row["protocol"] for row in rows[:2]] == ["the ledger", *caught]
    assert [row["violation"] is None for row in rows[:2]] == [True, False]
    assert [row["tells"] for row in rows[2:]] == [False, True]
    assert main([]) == 0
    assert "A is killed" in capsys.readouterr().out
