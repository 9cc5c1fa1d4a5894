"""Laws of what alerting remembers: every version stays as it was, and agrees with something obvious."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from veilstream.alerting.history import History
from veilstream.alerting.persistent import Map


class Same:
    """A key whose hash is shared by others in its top, its bottom, or all of its bits."""

    def __init__(self, mark: int, name: int) -> None:
        self.mark, self.name = mark, name

    def __hash__(self) -> int:
        return self.mark

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and (self.mark, self.name) == (other.mark, other.name)


keys = st.builds(
    Same, st.sampled_from([0, 1, 32, 1 << 40, (1 << 60) - 1, -1, 33]), st.integers(0, 20)
) | st.text(max_size=3)


@given(st.lists(st.tuples(keys, st.integers()), max_size=200))
def test_a_map_is_a_dict_and_every_version_of_it_stays(pairs: list[tuple[Any, int]]) -> None:
    now: Map[Any, int] = Map()
    expected: dict[Any, int] = {}
    versions: list[tuple[Map[Any, int], dict[Any, int]]] = []
    for key, value in pairs:
        versions.append((now, dict(expected)))
        now, expected[key] = now.set(key, value), value
    for version, then in [*versions, (now, expected)]:
        assert len(version) == len(then)
        assert dict(version.items()) == then
        assert set(version) == set(then)
        for key, _ in pairs:
            assert version.get(key) == then.get(key)
            assert (key in version) == (key in then)


def test_a_map_holds_many() -> None:
    many = {f"budget-{number}": number for number in range(20_000)}
    found = Map(many)
    assert dict(found.items()) == many
    assert all(found.get(key) == value for key, value in many.items())


class Naive:
    """The oracle: a list of charges, summed anew each time."""

    def __init__(self, charges: list[tuple[int, int]]) -> None:
        self.charges = charges

    def within(self, time: int, window: int) -> list[int]:
        return [amount for at, amount in self.charges if time - window < at <= time]


steps = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "prune", "scale", "fork", "retime"]), st.integers(0, 50)),
    max_size=80,
)


@given(steps, st.lists(st.tuples(st.integers(0, 40), st.integers(1, 100)), min_size=4, max_size=8))
def test_a_history_agrees_with_a_list_of_charges_whatever_was_done_to_other_versions(
    steps: list[tuple[str, int]], questions: list[tuple[int, int]]
) -> None:
    """Amounts are whole, so that sums are exact. Windows that reach into what was pruned are left out."""
    now, charges, clock, floor = History(0), list[tuple[int, int]](), 0, 0
    versions: list[tuple[History, list[tuple[int, int]], int, int]] = []
    for kind, number in steps:
        versions.append((now, list(charges), clock, floor))
        if kind == "add":
            clock += number
            now = now.add(clock, number + 1)
            charges.append((clock, number + 1))
        elif kind == "prune":
            floor = max(floor, clock - number)
            now = now.pruned(floor)
        elif kind == "scale":
            now = now.scaled(2)
            charges = [(at, amount * 2) for at, amount in charges]
        elif kind == "retime":
            clock = max(floor, clock - number)
            now = now.retimed(clock)
            charges = [(min(at, clock), amount) for at, amount in charges]
        else:  # another future of the same past, which must not be seen in this one
            now.add(clock + number, 1000).add(clock + number, 1000)
    for version, then, last, low in [*versions, (now, charges, clock, floor)]:
        oracle = Naive(then)
        for later, window in questions:
            time = last + later
            if time - window < low:
                continue
            assert version.spent(time, window) == sum(oracle.within(time, window))
            assert version.charges(time, window) == len(oracle.within(time, window))
            inside = [at for at, _ in then if time - window < at <= time]
            assert version.changes_at(time, window) == (min(inside) + window if inside else float("inf"))


def test_pruning_frees_the_rows_in_the_end() -> None:
    history = History(0)
    for at in range(10_000):
        history = history.add(at, 1).pruned(at - 100)
    assert len(history) == 100
    assert len(history._times) < 2_300
