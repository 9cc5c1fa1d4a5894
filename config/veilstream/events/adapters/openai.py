"""OpenAI chat messages: requests, fine-tuning examples, and chat completions with `choices`.

    {"messages": [{"role", "content": text | parts | null, "tool_calls"?, "tool_call_id"?, "name"?, …}],
     "id"?, "user"?, "model"?, "tools"?, …}

`id` (or `conversation_id`, `thread_id`) is the conversation, `user` the subject where none is given; what
else stands at the top goes to `attributes`. A message's further properties are kept."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from veilstream.events.adapters.base import (
    Adapter,
    deterministic_id,
    interaction,
    part,
    refuse,
    text,
    tool_words,
)

__all__ = ["ADAPTER"]

_CONVERSATION = ("conversation_id", "thread_id", "id")
_HANDLED = ("role", "content", "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning_content")


def _read(obj: Any, tenant: str, subject: str | None) -> list[dict[str, Any]]:
    if not isinstance(obj, dict):
        refuse("$", "an object")
    messages = obj.get("messages", [] if isinstance(obj.get("choices"), list) else None)
    if not isinstance(messages, list):
        refuse("$.messages", "an array")
    read = [_message(message, f"$.messages[{i}]") for i, message in enumerate(messages)]
    choices = obj.get("choices")
    if isinstance(choices, list):
        for i, choice in enumerate(choices):
            if not isinstance(choice, dict):
                refuse(f"$.choices[{i}]", "an object")
            message = _message(choice.get("message"), f"$.choices[{i}].message")
            if isinstance(choice.get("finish_reason"), str):
                message["finish_reason"] = choice["finish_reason"]
            read.append(message)
    conversation = next((found for name in _CONVERSATION if (found := text(obj.get(name)))), None)
    attributes = {
        key: value
        for key, value in obj.items()
        if key not in ("messages", "choices", "user", *_CONVERSATION) and value is not None
    }
    return [
        interaction(
            conversation=conversation or deterministic_id(obj),
            messages=read,
            tenant=tenant,
            subject=subject if subject is not None else text(obj.get("user")),
            attributes=attributes,
        )
    ]


def _message(message: Any, path: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        refuse(path, "an object")
    role = message.get("role")
    if not isinstance(role, str) or not role:
        refuse(f"{path}.role", "a non-empty string")
    if isinstance(message.get("parts"), list) and "content" not in message:
        return {**message, "parts": [part(p) for p in message["parts"]]}  # already OpenTelemetry's
    content = message.get("content")
    parts: list[dict[str, Any]] = []
    if isinstance(message.get("reasoning_content"), str):
        parts.append({"type": "reasoning", "content": message["reasoning_content"]})
    if role in ("tool", "function"):
        answer: dict[str, Any] = {"type": "tool_call_response", "response": content}
        if isinstance(message.get("tool_call_id"), str):
            answer["id"] = message["tool_call_id"]
        parts.append(answer)
    elif isinstance(content, str):
        parts.append({"type": "text", "content": content})
    elif isinstance(content, list):
        parts += [_content(p) for p in content]
    elif content is not None:
        refuse(f"{path}.content", "a string, an array or null")
    if isinstance(message.get("refusal"), str):
        parts.append({"type": "text", "content": message["refusal"]})
    calls = message.get("tool_calls")
    if calls is not None:
        if not isinstance(calls, list):
            refuse(f"{path}.tool_calls", "an array")
        parts += [_call(call, f"{path}.tool_calls[{i}]") for i, call in enumerate(calls)]
    if message.get("function_call") is not None:
        parts.append(_call({"function": message["function_call"]}, f"{path}.function_call"))
    rest = {key: value for key, value in message.items() if key not in _HANDLED and key != "parts"}
    if not isinstance(rest.get("finish_reason", ""), str | None):
        del rest["finish_reason"]
    return {**rest, "role": role, "parts": parts}


def _content(value: Any) -> dict[str, Any]:
    """A content part; one that we do not know is kept whole."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("text", "input_text", "output_text") and isinstance(value.get("text"), str):
        return {"type": "text", "content": value["text"]}
    if kind == "refusal" and isinstance(value.get("refusal"), str):
        return {"type": "text", "content": value["refusal"]}
    inner = value.get(kind) if isinstance(kind, str) and isinstance(value, dict) else None
    if kind == "image_url":
        url = inner.get("url") if isinstance(inner, dict) else inner
        if isinstance(url, str):
            return {"type": "uri", "uri": url, "modality": "image"}
    if kind == "input_audio" and isinstance(inner, dict) and isinstance(inner.get("data"), str):
        mime = f"audio/{inner['format']}" if isinstance(inner.get("format"), str) else None
        return {"type": "blob", "content": inner["data"], "modality": "audio", "mime_type": mime}
    if kind == "file" and isinstance(inner, dict):
        if isinstance(inner.get("file_id"), str):
            return {"type": "file", "file_id": inner["file_id"], "modality": "document"}
        if isinstance(inner.get("file_data"), str):
            return {"type": "blob", "content": inner["file_data"], "modality": "document"}
    return part(value) if kind != "file" else {"type": "generic", "value": value}


def _call(call: Any, path: str) -> dict[str, Any]:
    if not isinstance(call, dict):
        refuse(path, "an object")
    function = call.get("function") if isinstance(call.get("function"), dict) else call.get("custom")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        refuse(f"{path}.function.name", "a string")
    made: dict[str, Any] = {"type": "tool_call", "name": function["name"]}
    if isinstance(call.get("id"), str):
        made["id"] = call["id"]
    arguments = function.get("arguments", function.get("input"))
    if isinstance(arguments, str):
        # Cut off, or free text: kept as it is.
        with suppress(orjson.JSONDecodeError):
            arguments = orjson.loads(arguments)
    made["arguments"] = arguments
    return made


_MESSAGES = ("messages[]", "choices[].message")

ADAPTER = Adapter(
    "openai",
    _read,
    words=(
        *(f"{m}.name?role=tool|function" for m in _MESSAGES),
        *(f"{m}.tool_calls[].{kind}.name" for m in _MESSAGES for kind in ("function", "custom")),
        *(f"{m}.function_call.name" for m in _MESSAGES),
        *tool_words("tools"),
        *tool_words("functions"),
        *("tool_choice.function.name", *tool_words("tool_choice")),
        *("response_format.json_schema.name", *tool_words("response_format")),
        "model",
        "object",
    ),
    fixed=(
        *(f"{m}.role" for m in _MESSAGES),
        *(f"{m}.content[].type" for m in _MESSAGES),
        *(f"{m}.tool_calls[].type" for m in _MESSAGES),
        "choices[].finish_reason",
    ),
)
