"""The oracle sees what is planted: a loss, a repeat, a wrong order, a wrong topic; else it sees nothing.

Each mutant is one change to outputs that are right; the count that it must move is named, and every other
count must stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from veilstream.bench.chaos.oracle import Output, Place, Raw, Verdict, judge

PROTECTED, QUARANTINE = "interactions.protected", "interactions.quarantine"
NEW, OLD = "b" * 32, "a" * 32
COUNTS = (
    "lost",
    "duplicated_records",
    "duplicated_effects",
    "reordered",
    "quarantined_wrongly",
    "protected_wrongly",
    "misplaced",
    "duplicated_by_older_setting",
)


def _raw() -> list[Raw]:
    """Two incarnations, two partitions, a person in each partition; every tenth is poison."""
    found = []
    for age, incarnation in enumerate((OLD, NEW)):
        for partition in range(2):
            for offset in range(20):
                poison = offset % 10 == 9
                person, seq = (None, None) if poison else (partition, 100 * age + offset)
                found.append(Raw((incarnation, partition, offset), person, seq, poison))
    return found


def _outputs() -> list[Output]:
    """What a right processor makes of it. Both source partitions go to one output partition."""
    found = []
    for record in _raw():
        topic = QUARANTINE if record.poison else PROTECTED
        found.append(Output(topic, 0, 0, record.place, record.person, record.seq, "strict@1"))
    return _numbered(found)


def _numbered(outputs: list[Output]) -> list[Output]:
    """Offsets as they stand."""
    return [replace(output, offset=number) for number, output in enumerate(outputs)]


def _judge(
    outputs: list[Output], *, exactly_once: bool = True, optional: set[Place] | None = None
) -> Verdict:
    return judge(
        _raw(),
        _numbered(outputs),
        acknowledged={record.place for record in _raw()},
        optional=optional or set(),
        incarnations=[OLD, NEW],
        exactly_once=exactly_once,
        policy="strict@1",
    )


def _moved(verdict: Verdict) -> dict[str, int]:
    return {name: getattr(verdict, name) for name in COUNTS if getattr(verdict, name)}


def test_right_outputs_owe_nothing() -> None:
    verdict = _judge(_outputs())
    assert _moved(verdict) == {}
    assert verdict.holds
    assert (verdict.records, verdict.poison) == (80, 8)


@pytest.mark.parametrize("at", [0, 9, 41, 79])
def test_a_record_without_output_is_lost(at: int) -> None:
    outputs = _outputs()
    del outputs[at]
    verdict = _judge(outputs)
    assert _moved(verdict) == {"lost": 1}
    assert verdict.examples["lost"] == ["/".join(str(part)[:8] for part in _raw()[at].place)]


def test_what_went_with_a_deleted_topic_is_owed_by_nobody_but_may_be_there() -> None:
    outputs = _outputs()
    gone = outputs.pop(5)
    assert _moved(_judge(outputs, optional={gone.place})) == {}
    assert _moved(_judge(_outputs(), optional={gone.place})) == {}


def test_an_acknowledged_record_that_the_broker_forgot_is_lost() -> None:
    forgotten = (NEW, 0, 20)
    assert judge(
        _raw(), _outputs(), acknowledged={forgotten}, incarnations=[OLD, NEW], exactly_once=True
    ).lost == 1  # fmt: skip


def test_an_output_written_twice_is_a_duplicated_record_and_no_effect() -> None:
    outputs = _outputs()
    outputs.insert(8, outputs[7])
    assert _moved(_judge(outputs)) == {"duplicated_records": 1}


def test_a_batch_written_again_is_a_repeat_for_each_and_goes_back_for_the_plain_reader_only() -> None:
    outputs = _outputs()
    outputs[8:8] = outputs[2:8]
    moved = _moved(_judge(outputs))
    assert moved["duplicated_records"] == 6
    assert moved["reordered"] > 0
    assert set(moved) == {"duplicated_records", "reordered"}
    assert _moved(_judge(outputs, exactly_once=False)) == {"duplicated_records": 6}


def test_a_repeat_in_another_output_partition_is_an_effect_twice() -> None:
    outputs = _outputs()
    outputs.append(replace(outputs[3], partition=1))
    assert _moved(_judge(outputs)) == {"duplicated_records": 1, "duplicated_effects": 1}


def test_a_record_in_both_topics_is_an_effect_twice() -> None:
    outputs = _outputs()
    outputs.insert(4, replace(outputs[3], topic=QUARANTINE))
    moved = _moved(_judge(outputs))
    assert moved == {"duplicated_records": 1, "duplicated_effects": 1, "quarantined_wrongly": 1}


def test_two_records_that_changed_places_are_out_of_order_and_the_rule_drops_the_earlier() -> None:
    outputs = _outputs()
    outputs[3], outputs[4] = outputs[4], outputs[3]
    assert _moved(_judge(outputs)) == {"reordered": 1, "lost": 1}
    assert _moved(_judge(outputs, exactly_once=False)) == {"lost": 1}


def test_an_old_topics_record_behind_a_new_ones_is_out_of_order() -> None:
    outputs = _outputs()
    late = outputs.pop(18)  # the last but one of the first partition of the old topic
    outputs.append(late)
    for exactly_once in (True, False):
        assert _moved(_judge(outputs, exactly_once=exactly_once)) == {"reordered": 1}


MUTANTS: dict[str, Callable[[Output], Output]] = {
    "quarantined_wrongly": lambda o: replace(o, topic=QUARANTINE),
    "misplaced": lambda o: replace(o, seq=(o.seq or 0) + 1),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_good_record_in_the_wrong_place_is_seen(name: str) -> None:
    outputs = _outputs()
    outputs[6] = MUTANTS[name](outputs[6])
    assert _moved(_judge(outputs)) == {name: 1}


def test_poison_that_passes_is_seen() -> None:
    outputs = _outputs()
    assert outputs[9].topic == QUARANTINE
    outputs[9] = replace(outputs[9], topic=PROTECTED)
    assert _moved(_judge(outputs)) == {"protected_wrongly": 1}


def test_a_record_under_the_name_of_another_incarnation_is_lost_and_misplaced() -> None:
    outputs = _outputs()
    outputs[45] = replace(outputs[45], place=("c" * 32, *outputs[45].place[1:]))
    moved = _moved(_judge(outputs))
    assert moved["lost"] == 1
    assert moved["misplaced"] == 1


def test_a_repeat_by_an_older_processor_is_counted_by_itself() -> None:
    outputs = _outputs()
    outputs.insert(8, replace(outputs[7], policy="older@1"))
    assert _moved(_judge(outputs)) == {"duplicated_by_older_setting": 1}


def test_an_effect_twice_is_never_excused() -> None:
    outputs = _outputs()
    outputs.append(replace(outputs[7], policy="older@1", partition=1))
    moved = _moved(_judge(outputs))
    assert moved == {"duplicated_by_older_setting": 1, "duplicated_effects": 1}
