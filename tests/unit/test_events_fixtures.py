"""Yesterday's records must be read by today's code: a record of every type, as the first version wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.types import BUDGET_EVENT, PROTECTED, PROTECTED_BATCH, QUARANTINE, TYPES
from veilstream.keys import FileKeyProvider
from veilstream.ledger.chain import GENESIS
from veilstream.processors.sealing import open_quarantined

FOLDER = Path(__file__).parents[1] / "fixtures" / "events"


def rows(ce_type: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (FOLDER / f"{ce_type}.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("ce_type", TYPES)
def test_it_is_still_read(ce_type: str) -> None:
    assert rows(ce_type)
    for row in rows(ce_type):
        attributes = Attributes.from_headers([(name, text.encode()) for name, text in row["headers"]])
        assert attributes.type == ce_type
        codec.decode(ce_type, row["value"].encode())


@pytest.mark.parametrize("ce_type", [PROTECTED, PROTECTED_BATCH])
def test_the_place_in_the_source_is_still_read(ce_type: str) -> None:
    for row in rows(ce_type):
        attributes = Attributes.from_headers([(name, text.encode()) for name, text in row["headers"]])
        assert attributes.origin is not None
        assert attributes.policy_version is not None


def test_the_public_chain_still_holds() -> None:
    events = [orjson.loads(row["value"]) for row in rows(BUDGET_EVENT)]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    heads = [GENESIS, *(event["hash"] for event in events)]
    assert [event["prev_hash"] for event in events] == heads[:-1]


def test_the_quarantined_record_still_opens() -> None:
    (row,) = rows(QUARANTINE)
    original = open_quarantined(orjson.loads(row["value"]), FileKeyProvider(FOLDER / "keys"))
    assert (original.key, original.partition, original.offset) == (b"key", 0, 3)
    assert orjson.loads(original.value or b"")["privacy"] == {"tenant": "fixture"}
