"""The schedule is a function of the seed, and fair: each round has every fault once."""

from __future__ import annotations

from itertools import islice

from veilstream.bench.chaos.faults import FAULTS
from veilstream.bench.chaos.schedule import Turn, schedule

NAMES = sorted(FAULTS)


def _first(seed: int, names: list[str], count: int) -> list[Turn]:
    return list(islice(schedule(seed, names), count))


def test_the_same_seed_is_the_same_schedule_whatever_the_order_of_names() -> None:
    assert _first(7, NAMES, 100) == _first(7, NAMES[::-1], 100)


def test_another_seed_is_another_schedule() -> None:
    schedules = {tuple(_first(seed, NAMES, 40)) for seed in range(50)}
    assert len(schedules) == 50


def test_each_round_has_every_fault_once() -> None:
    turns = _first(3, NAMES, 4 * len(NAMES))
    for number in range(1, 5):
        assert sorted(turn.fault for turn in turns if turn.round == number) == NAMES


def test_a_fault_chooses_anew_each_time() -> None:
    turns = _first(3, NAMES, 4 * len(NAMES))
    assert len({turn.seed for turn in turns}) == len(turns)


def test_no_faults_are_no_schedule() -> None:
    assert _first(1, [], 5) == []


def test_every_fault_has_a_name_a_sentence_and_a_bound() -> None:
    assert len(FAULTS) == 21
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.__doc__
        assert 0 < fault.seconds <= 90
        assert fault.needs <= {"network", "disks", "clock", "train", "alerting"}
