"""An interaction of the contract becomes a protected one of the contract."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import pytest

from veilstream.contracts import RootKey
from veilstream.detection import PatternEngine
from veilstream.errors import RecordInvalid
from veilstream.events.codec import check
from veilstream.events.types import INTERACTION, PROTECTED
from veilstream.protection import Protector, Tokens, load_policy

TOKENS = Tokens(RootKey("tenant/acme", 1, b"k" * 32))
SUBJECT_TOKEN, LEDGER_TOKEN = "s" * 24, "l" * 24


@cache
def strict() -> Protector:
    return Protector(PatternEngine(), load_policy("strict"))


def interaction(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "conversation": "conv-jane-77",
        "messages": [
            {"role": "user", "parts": [{"type": "text", "content": "I am u-jane, mail j@x.org"}]},
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool_call",
                        "id": "call-1",
                        "name": "SendMoney",
                        "arguments": {"recipient_account_name": "Amelia", "note": "see conv-jane-77"},
                    }
                ],
                "finish_reason": "tool_calls",
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "call-1", "response": {"sent_to": "amelia"}}],
            },
        ],
        "attributes": {"model": "gpt-4", "agent": {"name": "teller"}},
        "privacy": {"tenant": "acme", "subject": "u-jane", "purpose": "support", "consent": True},
    }
    return {**value, **changes}


def protect(value: dict[str, Any]) -> dict[str, Any]:
    check(INTERACTION, value)
    return strict().interaction(value, tokens=TOKENS, subject_token=SUBJECT_TOKEN, ledger_token=LEDGER_TOKEN)


def test_whole() -> None:
    conversation = TOKENS.entity("conversation", "conv-jane-77")
    amelia = f"<ACCOUNT:{TOKENS.entity('account', 'amelia')}>"
    protected = protect(interaction())
    assert protected == {
        "conversation": conversation,
        "messages": [
            {"role": "user", "parts": [{"type": "text", "content": "I am <SUBJECT>, mail <EMAIL_ADDRESS>"}]},
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool_call",
                        "id": "call-1",
                        "name": "SendMoney",
                        "arguments": {
                            "recipient_account_name": amelia,
                            "note": f"see <CONVERSATION:{conversation}>",
                        },
                    }
                ],
                "finish_reason": "tool_calls",
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "call-1", "response": {"sent_to": amelia}}],
            },
        ],
        "attributes": {"model": "gpt-4", "agent": {"name": "teller"}},
        "privacy": {
            "tenant": "acme",
            "unit": "subject",
            "subject_token": SUBJECT_TOKEN,
            "ledger_token": LEDGER_TOKEN,
            "purpose": "support",
            "consent": True,
        },
    }
    check(PROTECTED, protected)
    assert b"jane" not in orjson.dumps(protected)


def test_same_input_same_bytes() -> None:
    other = Protector(PatternEngine(), load_policy("strict"))
    again = other.interaction(
        interaction(), tokens=TOKENS, subject_token=SUBJECT_TOKEN, ledger_token=LEDGER_TOKEN
    )
    assert orjson.dumps(protect(interaction())) == orjson.dumps(again)


def test_without_a_subject_the_unit_is_the_conversation() -> None:
    for privacy in ({"tenant": "acme"}, {"tenant": "acme", "subject": None}):
        protected = protect(interaction(privacy=privacy))
        assert protected["privacy"]["unit"] == "conversation"
        assert "subject" not in protected["privacy"]


def test_the_privacy_block_is_looked_at_too() -> None:
    privacy = {"tenant": "acme", "subject": "u-jane", "purpose": "asked by j@x.org", "consent": "u-jane"}
    protected = protect(interaction(privacy=privacy))["privacy"]
    assert (protected["purpose"], protected["consent"]) == ("asked by <EMAIL_ADDRESS>", "<SUBJECT>")


def test_an_optional_field_that_outgrows_its_limit_becomes_null() -> None:
    privacy = {"tenant": "acme", "purpose": "a@b.co " * 30}
    assert protect(interaction(privacy=privacy))["privacy"]["purpose"] is None


def test_a_role_that_is_an_account_stays_a_role() -> None:
    messages = [
        {"role": "assistant", "parts": [{"type": "text", "content": "assistant"}], "finish_reason": "stop"}
    ]
    privacy = {"tenant": "acme", "subject": "assistant"}
    protected = protect(interaction(messages=messages, privacy=privacy, attributes={"username": "stop"}))
    assert protected["messages"] == [
        {"role": "assistant", "parts": [{"type": "text", "content": "<SUBJECT>"}], "finish_reason": "stop"}
    ]


@pytest.mark.parametrize("who", ["Amelia", "u-jane", "conv-jane-77"])
def test_a_place_of_the_format_hides_nobody(who: str) -> None:
    """A role, a finish reason, a modality is free text in the schema: a person there is taken out."""
    blob = {"type": "blob", "content": "x", "modality": who, "mime_type": who}
    message = {"role": who, "parts": [blob], "finish_reason": who}
    protected = protect(interaction(messages=[*interaction()["messages"], message]))
    assert who not in orjson.dumps(protected).decode()
    assert protected["messages"][3]["parts"][0]["type"] == "blob"


def test_tool_definitions_keep_their_words_and_hold_no_person() -> None:
    properties = {
        "first_name": {"type": "string", "description": "Of the guest", "minLength": 12},
        "password": {"type": ["string", "null"], "pattern": "[a-z]+"},
    }
    parameters = {"type": "object", "properties": properties, "required": ["first_name"]}
    tool = {"type": "function", "function": {"name": "book", "parameters": parameters}}
    kept = protect(interaction(attributes={"tools": [tool]}))
    assert kept["attributes"]["tools"] == [tool]
    hidden = {
        "first_name": {"default": "Zbigniew", "examples": ["Zbyszek"]},
        "password": {"example": "correct.horse"},
        "user": {"ssn": "536904399", "pin": 9876},
    }
    parameters["properties"] = hidden
    text = orjson.dumps(protect(interaction(attributes={"tools": [tool]}))).decode()
    assert not [word for word in ("Zbigniew", "Zbyszek", "horse", "536904399", "9876") if word in text]


def test_a_subject_that_is_a_part_type_breaks_nothing() -> None:
    value = interaction(privacy={"tenant": "acme", "subject": "text"})
    assert protect(value)["messages"][0]["parts"][0]["type"] == "text"


def test_names_outside_tool_calls_are_names() -> None:
    messages = [{"role": "user", "parts": [{"type": "generic", "name": "Jo"}], "name": "Jo"}]
    protected = protect(interaction(messages=messages))["messages"][0]
    assert protected == {
        "role": "user",
        "parts": [{"type": "generic", "name": "<PERSON>"}],
        "name": "<PERSON>",
    }


def test_what_breaks_the_contract_is_refused_without_content() -> None:
    messages = [{"role": "a@b.co " * 9, "parts": []}]
    with pytest.raises(RecordInvalid, match="schema") as caught:
        protect(interaction(messages=messages))
    assert "a@b.co" not in str(caught.value)
    assert caught.value.path == "$.messages[0].role"


def test_policy_version_is_the_policys() -> None:
    assert strict().policy_version == load_policy("strict").version
