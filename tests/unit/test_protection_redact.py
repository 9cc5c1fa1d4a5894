"""`redact_lines`: a line out for a line in, same shape, and errors that say where."""

from __future__ import annotations

import gzip
import os
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from veilstream.contracts import RootKey
from veilstream.detection import PatternEngine
from veilstream.protection import Protector, Tokens, load_policy, redact_lines
from veilstream.protection.redact import Format

TOKENS = Tokens(RootKey("tenant/acme", 1, b"k" * 32))


@cache
def strict() -> Protector:
    return Protector(PatternEngine(), load_policy("strict"))


def redact(lines: list[bytes], format: Format) -> list[tuple[Any, bool]]:
    out = redact_lines(lines, format=format, protector=strict(), tokens=TOKENS)
    return [(orjson.loads(line), ok) for line, ok in out]


def one(value: Any, format: Format) -> Any:
    ((out, ok),) = redact([orjson.dumps(value) + b"\n"], format)
    assert ok
    return out


def test_openai_keeps_its_shape() -> None:
    line = {
        "id": "chat-1",
        "user": "u-jane",
        "model": "gpt-4",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "u-jane, j@x.org"}], "name": "Jo"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "find_user", "arguments": '{"email": "j@x.org", "n": 1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "name": "find_user", "content": '{"name": "Jo"}'},
        ],
        "tools": [{"type": "function", "function": {"name": "find_user", "parameters": {
            "type": "object", "properties": {"email": {"type": "string", "description": "Their address"}}}}}],
    }  # fmt: skip
    out = one(line, "openai")
    assert out == {
        "id": f"<CONVERSATION:{TOKENS.entity('conversation', 'chat-1')}>",
        "user": "<SUBJECT>",
        "model": "gpt-4",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "<SUBJECT>, <EMAIL_ADDRESS>"}],
             "name": "<PERSON>"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "find_user", "arguments": '{"email":"<EMAIL_ADDRESS>","n":1}'}}]},
            {"role": "tool", "tool_call_id": "c1", "name": "find_user", "content": '{"name":"<PERSON>"}'},
        ],
        "tools": line["tools"],
    }  # fmt: skip


def test_otel_keeps_its_shape() -> None:
    messages = [
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "1", "name": "find_user", "arguments": {"name": "Jo"}}]},
    ]  # fmt: skip
    attributes = [
        {"key": "gen_ai.output.messages", "value": {"stringValue": orjson.dumps(messages).decode()}},
        {"key": "user.email", "value": {"stringValue": "at home"}},
        {"key": "user.id", "value": {"stringValue": "u-jane"}},
        {"key": "gen_ai.tool.name", "value": {"stringValue": "find_user"}},
        {"key": "service.name", "value": {"stringValue": "shop"}},
    ]
    span = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "chat gpt-4", "attributes": attributes}
    line = {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "lib"}, "spans": [span]}]}]}
    out = one(line, "otel")["resourceSpans"][0]["scopeSpans"][0]
    assert out["scope"] == {"name": "lib"}
    (redacted,) = out["spans"]
    assert [pair["key"] for pair in redacted["attributes"]] == [pair["key"] for pair in attributes]
    values = [pair["value"]["stringValue"] for pair in redacted["attributes"]]
    assert orjson.loads(values[0])[0]["parts"][0] == {
        "type": "tool_call", "id": "1", "name": "find_user", "arguments": {"name": "<PERSON>"},
    }  # fmt: skip
    assert values[1:] == ["<EMAIL_ADDRESS>", "<SUBJECT>", "find_user", "shop"]
    assert redacted["name"] == "chat gpt-4"


def test_otel_places_hide_nobody() -> None:
    """A key called `key` or `traceId` in what a tool was given is no key of OTLP's."""
    arguments = {"passenger_name": {"key": "Amelia Quist"}, "traceId": "Amelia", "key": "Amelia"}
    messages = [
        {"role": "Amelia", "parts": [{"type": "tool_call", "name": "book", "arguments": arguments}]},
    ]
    attributes = [
        {"key": "gen_ai.input.messages", "value": {"stringValue": orjson.dumps(messages).decode()}},
        {"key": "app.Amelia.count", "value": {"intValue": "1"}},
    ]
    span = {"traceId": "0a" * 16, "spanId": "0b" * 8, "attributes": attributes}
    line = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    out = one(line, "otel")
    assert "Amelia" not in orjson.dumps(out).decode()
    redacted = out["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert (redacted["traceId"], redacted["spanId"]) == (span["traceId"], span["spanId"])
    assert redacted["attributes"][0]["key"] == "gen_ai.input.messages"


def test_openai_places_hide_nobody() -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "book", "arguments": '{"first_name":"Amelia"}'},
    }
    line = {
        "user": "u-jane",
        "model": "tuned-for-Amelia",
        "messages": [
            {"role": "Amelia", "content": [{"type": "u-jane"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "choices": [{"finish_reason": "u-jane", "message": {"role": "user", "content": "hi"}}],
        "functions": [{"customer_name": "Zbigniew"}],
        "response_format": {"password": "correct.horse"},
    }
    text = orjson.dumps(one(line, "openai")).decode()
    assert not [word for word in ("Amelia", "u-jane", "Zbigniew", "horse") if word in text]


def test_dialogue_keeps_its_shape() -> None:
    line = {
        "dialogue_id": "1_00000",
        "services": ["Banks_1"],
        "turns": [
            {"speaker": "user", "utterance": "Send it to Amelia", "intent": "TransferMoney"},
            {"speaker": "system", "utterance": "Sent.", "call": {
                "service": "Banks_1", "method": "TransferMoney",
                "parameters": {"recipient_account_name": "Amelia", "amount": "12"}}, "results": []},
        ],
    }  # fmt: skip
    out = one(line, "dialogue")
    amelia = f"<ACCOUNT:{TOKENS.entity('account', 'amelia')}>"
    assert out["turns"][0] == {
        "speaker": "user", "utterance": f"Send it to {amelia}", "intent": "TransferMoney",
    }  # fmt: skip
    assert out["turns"][1]["call"] == {
        "service": "Banks_1", "method": "TransferMoney",
        "parameters": {"recipient_account_name": amelia, "amount": "12"},
    }  # fmt: skip
    assert out["services"] == ["Banks_1"]


def test_jsonl_of_the_contract_and_of_anything() -> None:
    contract = {
        "conversation": "c-1",
        "messages": [{"role": "user", "parts": [{"type": "tool_call", "name": "Find", "arguments": {}}]}],
        "privacy": {"tenant": "acme", "subject": "u-jane"},
    }
    out = one(contract, "jsonl")
    assert out["privacy"] == {"tenant": "acme", "subject": "<SUBJECT>"}
    assert out["messages"] == contract["messages"]
    assert one({"anything": {"email": "x y", "n": 1}}, "jsonl") == {
        "anything": {"email": "<EMAIL_ADDRESS>", "n": 1}
    }


DEEP = b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"


@pytest.mark.parametrize(
    ("line", "format", "kind", "path"),
    [
        (b"", "jsonl", "not_json", "$"),
        (b"   \n", "jsonl", "not_json", "$"),
        (b"{not json", "jsonl", "not_json", "$"),
        (b'{"a": "\xff"}', "jsonl", "not_json", "$"),
        (b'{"a": "\\ud800"}', "jsonl", "not_json", "$"),
        (b"[" * 10_000 + b"]" * 10_000, "jsonl", "too_deep", "$"),
        (DEEP, "jsonl", "too_deep", "$"),
        (b"[1]", "jsonl", "schema", "$"),
        (b'{"conversation": "c", "messages": [{"role": 7}]}', "jsonl", "schema", "$.messages[0]"),
        (b'{"jane": 1}', "openai", "schema", "$.messages"),
        (b'{"messages": [{"role": "user", "content": 7}]}', "openai", "schema", "$.messages[0].content"),
        (b'{"jane": 1}', "otel", "schema", "$.resourceSpans"),
        (b'{"jane": 1}', "dialogue", "schema", "$.dialogue_id"),
        (b'{"dialogue_id": "d", "turns": [{"speaker": "jane"}]}', "dialogue", "schema", "$.turns[0].speaker"),
    ],
)
def test_an_unreadable_line_becomes_an_error_object(
    line: bytes, format: Format, kind: str, path: str
) -> None:
    good = {"dialogue": b'{"dialogue_id": "d", "turns": []}', "otel": b'{"resourceSpans": []}'}.get(
        format, b'{"messages": []}'
    )
    out = redact([good, line, good], format)
    assert [ok for _, ok in out] == [True, False, True]
    error = out[1][0]["error"]
    assert set(error) == {"code", "kind", "path", "line"}
    assert (error["code"], error["kind"], error["path"], error["line"]) == ("record_invalid", kind, path, 2)
    assert "jane" not in str(out[1][0])


def test_it_is_lazy() -> None:
    def lines() -> Any:
        yield b'{"a": 1}'
        raise AssertionError("read too far")

    (first,) = islice(redact_lines(lines(), format="jsonl", protector=strict(), tokens=TOKENS), 1)
    assert first == (b'{"a":1}', True)


def test_real_dialogues_lose_their_numbers_and_keep_their_shape() -> None:
    """Fifty dialogues of SGD: telephone numbers are gone, and calls, dates and prices are as they were."""
    data = Path(os.environ.get("VEILSTREAM_DATA", "../shared/data")) / "sgd" / "train.jsonl.gz"
    assert data.is_file(), f"{data} is missing: set VEILSTREAM_DATA"
    with gzip.open(data, "rb") as source:
        lines = list(islice(source, 0, 5000, 100))
    out = redact(lines, "dialogue")
    assert all(ok for _, ok in out)
    for line, (redacted, _) in zip(lines, out, strict=True):
        original = orjson.loads(line)
        text = orjson.dumps(redacted).decode()
        assert len(redacted["turns"]) == len(original["turns"])
        for before, after in zip(original["turns"], redacted["turns"], strict=True):
            assert list(before) == list(after)
            if "call" in before:
                assert after["call"]["method"] == before["call"]["method"]
                for key in ("date", "time", "price", "total_price", "party_size", "amount"):
                    if key in before["call"]["parameters"]:
                        assert after["call"]["parameters"][key] == before["call"]["parameters"][key]
            for result in before.get("results", []):
                for key in ("phone_number", "street_address", "recipient_account_name"):
                    assert str(result.get(key, "\0")) not in text
