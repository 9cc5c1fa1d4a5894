"""Laws of reading a journal: repeats do not matter, every other change does."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from veilstream.errors import JournalBroken
from veilstream.keys import FileKeyProvider
from veilstream.ledger.fold import fold
from veilstream.ledger.rebuild import LedgerOpener
from veilstream.ledger.state import document

FOLDER = Path(__file__).parents[1] / "fixtures" / "journal"
LINES = (FOLDER / "v1.jsonl").read_bytes().splitlines()
OPENER = LedgerOpener(FileKeyProvider(FOLDER / "keys"))


def entries() -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in LINES]


def dumps(journal: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: document(state) for name, state in fold(journal, OPENER).items()}


@given(st.lists(st.tuples(st.integers(0, len(LINES) - 1), st.integers(1, len(LINES))), max_size=6))
@settings(max_examples=30, deadline=None)
def test_stretches_that_stand_twice_change_nothing(repeats: list[tuple[int, int]]) -> None:
    """As relays write that died before the acknowledgement was noted, or slept: a stretch again, later."""
    journal = entries()
    for first, length in sorted(repeats, reverse=True):
        stretch = journal[first : first + length]
        journal[first + len(stretch) : first + len(stretch)] = stretch
    assert dumps(journal) == dumps(entries())


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_budgets_may_interleave(data: st.DataObject) -> None:
    by_budget: dict[str, list[dict[str, Any]]] = {}
    for entry in entries():
        by_budget.setdefault(entry["public"]["budget"], []).append(entry)
    names = data.draw(st.permutations([n for n, found in by_budget.items() for _ in found]))
    queues = {name: iter(found) for name, found in by_budget.items()}
    assert dumps([next(queues[name]) for name in names]) == dumps(entries())


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, child in value.items() for leaf in leaves(child, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for i, child in enumerate(value) for leaf in leaves(child, (*path, i))]
    return [path]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_changed_leaf_is_found(data: st.DataObject) -> None:
    journal = entries()
    at = data.draw(st.integers(0, len(journal) - 1))
    path = data.draw(st.sampled_from(leaves(journal[at])))
    holder: Any = journal[at]
    for step in path[:-1]:
        holder = holder[step]
    old = holder[path[-1]]
    new: Any = data.draw(
        st.one_of(st.integers(0, 10), st.text(max_size=3), st.none(), st.just({}), st.floats(0, 9))
    )
    assume(orjson.dumps(new) != orjson.dumps(old))
    holder[path[-1]] = new
    with pytest.raises(JournalBroken):
        fold(journal, OPENER)


@given(st.integers(0, len(LINES) - 1))
def test_any_missing_entry_but_a_budgets_last_is_found(at: int) -> None:
    journal = entries()
    gone = journal.pop(at)
    assume(any(e["public"]["budget"] == gone["public"]["budget"] for e in journal[at:]))
    with pytest.raises(JournalBroken, match=rf"entry {gone['public']['seq']}: it is missing"):
        fold(journal, OPENER)


@given(st.integers(0, len(LINES)))
def test_a_journal_grows_prefix_by_prefix(length: int) -> None:
    """Any beginning is a journal, and what stands in it is not touched by what follows but for its budget."""
    states = fold(entries()[:length], OPENER)
    assert sum(state.budget.seq for state in states.values()) == length
    for state in states.values():
        budget = state.budget
        for units in state.people.values():
            assert any(spent <= cap for spent, cap in zip(units, budget.caps, strict=True))
            assert all(spent <= total for spent, total in zip(units, budget.spent, strict=True))
