"""The cap, the choice, and what was applied before."""

from __future__ import annotations

from veilstream.events.cloudevents import Origin
from veilstream.worker.contributions import Contributions, Positions, choose
from veilstream.worker.tasks import Example

KEY = b"k" * 32


def calls(count: int) -> list[Example]:
    return [Example(f"call {n}", 2, True) for n in range(count)]


def others(count: int) -> list[Example]:
    return [Example(f"talk {n}", 0, False) for n in range(count)]


def test_half_of_the_places_are_for_calls() -> None:
    assert [e.is_call for e in choose(4, calls(9), others(9))] == [True, True, False, False]
    assert [e.is_call for e in choose(3, calls(9), others(9))] == [True, True, False]
    assert [e.is_call for e in choose(1, calls(9), others(9))] == [True]


def test_what_is_left_of_either_is_filled_with_the_other() -> None:
    assert len(choose(4, calls(9), [])) == 4
    assert len(choose(4, [], others(9))) == 4
    assert [e.is_call for e in choose(4, calls(1), others(9))] == [True, False, False, False]
    assert [e.is_call for e in choose(4, calls(9), others(1))] == [True, True, False, True]
    assert choose(4, calls(1), others(1)) == [*calls(1), *others(1)]


def test_at_most_k_of_a_person_over_all_records() -> None:
    people = Contributions(4, KEY)
    for record in range(50):
        people.add("a", f"record {record}", calls(5) + others(5))
    people.add("b", "record", calls(1))
    people.add("c", "record", [])
    assert people.people() == ["a", "b", "c"]
    assert len(people.of("a")) == 4
    assert people.of("b") == calls(1)
    assert people.of("c") == people.of("nobody") == []


def test_the_choice_hangs_on_the_key() -> None:
    chosen = set()
    for number in range(20):
        people = Contributions(2, bytes([number]) * 32)
        people.add("a", "record", calls(30))
        chosen.add(tuple(e.text for e in people.of("a")))
    assert len(chosen) > 15


def test_what_is_delivered_again_is_dropped() -> None:
    positions = Positions()
    one = "a" * 32

    def new(offset: int, *, partition: int = 0, source: int = 0, incarnation: str = one) -> bool:
        return positions.advance(partition, Origin(incarnation, source, offset))

    assert [new(n) for n in (5, 6, 9)] == [True, True, True]
    assert [new(n) for n in (5, 6, 9)] == [False, False, False]
    assert new(10)
    assert new(3, partition=1)  # another partition of ours: another order
    assert new(3, source=1)
    assert new(0, incarnation="b" * 32)  # the source topic was made anew
    assert positions.advance(0, None)
    assert positions.advance(0, None)
    again = Positions(positions.state())
    assert not again.advance(0, Origin(one, 0, 10))
    assert again.advance(0, Origin(one, 0, 11))
