"""Laws of the adapters: any JSON gives valid interactions, or `RecordInvalid`, which quotes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilstream.errors import RecordInvalid
from veilstream.events.adapters import ADAPTERS
from veilstream.events.codec import check
from veilstream.events.types import INTERACTION

SECRET = "Xiomara-4711"  # planted in every text and key
WORDS = [
    "messages", "role", "content", "tool_calls", "function", "name", "arguments", "function_call",
    "choices", "message", "finish_reason", "id", "user", "resourceSpans", "scopeSpans", "spans",
    "attributes", "key", "value", "stringValue", "intValue", "arrayValue", "kvlistValue", "values",
    "events", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments", "traceId", "parts", "type", "text", "image_url", "url", "file",
    "file_id", "input_audio", "data", "dialogue_id", "turns", "speaker", "utterance", "call",
    "method", "parameters", "results", "services", "conversation", "privacy", "tenant", "subject",
    "response", "uri", "tool_call", "tool_call_response", "blob", "generic",
]  # fmt: skip

texts = st.sampled_from(
    [SECRET, "", "user", "tool", "system", "text", "tool_call", "[]", "{}", "[1]", f'["{SECRET}"]']
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.text(max_size=4)
keys = st.sampled_from([*WORDS, SECRET])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)


def dialogue(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lines that are nearly of each format, so that the deep branches are reached."""
    part = st.fixed_dictionaries(
        {"type": texts}, optional=dict.fromkeys(("content", "name", "response", "id"), inner)
    )
    message = st.fixed_dictionaries(
        {"role": texts}, optional=dict.fromkeys(("content", "tool_calls", "name", "finish_reason"), inner)
    ) | st.fixed_dictionaries({"role": texts, "parts": st.lists(part, max_size=2)})
    pair = st.fixed_dictionaries({"key": keys, "value": st.dictionaries(keys, inner, max_size=2)})
    span = st.fixed_dictionaries({"attributes": st.lists(pair, max_size=4)}, optional={"events": inner})
    turn = st.fixed_dictionaries(
        {"speaker": st.just("user"), "utterance": texts},
        optional={"call": inner, "results": inner, "intent": inner},
    )
    return st.one_of(
        st.fixed_dictionaries(
            {"messages": st.lists(message, max_size=3)}, optional={"user": inner, "id": inner}
        ),
        st.fixed_dictionaries({"conversation": texts, "messages": st.lists(message, max_size=2)}),
        st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": message}), max_size=2)}),
        st.just({}).flatmap(
            lambda _: st.lists(span, max_size=2).map(
                lambda s: {"resourceSpans": [{"scopeSpans": [{"spans": s}]}]}
            )
        ),
        st.fixed_dictionaries({"dialogue_id": texts, "turns": st.lists(turn, max_size=3)}),
    )


def attempt(name: str, obj: Any, subject: str | None) -> tuple[list[dict[str, Any]], RecordInvalid | None]:
    try:
        return ADAPTERS[name].read(obj, tenant="acme", subject=subject), None
    except RecordInvalid as error:
        return [], error


@pytest.mark.parametrize("name", list(ADAPTERS))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(obj=values | dialogue(values), subject=st.none() | texts)
def test_total_and_silent(name: str, obj: Any, subject: str | None) -> None:
    interactions, error = attempt(name, obj, subject)
    for value in interactions:
        check(INTERACTION, value)
    if error is not None:
        for text in (str(error), error.path, error.detail, repr(error)):
            assert SECRET not in text
        assert error.__suppress_context__ or error.__context__ is None
