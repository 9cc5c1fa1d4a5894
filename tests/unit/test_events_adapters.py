"""Adapters: hand-written lines of each format, and the interactions that they become."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from veilstream.errors import RecordInvalid
from veilstream.events.adapters import ADAPTERS
from veilstream.events.codec import check
from veilstream.events.types import INTERACTION


def read(name: str, obj: Any, subject: str | None = None) -> list[dict[str, Any]]:
    values = ADAPTERS[name].read(obj, tenant="acme", subject=subject)
    for value in values:
        check(INTERACTION, value)
        assert value["privacy"]["tenant"] == "acme"
        orjson.dumps(value)
    return values


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def test_registry() -> None:
    assert list(ADAPTERS) == ["openai", "otel", "dialogue", "jsonl"]
    assert all(adapter.name == name for name, adapter in ADAPTERS.items())


# OpenAI


def test_openai_request() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    (value,) = read(
        "openai",
        {
            "id": "chat-1",
            "user": "u1",
            "model": "gpt-4",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi", "name": "Jo"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "found"},
                {"role": "assistant", "content": "Here.", "reasoning_content": "Think."},
            ],
        },
    )
    assert value == {
        "conversation": "chat-1",
        "messages": [
            text("system", "Be kind."),
            {"name": "Jo", **text("user", "Hi")},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "name": "find", "id": "c1", "arguments": {"q": "x"}}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "response": "found", "id": "c1"}]},
            {
                "role": "assistant",
                "parts": [{"type": "reasoning", "content": "Think."}, {"type": "text", "content": "Here."}],
            },
        ],
        "attributes": {"model": "gpt-4"},
        "privacy": {"tenant": "acme", "subject": "u1"},
    }


def test_openai_content_parts() -> None:
    parts = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "file", "file": {"file_data": "AAAA"}},
        {"type": "refusal", "refusal": "no"},
        {"type": "file", "file": {}},
        {"type": "new_kind", "x": 1},
        "bare",
        7,
    ]
    (value,) = read("openai", {"messages": [{"role": "user", "content": parts}]})
    assert value["messages"][0]["parts"] == [
        {"type": "text", "content": "see"},
        {"type": "uri", "uri": "https://x.org/a.png", "modality": "image"},
        {"type": "blob", "content": "AAAA", "modality": "audio", "mime_type": "audio/wav"},
        {"type": "file", "file_id": "f1", "modality": "document"},
        {"type": "blob", "content": "AAAA", "modality": "document"},
        {"type": "text", "content": "no"},
        {"type": "generic", "value": parts[6]},
        {"type": "generic", "value": parts[7]},
        {"type": "text", "content": "bare"},
        {"type": "generic", "value": 7},
    ]


def test_openai_legacy_and_completions() -> None:
    (value,) = read(
        "openai",
        {
            "choices": [
                {
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "function_call": {"name": "f", "arguments": "{cut"},
                    },
                    "finish_reason": "stop",
                },
            ],
        },
        subject="given",
    )
    assert value["messages"] == [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "name": "f", "arguments": "{cut"}],
            "finish_reason": "stop",
        }
    ]
    assert value["privacy"]["subject"] == "given"


def test_without_an_id_the_conversation_is_the_lines_hash() -> None:
    line = {"messages": [{"role": "user", "content": "x"}]}
    (one,), (two,) = read("openai", line), read("openai", dict(line))
    (other,) = read("openai", {"messages": []})
    assert one["conversation"] == two["conversation"] != other["conversation"]
    assert one["conversation"].startswith("sha256-")


# OpenTelemetry


def pair(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def spans(*found: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": list(found)}]}]}


def test_otel_span() -> None:
    given = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Ho"}], "finish_reason": "stop"}]
    system = [{"type": "text", "content": "Be kind."}]
    span = {
        "traceId": "0a" * 16,
        "name": "chat gpt-4",
        "attributes": [
            pair("gen_ai.system_instructions", {"stringValue": orjson.dumps(system).decode()}),
            pair("gen_ai.input.messages", {"stringValue": orjson.dumps(given).decode()}),
            pair("gen_ai.conversation.id", {"stringValue": "c-1"}),
            pair("enduser.id", {"stringValue": "u1"}),
            pair("gen_ai.usage.input_tokens", {"intValue": "12"}),
            pair("x", {"arrayValue": {"values": [{"boolValue": True}, {"doubleValue": 1.5}]}}),
            pair("y", {"kvlistValue": {"values": [pair("z", {"stringValue": "w"})]}}),
        ],
        "events": [
            {
                "name": "gen_ai.client.inference.operation.details",
                "attributes": [
                    pair("gen_ai.output.messages", {"stringValue": orjson.dumps(answer).decode()})
                ],
            },
            {"name": "exception", "attributes": [pair("gen_ai.output.messages", {"stringValue": "no"})]},
        ],
    }
    (value,) = read("otel", spans({"name": "GET /"}, span))
    assert value == {
        "conversation": "c-1",
        "messages": [text("system", "Be kind."), *given, *answer],
        "attributes": {
            "enduser.id": "u1",
            "gen_ai.usage.input_tokens": 12,
            "x": [True, 1.5],
            "y": {"z": "w"},
            "span.traceId": "0a" * 16,
            "span.name": "chat gpt-4",
        },
        "privacy": {"tenant": "acme", "subject": "u1"},
    }


def test_otel_structured_messages_and_unknown_parts() -> None:
    message = {"kvlistValue": {"values": [
        pair("role", {"stringValue": "user"}),
        pair("parts", {"arrayValue": {"values": [{"kvlistValue": {"values": [
            pair("type", {"stringValue": "thought"})]}}]}}),
    ]}}  # fmt: skip
    span = {
        "traceId": "t",
        "attributes": [pair("gen_ai.input.messages", {"arrayValue": {"values": [message]}})],
    }
    (value,) = read("otel", spans(span))
    assert value["conversation"] == "t"
    assert value["messages"] == [
        {"role": "user", "parts": [{"type": "generic", "value": {"type": "thought"}}]}
    ]


def test_otel_tool_span() -> None:
    span = {
        "traceId": "t",
        "attributes": [
            pair("gen_ai.tool.name", {"stringValue": "find"}),
            pair("gen_ai.tool.call.id", {"stringValue": "c1"}),
            pair("gen_ai.tool.call.arguments", {"stringValue": '{"q": 1}'}),
            pair("gen_ai.tool.call.result", {"stringValue": "plain"}),
        ],
    }
    (value,) = read("otel", spans(span))
    assert value["messages"] == [
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "plain"}]},
    ]  # fmt: skip


def test_otel_gives_an_interaction_for_each_span_and_none_for_others() -> None:
    span = {"traceId": "t", "attributes": [pair("gen_ai.input.messages", {"stringValue": "[]"})]}
    assert len(read("otel", spans(span, {"attributes": []}, span))) == 2
    assert read("otel", {"resourceSpans": []}) == []


# Dialogues


def test_dialogue() -> None:
    (value,) = read(
        "dialogue",
        {
            "dialogue_id": "1_00000",
            "services": ["Restaurants_1"],
            "turns": [
                {"speaker": "user", "utterance": "A table", "intent": "ReserveRestaurant"},
                {
                    "speaker": "system",
                    "utterance": "Booked.",
                    "call": {
                        "service": "Restaurants_1",
                        "method": "ReserveRestaurant",
                        "parameters": {"city": "San Jose"},
                    },
                    "results": [{"city": "San Jose"}],
                },
                {"speaker": "system", "utterance": "More?", "call": {"method": "Other"}},
            ],
        },
        subject="1_00000",
    )
    assert value == {
        "conversation": "1_00000",
        "messages": [
            {**text("user", "A table"), "intent": "ReserveRestaurant"},
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "call-1", "name": "ReserveRestaurant",
                 "arguments": {"city": "San Jose"}, "service": "Restaurants_1"}]},
            {"role": "tool", "parts": [
                {"type": "tool_call_response", "id": "call-1", "response": [{"city": "San Jose"}]}]},
            text("assistant", "Booked."),
            {"role": "assistant", "parts": [
                {"type": "tool_call", "id": "call-2", "name": "Other", "arguments": {}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call-2", "response": []}]},
            text("assistant", "More?"),
        ],
        "attributes": {"services": ["Restaurants_1"]},
        "privacy": {"tenant": "acme", "subject": "1_00000"},
    }  # fmt: skip


def test_dialogue_has_no_subject_of_its_own() -> None:
    (value,) = read("dialogue", {"dialogue_id": "d", "turns": []})
    assert value["privacy"]["subject"] is None


# JSONL


def test_jsonl_contract() -> None:
    line = {
        "conversation": "c",
        "messages": [text("user", "x")],
        "privacy": {"tenant": "acme", "subject": "s"},
    }
    assert read("jsonl", line) == [line]
    (given,) = read("jsonl", line, subject="g")
    assert given["privacy"]["subject"] == "g"
    (without,) = read("jsonl", {"conversation": "c", "messages": []})
    assert without["privacy"] == {"tenant": "acme"}


def test_jsonl_keeps_the_tenant_that_a_record_names() -> None:
    line = {"conversation": "c", "messages": [], "privacy": {"tenant": "other"}}
    (value,) = ADAPTERS["jsonl"].read(line, tenant="acme", subject=None)
    assert value["privacy"] == {"tenant": "other"}


def test_jsonl_anything() -> None:
    line = {"level": "info", "messages": 3}
    (one,), (two,) = read("jsonl", line), read("jsonl", {"messages": 3, "level": "info"})
    assert one["messages"] == [{"role": "log", "parts": [{"type": "generic", "value": line}]}]
    assert one["conversation"] == two["conversation"]  # the order of keys says nothing


# Refusals: where, and never what

REFUSED: list[tuple[str, Any, str]] = [
    ("openai", None, "$"),
    ("openai", {"jane": 1}, "$.messages"),
    ("openai", {"messages": {"jane": 1}}, "$.messages"),
    ("openai", {"messages": ["jane"]}, "$.messages[0]"),
    ("openai", {"messages": [{"role": ["jane"]}]}, "$.messages[0].role"),
    ("openai", {"messages": [{"role": "user", "content": {"jane": 1}}]}, "$.messages[0].content"),
    ("openai", {"messages": [{"role": "a", "tool_calls": "jane"}]}, "$.messages[0].tool_calls"),
    ("openai", {"messages": [{"role": "a", "tool_calls": [{"jane": 1}]}]},
     "$.messages[0].tool_calls[0].function.name"),
    ("openai", {"choices": ["jane"]}, "$.choices[0]"),
    ("otel", {"resourceSpans": ["jane"]}, "$.resourceSpans[]"),
    ("otel", spans({"attributes": [{"jane": 1}]}), "$.resourceSpans[].scopeSpans[].spans[].attributes[].key"),
    ("otel", spans({"attributes": [pair("gen_ai.input.messages", {"stringValue": "jane"})]}),
     "$.resourceSpans[].scopeSpans[].spans[].attributes.gen_ai.input.messages"),
    ("dialogue", [], "$"),
    ("dialogue", {"dialogue_id": 7}, "$.dialogue_id"),
    ("dialogue", {"dialogue_id": "d", "turns": "jane"}, "$.turns"),
    ("dialogue", {"dialogue_id": "d", "turns": ["jane"]}, "$.turns[0]"),
    ("dialogue", {"dialogue_id": "d", "turns": [{"speaker": "user"}]}, "$.turns[0].utterance"),
    ("dialogue", {"dialogue_id": "d", "turns": [{"speaker": "user", "utterance": "", "call": "jane"}]},
     "$.turns[0].call.method"),
    ("jsonl", "jane", "$"),
    ("jsonl", {"conversation": "c", "messages": [], "jane": 1}, "$"),
    ("jsonl", {"conversation": "c", "messages": [], "privacy": "jane"}, "$.privacy"),
    ("jsonl", {"conversation": ["jane"], "messages": []}, "$.conversation"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "path"), REFUSED)
def test_refuses(name: str, obj: Any, path: str) -> None:
    with pytest.raises(RecordInvalid) as caught:
        read(name, obj)
    assert (caught.value.kind, caught.value.path) == ("schema", path)
    assert "jane" not in str(caught.value)


def test_a_tenant_that_cannot_be() -> None:
    with pytest.raises(RecordInvalid, match=r"schema at \$\.privacy\.tenant"):
        ADAPTERS["jsonl"].read({}, tenant="Not A Tenant", subject=None)
