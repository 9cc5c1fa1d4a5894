"""Law of the batch envelope: n interactions in one record become what n single records would, item by item.

And a batch fails whole: one bad item, and the record is in quarantine as it was, with a path that says which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import pipeline_of
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.types import BATCH, INTERACTION, PROTECTED, PROTECTED_BATCH, QUARANTINE
from veilstream.processors.decoding import RawRecord
from veilstream.processors.pipeline import Outcome
from veilstream.processors.sealing import open_quarantined

PROVIDER, PIPELINE = pipeline_of("acme", "globex", limit_bytes=200_000)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MARK = "zqxmark"

# A name that one item's key declares and another says in passing; an address that both say.
texts = st.sampled_from(
    ["hello", "I am Tomsk", "mail ann@example.com", "Tomsk again", "c-1 and c-2", "user-17", "call 4929 1234"]
)
arguments = st.sampled_from([{}, {"passenger_name": "Tomsk"}, {"email": "ann@example.com"}, {"order": "c-2"}])
interactions = st.builds(
    lambda text, tool, conversation: {
        "conversation": conversation,
        "messages": [
            {"role": "user", "parts": [{"type": "text", "content": text}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "name": "book", "arguments": tool}]},
        ],
        "privacy": {"tenant": "acme", "subject": "user-17"},
    },
    texts,
    arguments,
    st.sampled_from(["c-1", "c-2"]),
)
items = st.builds(
    lambda name, second, interaction, trace: {
        "id": name,
        "time": f"2026-11-24T07:00:0{second}Z",
        "interaction": interaction,
        **({} if trace is None else {"traceparent": trace}),
    },
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12),
    st.integers(0, 9),
    interactions,
    st.sampled_from([None, TRACE, "ann@example.com"]),
)
batches = st.lists(items, min_size=1, max_size=5)

BAD_ITEMS: list[Callable[[dict[str, Any]], Any]] = [
    lambda item: {**item, "interaction": {**item["interaction"], "messages": MARK}},
    lambda item: {**item, "interaction": {**item["interaction"], MARK: 1}},
    lambda item: {**item, "interaction": {**item["interaction"], "privacy": {"subject": "user-17"}}},
    lambda item: {**item, "id": ""},
    lambda item: {**item, "time": MARK},
    lambda item: {**item, MARK: MARK},
    lambda item: {**item, "interaction": {**item["interaction"], "attributes": {"x": deep()}}},
    lambda item: MARK,
]


def deep() -> Any:
    value: Any = MARK
    for _ in range(100):
        value = {"a": value}
    return value


def single(item: dict[str, Any]) -> RawRecord:
    attributes = Attributes(INTERACTION, "agent", id=item["id"], time=item["time"])
    headers: list[tuple[str, bytes | None]] = list(attributes.to_headers())
    if "traceparent" in item:
        headers.append(("traceparent", item["traceparent"].encode()))
    return RawRecord(b"key", orjson.dumps(item["interaction"]), tuple(headers), 0, 0, 7)


def batch(entries: Sequence[Any]) -> RawRecord:
    headers = Attributes(BATCH, "agent", id="batch", time="2026-11-24T07:00:00Z").to_headers()
    return RawRecord(b"key", orjson.dumps({"interactions": entries}), tuple(headers), 0, 0, 7)


async def _run(work: Callable[[], Any]) -> Any:
    return work()


def process(records: list[RawRecord]) -> list[Outcome]:
    return asyncio.run(PIPELINE.batch(records, _run, lambda: None))


@settings(max_examples=100, deadline=None)
@given(batches)
def test_a_batch_is_its_items_one_by_one(entries: list[dict[str, Any]]) -> None:
    together, *alone = process([batch(entries), *map(single, entries)])
    assert together.error is None
    assert {outcome.key for outcome in alone} == {together.key}
    value = codec.decode(PROTECTED_BATCH, together.value)
    for item, outcome in zip(value["interactions"], alone, strict=True):
        attributes = Attributes.from_headers(outcome.headers)
        assert attributes.type == PROTECTED
        assert (item["id"], item["time"]) == (attributes.id, attributes.time)
        assert item.get("traceparent") == attributes.traceparent
        assert item["interaction"] == codec.decode(PROTECTED, outcome.value)
    (again,) = process([batch(entries)])
    assert (again.value, again.headers) == (together.value, together.headers)


@settings(max_examples=100, deadline=None)
@given(batches, st.sampled_from(BAD_ITEMS), st.data())
def test_one_bad_item_sends_all_to_quarantine_and_names_its_place(
    entries: list[Any], spoil: Callable[[dict[str, Any]], Any], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    entries = [spoil(item) if number == index else item for number, item in enumerate(entries)]
    record = batch(entries)
    (outcome,) = process([record])
    assert outcome.topic == "interactions.quarantine"
    assert outcome.error is not None
    assert outcome.error.path.startswith(f"$.interactions[{index}]")
    found = codec.decode(QUARANTINE, outcome.value)
    assert open_quarantined(found, PROVIDER) == record  # what `replay` sends: the bytes as they were
    assert MARK.encode() not in outcome.value + str(outcome.error).encode()


@settings(max_examples=60, deadline=None)
@given(st.lists(items, min_size=2, max_size=5), st.data())
def test_items_of_two_units_go_to_quarantine_and_of_two_tenants_to_the_operator(
    entries: list[dict[str, Any]], data: st.DataObject
) -> None:
    index = data.draw(st.integers(1, len(entries) - 1))
    privacy = data.draw(
        st.sampled_from(
            [
                {"tenant": "acme", "subject": "user-18"},
                {"tenant": "acme"},
                {"tenant": "globex", "subject": "user-17"},
            ]
        )
    )
    other = {**entries[index], "interaction": {**entries[index]["interaction"], "privacy": privacy}}
    record = batch([*entries[:index], other, *entries[index + 1 :]])
    (outcome,) = process([record])
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.path) == ("mixed_units", f"$.interactions[{index}]")
    found = codec.decode(QUARANTINE, outcome.value)
    assert found["tenant"] == (None if privacy["tenant"] == "globex" else "acme")
    assert open_quarantined(found, PROVIDER) == record
