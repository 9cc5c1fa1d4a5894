"""What a caller hands over becomes a record, or an error that names no content."""

from __future__ import annotations

import sys
import types
from typing import Any

import orjson
import pytest

from veilstream.client.records import batch, interaction, record
from veilstream.client.tracing import current_traceparent
from veilstream.errors import RecordInvalid, RecordTooLarge
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.types import BATCH, INTERACTION
from veilstream.keys import routing_key

HELLO = [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]


def made(value: Any, *, secret: str | None = None, limit_bytes: int = 1_000_000) -> Any:
    return record(value, source="test", secret=secret, limit_bytes=limit_bytes)


def test_fields_that_are_not_given_are_left_out() -> None:
    value = interaction(HELLO, tenant="acme", conversation="c-1", subject="user-17", purpose=None)
    assert value == {
        "conversation": "c-1",
        "messages": HELLO,
        "privacy": {"tenant": "acme", "subject": "user-17"},
    }


def test_conversations_without_an_id_get_different_ones() -> None:
    assert interaction(HELLO, tenant="a")["conversation"] != interaction(HELLO, tenant="a")["conversation"]


def test_chat_messages_become_parts_and_may_stand_beside_parts() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "book", "arguments": '{"seats": 2}'}}
    value = interaction(
        [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "done"},
            *HELLO,
        ],
        tenant="acme",
    )
    assert [message["parts"] for message in value["messages"]] == [
        [{"type": "text", "content": "hello"}],
        [{"type": "tool_call", "name": "book", "id": "1", "arguments": {"seats": 2}}],
        [{"type": "tool_call_response", "response": "done", "id": "1"}],
        [{"type": "text", "content": "hello"}],
    ]
    made(value)


@pytest.mark.parametrize(
    "message", [{"role": "user", "content": 17}, "mia-lindqvist", {"content": "x"}, None]
)
def test_a_message_that_is_none_is_named_by_its_position(message: Any) -> None:
    with pytest.raises(RecordInvalid) as raised:
        interaction([*HELLO, message], tenant="acme")
    assert raised.value.path.startswith("$.messages[1]")
    assert "mia" not in str(raised.value)


def test_an_unknown_field_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="subjekt"):
        interaction(HELLO, tenant="acme", subjekt="user-17")


def test_the_unit_is_the_subject_or_else_the_conversation() -> None:
    with_subject = made(interaction(HELLO, tenant="acme", conversation="c-1", subject="user-17"), secret="s")
    without = made(interaction(HELLO, tenant="acme", conversation="c-1"), secret="s")
    assert with_subject.key == routing_key("s", "acme", "subject", "user-17")
    assert without.key == routing_key("s", "acme", "conversation", "c-1")


def test_the_record_says_what_it_is() -> None:
    item = made(interaction(HELLO, tenant="acme", conversation="c-1"))
    attributes = Attributes.from_headers(item.headers)
    assert (attributes.type, attributes.source, attributes.id) == (INTERACTION, "test", item.id)
    assert orjson.loads(item.value)["conversation"] == "c-1"


@pytest.mark.parametrize(
    ("value", "kind", "path"),
    [
        (interaction(HELLO, tenant="Acme Ltd"), "schema", "$.privacy.tenant"),
        (interaction(HELLO, tenant="acme", subject=["mia-lindqvist"]), "schema", "$.privacy.subject"),
        (interaction(HELLO, tenant="acme", subject=""), "schema", "$.privacy.subject"),
        (
            interaction([{"role": "user", "parts": [{"mia-lindqvist": 1}]}], tenant="acme"),
            "schema",
            "$.messages[0].parts[0]",
        ),
        ({"conversation": "c", "messages": []}, "schema", "$"),
        (["mia-lindqvist"], "schema", "$"),
        (
            interaction(
                [{"role": "user", "parts": [{"type": "text", "content": "mia-lindqvist \ud800"}]}], tenant="a"
            ),
            "not_json",
            "$",
        ),
        (interaction(HELLO, tenant="acme", attributes={"mia-lindqvist": {1, 2}}), "not_json", "$"),
        (interaction(HELLO, tenant="acme", attributes={"mia-lindqvist": 2**70}), "not_json", "$"),
    ],
)
def test_what_breaks_the_contract_is_named_by_kind_and_path_only(value: Any, kind: str, path: str) -> None:
    with pytest.raises(RecordInvalid) as raised:
        made(value)
    assert (raised.value.kind, raised.value.path) == (kind, path)
    assert "mia" not in str(raised.value)


def test_the_limit_counts_key_value_and_headers() -> None:
    value = interaction(HELLO, tenant="acme", conversation="c-1")
    item = made(value)
    size = len(item.key) + len(item.value) + sum(len(name) + len(data) for name, data in item.headers)
    assert made(value, limit_bytes=size).value == item.value
    with pytest.raises(RecordTooLarge) as raised:
        made(value, limit_bytes=size - 1)
    assert (raised.value.size_bytes, raised.value.limit_bytes) == (size, size - 1)


def batched(values: list[Any], *, limit_bytes: int = 1_000_000, **more: Any) -> Any:
    return batch(values, source="test", secret="s", limit_bytes=limit_bytes, **more)


def said(conversation: str, subject: Any = "user-17") -> dict[str, Any]:
    return interaction(HELLO, tenant="acme", conversation=conversation, subject=subject)


def test_a_batch_is_one_record_with_the_persons_key() -> None:
    values, trace = [said("c-1"), said("c-2")], f"00-{'a' * 32}-{'b' * 16}-01"
    times = ["2026-11-24T10:00:00Z", "2026-11-24T10:00:09Z"]
    made = batched(values, times=times, traceparent=trace)
    assert made.key == routing_key("s", "acme", "subject", "user-17")
    attributes = Attributes.from_headers(made.headers)
    assert (attributes.type, attributes.id, attributes.traceparent) == (BATCH, made.id, trace)
    items = codec.decode(BATCH, made.value)["interactions"]
    assert [item["interaction"] for item in items] == values
    assert [item["time"] for item in items] == times
    assert [item["traceparent"] for item in items] == [trace, trace]
    assert [item["id"] for item in items] == made.ids
    assert len({made.id, *made.ids}) == 3


@pytest.mark.parametrize(
    ("values", "kind", "path"),
    [
        ([], "schema", "$.interactions"),
        ([said("c-1")] * 1001, "schema", "$.interactions"),
        ([said("c-1"), said("c-1", "mia")], "mixed_units", "$.interactions[1]"),
        ([said("c-1"), said("c-1", ["mia"])], "schema", "$.interactions[1].interaction.privacy.subject"),
        ([said("c-1", None), said("mia", None)], "mixed_units", "$.interactions[1]"),
        (["mia"], "schema", "$.interactions[0].interaction"),
        ([{"mia": {1, 2}}], "not_json", "$"),
    ],
)
def test_a_wrong_batch_is_named_by_its_item(values: list[Any], kind: str, path: str) -> None:
    with pytest.raises(RecordInvalid) as raised:
        batched(values)
    assert (raised.value.kind, raised.value.path) == (kind, path)
    assert "mia" not in str(raised.value)


def test_a_batch_is_not_split_and_the_error_says_what_to_do() -> None:
    values = [said("c-1")] * 10
    size = len(batched(values).value)
    with pytest.raises(RecordTooLarge, match="fewer interactions"):
        batched(values, limit_bytes=size)
    with pytest.raises(TypeError, match="2 times for 10"):
        batched(values, times=["2026-11-24T10:00:00Z"] * 2)


def test_without_opentelemetry_there_is_no_trace() -> None:
    assert "opentelemetry.trace" not in sys.modules
    assert current_traceparent() is None


def test_the_current_span_is_taken_where_opentelemetry_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    context = types.SimpleNamespace(is_valid=True, trace_id=0xABC, span_id=0xDEF, trace_flags=1)
    span = types.SimpleNamespace(get_span_context=lambda: context)
    trace = types.SimpleNamespace(get_current_span=lambda: span)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    assert current_traceparent() == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    context.is_valid = False
    assert current_traceparent() is None
