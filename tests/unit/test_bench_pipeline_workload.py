"""The workload is what it says: sizes, history, planted data, the same for the same seed."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pytest

from veilstream.bench.pipeline.workload import Made, records, utterances
from veilstream.errors import SettingInvalid

TEXTS = [f"utterance number {number} says this and that about a trip" for number in range(500)]


def value(made: Made) -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(made.record.value)
    return loaded


def _text_bytes(record: dict[str, Any]) -> int:
    return sum(len(part["content"]) for message in record["messages"] for part in message["parts"])


def some(kind: str, count: int, **options: int) -> list[Made]:
    return list(islice(records(TEXTS, kind, 7, **options), count))


def test_the_same_seed_gives_the_same_values() -> None:
    assert [m.record.value for m in some("fresh", 50)] == [m.record.value for m in some("fresh", 50)]


def test_another_seed_gives_others() -> None:
    other = list(islice(records(TEXTS, "fresh", 8), 1))
    assert other[0].record.value != some("fresh", 1)[0].record.value


def test_median_new_text_is_two_kilobytes() -> None:
    # The median of 2,000 log-normal values, σ 0.5: standard error 1.25 σ/√n = 1.4 %; 10 % is seven of them.
    texts = [_text_bytes(value(m)) for m in some("fresh", 2000)]
    assert 1800 < median(texts) < 2200


@pytest.mark.parametrize("kb", [1, 4, 16])
def test_fixed_size_records_have_that_size(kb: int) -> None:
    assert all(
        0.9 * kb * 1000 < len(m.record.value) < 1.1 * kb * 1000 for m in some("fresh", 20, record_kb=kb)
    )


def test_replayed_records_repeat_their_history() -> None:
    last: dict[object, list[object]] = {}
    for made in some("replayed", 3000):
        record = value(made)
        messages = record["messages"]
        assert isinstance(messages, list)
        before = last.get(record["conversation"], [])
        assert messages[: len(before)] == before
        assert len(messages) == len(before) + 2
        if before:
            assert 0 < made.new_bytes < len(made.record.value)
        else:
            assert made.new_bytes == len(made.record.value)
        last[record["conversation"]] = messages
    ended = [len(messages) // 2 for messages in last.values()]
    assert max(ended) == 16
    assert sum(m.new_bytes for m in some("replayed", 3000)) < sum(
        len(m.record.value) for m in some("replayed", 3000)
    )


def test_personal_data_is_planted() -> None:
    text = b"".join(m.record.value for m in some("fresh", 200))
    for trace in (b"@example", b"(415) 555-", b"my card 4", b"My name is "):
        assert trace.lower() in text.lower()


def test_planted_cards_pass_luhn() -> None:
    from random import Random

    from veilstream.bench.pipeline.workload import _card

    for seed in range(50):
        digits = [int(digit) for digit in _card(Random(seed))]
        doubled = [d * 2 - 9 * (d > 4) if place % 2 == 0 else d for place, d in enumerate(digits)]
        assert len(digits) == 16
        assert sum(doubled) % 10 == 0


def test_a_batch_holds_so_many_interactions_of_one_person() -> None:
    for made in some("fresh", 5, batch_size=3):
        items = value(made)["interactions"]
        assert isinstance(items, list)
        assert len(items) == 3
        assert len({item["interaction"]["privacy"]["subject"] for item in items}) == 1


def test_missing_dialogues_are_said(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="not there"):
        utterances(tmp_path)
    (tmp_path / "wrong.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(SettingInvalid, match="cannot be read"):
        utterances(tmp_path / "wrong.jsonl")
