"""A batch, to the worker: that many interactions of one person, under the same cap."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiokafka.structs import ConsumerRecord

from veilstream.errors import RecordInvalid
from veilstream.events.cloudevents import Attributes
from veilstream.events.types import BATCH, PROTECTED, PROTECTED_BATCH
from veilstream.worker.contributions import Contributions
from veilstream.worker.reading import decode_protected
from veilstream.worker.tasks import LabelSet, examples

LABELS = LabelSet(["none", "other", "book"])


def token(character: str) -> str:
    return character * 24


def item(number: int, **privacy: str) -> dict[str, Any]:
    return {
        "id": token("abcdefghij"[number]),
        "time": "2026-11-24T07:00:00Z",
        "interaction": {
            "conversation": token("c"),
            "messages": [{"role": "user", "parts": [{"type": "text", "content": f"turn {number}"}]}],
            "privacy": {
                "tenant": "acme",
                "unit": "subject",
                "subject_token": token("s"),
                "ledger_token": token("l"),
                **privacy,
            },
        },
    }


def record(ce_type: str, value: Any, identity: str = token("z")) -> ConsumerRecord:
    headers = Attributes(ce_type, "veilstream/processor", id=identity).to_headers()
    return ConsumerRecord(
        topic="t", partition=0, offset=0, timestamp=0, timestamp_type=1, key=b"", checksum=None,
        value=orjson.dumps(value), serialized_key_size=0, serialized_value_size=0, headers=tuple(headers),
    )  # fmt: skip


def chosen(k: int, records: list[ConsumerRecord]) -> dict[str, list[str]]:
    people = Contributions(k, b"k" * 32)
    for given in records:
        _, interactions = decode_protected(given)
        for identity, value in interactions:
            people.add(value["privacy"]["ledger_token"], identity, examples(value["messages"], LABELS))
    return {person: [example.text for example in people.of(person)] for person in people.people()}


def test_a_batch_reads_as_its_items_in_their_order() -> None:
    entries = [item(number) for number in range(4)]
    _, found = decode_protected(record(PROTECTED_BATCH, {"interactions": entries}))
    assert found == [(entry["id"], entry["interaction"]) for entry in entries]
    _, (one,) = decode_protected(record(PROTECTED, entries[0]["interaction"]))
    assert one == (token("z"), entries[0]["interaction"])


@pytest.mark.parametrize("k", [1, 3, 20])
def test_the_same_examples_are_chosen_together_or_alone(k: int) -> None:
    entries = [item(number) for number in range(10)]
    together = chosen(k, [record(PROTECTED_BATCH, {"interactions": entries})])
    alone = chosen(k, [record(PROTECTED, entry["interaction"], entry["id"]) for entry in entries])
    assert together == alone
    assert len(together[token("l")]) == min(k, 10)


@pytest.mark.parametrize(
    "privacy",
    [
        {"ledger_token": token("m")},
        {"subject_token": token("t")},
        {"tenant": "globex"},
        {"unit": "conversation"},
    ],
)
def test_a_batch_of_two_people_is_nobodys(privacy: dict[str, str]) -> None:
    entries = [item(0), item(1), item(2, **privacy)]
    with pytest.raises(RecordInvalid) as raised:
        decode_protected(record(PROTECTED_BATCH, {"interactions": entries}))
    assert (raised.value.kind, raised.value.path) == ("mixed_units", "$.interactions[2]")


def test_a_raw_batch_is_not_read() -> None:
    with pytest.raises(RecordInvalid) as raised:
        decode_protected(record(BATCH, {"interactions": [item(0)]}))
    assert raised.value.kind == "unknown_type"
