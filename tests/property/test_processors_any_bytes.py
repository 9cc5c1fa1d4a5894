"""Law: each record on the raw topic has one outcome; nothing of it is lost, and nothing shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import pipeline_of
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.types import INTERACTION, PROTECTED, QUARANTINE
from veilstream.processors.decoding import RawRecord
from veilstream.processors.pipeline import Outcome
from veilstream.processors.sealing import open_quarantined

PROVIDER, PIPELINE = pipeline_of("acme")
MARK = "zqxmark"  # stands for content: no word of the contract, no base64 by chance

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=20)
    | st.just(MARK),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just(MARK), inner, max_size=4)
    ),
    max_leaves=12,
)
contract_words = st.sampled_from(
    [
        "conversation",
        "messages",
        "privacy",
        "tenant",
        "subject",
        "role",
        "parts",
        "type",
        "content",
        "attributes",
    ]
)
nearly = st.dictionaries(contract_words | st.just(MARK), json_values, max_size=8)
values = (
    st.none()
    | st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: (MARK + text).encode("utf-8", "surrogatepass"))
    | nearly.map(lambda value: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    | nearly.map(
        lambda value: orjson.dumps(
            {
                "conversation": MARK,
                "messages": [{"role": "user", "parts": [{**value, "type": "text", "content": MARK}]}],
                "privacy": {"tenant": "acme"},
                "attributes": value,
            }
        )
    )
)
any_name = st.text(st.characters(codec="utf-8"), max_size=20)
our_name = st.sampled_from(
    ["ce_id", "ce_type", "ce_specversion", "ce_source", "ce_time", "traceparent", "ce_sourceoffset"]
)
content = st.none() | st.binary(max_size=40)
strange = st.lists(st.tuples(any_name, content), max_size=4)
headers = st.lists(st.tuples(any_name | our_name, content), max_size=8)
GOOD = Attributes(INTERACTION, MARK, id=MARK, time="2026-11-24T07:00:00Z").to_headers()


@st.composite
def records(draw: st.DrawFn) -> RawRecord:
    good = [*GOOD, *draw(strange)]
    named: list[tuple[str, bytes | None]] = draw(st.sampled_from([good, good, [*GOOD, *draw(headers)]]))
    return RawRecord(
        key=draw(st.none() | st.binary(max_size=30)),
        value=draw(values),
        headers=tuple(named),
        timestamp_ms=draw(st.integers(-(2**63), 2**63 - 1)),
        partition=draw(st.integers(0, 100)),
        offset=draw(st.integers(0, 2**62)),
    )


async def _run(work: Callable[[], Any]) -> Any:
    return work()


def process(batch: list[RawRecord]) -> list[Outcome]:
    return asyncio.run(PIPELINE.batch(batch, _run, lambda: None))


@settings(max_examples=300, deadline=None)
@given(st.lists(records(), min_size=1, max_size=4))
def test_every_record_has_one_outcome_and_none_is_lost(batch: list[RawRecord]) -> None:
    outcomes = process(batch)
    assert len(outcomes) == len(batch)
    for record, outcome in zip(batch, outcomes, strict=True):
        assert Attributes.from_headers(outcome.headers).origin == Origin(
            "abc", record.partition, record.offset
        )
        assert (outcome.partition, outcome.offset) == (record.partition, record.offset)
        if outcome.error is None:
            codec.decode(PROTECTED, outcome.value)
        else:
            found = codec.decode(QUARANTINE, outcome.value)
            assert open_quarantined(found, PROVIDER) == record


@settings(max_examples=300, deadline=None)
@given(records())
def test_a_quarantined_record_shows_nothing_of_its_content(record: RawRecord) -> None:
    (outcome,) = process([record])
    if outcome.error is not None:
        visible = (
            b"".join(name.encode() + data for name, data in outcome.headers) + outcome.key + outcome.value
        )
        assert MARK.encode() not in visible
        assert MARK not in str(outcome.error)


@settings(max_examples=100, deadline=None)
@given(st.lists(records(), min_size=1, max_size=4))
def test_the_same_batch_again_has_the_same_places_keys_and_protected_bytes(batch: list[RawRecord]) -> None:
    def seen(outcome: Outcome) -> tuple[Any, ...]:
        value = outcome.value if outcome.error is None else str(outcome.error)
        return outcome.topic, outcome.key, outcome.headers, value

    assert [seen(outcome) for outcome in process(batch)] == [seen(outcome) for outcome in process(batch)]
