"""What the outside sees."""

import sys
from dataclasses import replace

import orjson
import pytest

from veilstream.accounting import INFINITE
from veilstream.errors import RecordInvalid
from veilstream.events.types import BUDGET_EVENT, schema
from veilstream.ledger.budget import define
from veilstream.ledger.chain import GENESIS, canonical, digest, linked
from veilstream.ledger.projection import event, rfc3339, show

BUDGET = define("b", "acme", 3.0, 1e-6, (7,), "individual")


def test_a_field_that_the_schema_does_not_have_is_refused() -> None:
    with pytest.raises(RecordInvalid):
        event(BUDGET, 1, "charged", rfc3339(0.0), people=12)


def test_the_schema_has_no_word_for_people() -> None:
    words = set(schema(BUDGET_EVENT)["properties"])
    assert not words & {"people", "admitted", "denied", "count", "sealed", "reservation", "loss", "batch"}


def test_an_infinite_odometer_is_still_json() -> None:
    shown = show(replace(BUDGET, spent=(INFINITE,)))
    assert shown["epsilon_spent"] == sys.float_info.max
    assert orjson.loads(event(replace(BUDGET, spent=(INFINITE,)), 1, "charged", rfc3339(0.0)))


def test_time_is_utc_to_the_millisecond() -> None:
    assert rfc3339(1_764_000_000.25) == "2025-11-24T16:00:00.250Z"


def test_the_chain_covers_every_field_and_not_the_hashes() -> None:
    content = {"b": 1, "a": [0.1, "ü"]}
    entry = linked(GENESIS, content)
    assert entry["hash"] == digest(GENESIS, entry) == digest(GENESIS, content)
    assert digest(GENESIS, {**content, "b": 2}) != entry["hash"]
    assert digest("1" * 64, content) != entry["hash"]
    assert canonical(content) == '{"a":[0.1,"ü"],"b":1}'.encode()
