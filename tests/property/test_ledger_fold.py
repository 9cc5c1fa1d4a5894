"""Laws of reading a journal: repeats do not matter, every other change does."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from veilstream.accounting import INFINITE
from veilstream.errors import JournalBroken
from veilstream.keys import FileKeyProvider
from veilstream.ledger.budget import root_of
from veilstream.ledger.fold import fold
from veilstream.ledger.rebuild import LedgerOpener
from veilstream.ledger.state import document

FOLDER = Path(__file__).parents[1] / "fixtures" / "journal"
VERSIONS = {v: (FOLDER / f"{v}.jsonl").read_bytes().splitlines() for v in ("v1", "v2")}
OPENER = LedgerOpener(FileKeyProvider(FOLDER / "keys"))


def entries(version: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in VERSIONS[version]]


def dumps(journal: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: document(state) for name, state in fold(journal, OPENER, unsigned=True).items()}


versions = st.sampled_from(sorted(VERSIONS))


@given(versions, st.data())
@settings(max_examples=40, deadline=None)
def test_stretches_that_stand_twice_change_nothing(version: str, data: st.DataObject) -> None:
    """As relays write that died before the acknowledgement was noted, or slept: a stretch again, later."""
    journal = entries(version)
    places = st.tuples(st.integers(0, len(journal) - 1), st.integers(1, len(journal)))
    for first, length in sorted(data.draw(st.lists(places, max_size=6)), reverse=True):
        stretch = journal[first : first + length]
        journal[first + len(stretch) : first + len(stretch)] = stretch
    assert dumps(journal) == dumps(entries(version))


@given(versions, st.data())
@settings(max_examples=30, deadline=None)
def test_trees_may_interleave(version: str, data: st.DataObject) -> None:
    by_root: dict[str, list[dict[str, Any]]] = {}
    for entry in entries(version):
        by_root.setdefault(root_of(entry["public"]["budget"]), []).append(entry)
    roots = data.draw(st.permutations([root for root, found in by_root.items() for _ in found]))
    queues = {root: iter(found) for root, found in by_root.items()}
    assert dumps([next(queues[root]) for root in roots]) == dumps(entries(version))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for key, child in value.items() for leaf in leaves(child, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for i, child in enumerate(value) for leaf in leaves(child, (*path, i))]
    return [path]


@given(versions, st.data())
@settings(max_examples=200, deadline=None)
def test_any_changed_leaf_is_found(version: str, data: st.DataObject) -> None:
    journal = entries(version)
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
        fold(journal, OPENER, unsigned=True)


@given(versions, st.data())
@settings(max_examples=60, deadline=None)
def test_any_missing_entry_but_a_budgets_last_is_found(version: str, data: st.DataObject) -> None:
    journal = entries(version)
    at = data.draw(st.integers(0, len(journal) - 1))
    gone = journal.pop(at)
    assume(any(e["public"]["budget"] == gone["public"]["budget"] for e in journal[at:]))
    with pytest.raises(JournalBroken, match=r"entry \d+: "):
        fold(journal, OPENER, unsigned=True)


@given(versions, st.data())
@settings(max_examples=60, deadline=None)
def test_a_journal_grows_prefix_by_prefix(version: str, data: st.DataObject) -> None:
    """Any beginning is a journal, and what stands in it is not touched by what follows but for its budget."""
    journal = entries(version)
    journal = journal[: data.draw(st.integers(0, len(journal)))]
    states = fold(journal, OPENER, unsigned=True)
    whole = [e for e in journal if "part" not in e or e["part"]["index"] + 1 == e["part"]["of"]]
    assert sum(state.budget.seq for state in states.values()) == len(whole)
    for state in states.values():
        budget = state.budget
        for units in state.people.values():
            assert any(spent <= cap for spent, cap in zip(units, budget.caps, strict=True))
            assert all(
                spent <= total or spent == INFINITE for spent, total in zip(units, budget.spent, strict=True)
            )
