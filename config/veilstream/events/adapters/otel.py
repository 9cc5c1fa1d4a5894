"""OpenTelemetry GenAI spans as OTLP JSON (semantic conventions from 1.37: messages in attributes).

    {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId", "spanId", "attributes": [{"key", "value"}],
    …}]}]}]}

Each span with messages becomes an interaction: `gen_ai.system_instructions`, `gen_ai.input.messages` and
`gen_ai.output.messages` (JSON in a string, or structured), or a tool's `gen_ai.tool.call.arguments` and
`.result`. They may stand on the span or on one of its `gen_ai.*` events. The conversation is
`gen_ai.conversation.id`, or the trace; the subject `user.id` or `enduser.id` where none is given. Other spans
give nothing. Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

from typing import Any

import orjson

from veilstream.events.adapters.base import Adapter, deterministic_id, interaction, part, refuse, text

__all__ = ["ADAPTER"]

_SYSTEM = "gen_ai.system_instructions"
_INPUT = "gen_ai.input.messages"
_OUTPUT = "gen_ai.output.messages"
_ARGUMENTS = "gen_ai.tool.call.arguments"
_RESULT = "gen_ai.tool.call.result"
_CONTENT = (_SYSTEM, _INPUT, _OUTPUT, _ARGUMENTS, _RESULT)
_CONVERSATION = "gen_ai.conversation.id"
_SUBJECTS = ("user.id", "enduser.id")


def _read(obj: Any, tenant: str, subject: str | None) -> list[dict[str, Any]]:
    if not isinstance(obj, dict):
        refuse("$", "an object")
    if "resourceSpans" not in obj:
        refuse("$.resourceSpans", "an array")
    found = []
    for resource in _objects(obj, "resourceSpans", "$"):
        for scope in _objects(resource, "scopeSpans", "$.resourceSpans[]"):
            for span in _objects(scope, "spans", "$.resourceSpans[].scopeSpans[]"):
                value = _span(span, tenant, subject)
                if value is not None:
                    found.append(value)
    return found


def _objects(holder: dict[str, Any], name: str, path: str) -> list[dict[str, Any]]:
    items = holder.get(name, [])
    if not isinstance(items, list):
        refuse(f"{path}.{name}", "an array")
    for item in items:
        if not isinstance(item, dict):
            refuse(f"{path}.{name}[]", "an object")
    return items


def _span(span: dict[str, Any], tenant: str, subject: str | None) -> dict[str, Any] | None:
    path = "$.resourceSpans[].scopeSpans[].spans[]"
    attributes = _attributes(span, path)
    for event in _objects(span, "events", path):
        if isinstance(event.get("name"), str) and event["name"].startswith("gen_ai."):
            attributes = {**_attributes(event, f"{path}.events[]"), **attributes}
    if not any(name in attributes for name in _CONTENT):
        return None
    messages: list[dict[str, Any]] = []
    if _SYSTEM in attributes:
        instructions = _opened(attributes[_SYSTEM])
        parts = instructions if isinstance(instructions, list) else [instructions]
        messages.append({"role": "system", "parts": [part(p) for p in parts]})
    for name in (_INPUT, _OUTPUT):
        if name in attributes:
            messages += _messages(_opened(attributes[name]), f"{path}.attributes.{name}")
    messages += _tool(attributes)
    conversation = text(attributes.get(_CONVERSATION)) or text(span.get("traceId")) or deterministic_id(span)
    if subject is None:
        subject = next((found for name in _SUBJECTS if (found := text(attributes.get(name)))), None)
    rest = {name: value for name, value in attributes.items() if name not in (*_CONTENT, _CONVERSATION)}
    for name in ("traceId", "spanId", "name"):
        if isinstance(span.get(name), str):
            rest[f"span.{name}"] = span[name]
    return interaction(
        conversation=conversation, messages=messages, tenant=tenant, subject=subject, attributes=rest
    )


def _messages(value: Any, path: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        refuse(path, "an array of messages")
    messages = []
    for message in value:
        if not isinstance(message, dict):
            refuse(f"{path}[]", "an object")
        role, parts = message.get("role"), message.get("parts", [])
        if not isinstance(role, str) or not role:
            refuse(f"{path}[].role", "a non-empty string")
        if not isinstance(parts, list):
            refuse(f"{path}[].parts", "an array")
        rest = {k: v for k, v in message.items() if k != "finish_reason" or isinstance(v, str | None)}
        messages.append({**rest, "role": role, "parts": [part(p) for p in parts]})
    return messages


def _tool(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """An `execute_tool` span: its call and what came back."""
    name = attributes.get("gen_ai.tool.name")
    call_id = text(attributes.get("gen_ai.tool.call.id"))
    messages: list[dict[str, Any]] = []
    if _ARGUMENTS in attributes:
        call = {
            "type": "tool_call",
            "id": call_id,
            "name": name if isinstance(name, str) else "",
            "arguments": _opened(attributes[_ARGUMENTS]),
        }
        messages.append({"role": "assistant", "parts": [call]})
    if _RESULT in attributes:
        answer = {"type": "tool_call_response", "id": call_id, "response": _opened(attributes[_RESULT])}
        messages.append({"role": "tool", "parts": [answer]})
    return messages


def _attributes(holder: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in _objects(holder, "attributes", path):
        if not isinstance(pair.get("key"), str):
            refuse(f"{path}.attributes[].key", "a string")
        found[pair["key"]] = _any_value(pair.get("value"))
    return found


def _any_value(value: Any) -> Any:
    """OTLP's AnyValue: one field that names the type. 64-bit integers are decimal strings in OTLP JSON."""
    if not isinstance(value, dict):
        return value
    for name, inner in value.items():
        if name == "intValue" and isinstance(inner, str) and len(inner) <= 20:
            return int(inner) if inner.lstrip("-").isdecimal() else inner
        if name in ("stringValue", "boolValue", "doubleValue", "bytesValue", "intValue"):
            return inner
        values = inner.get("values") if isinstance(inner, dict) else None
        if name == "arrayValue":
            return [_any_value(v) for v in values] if isinstance(values, list) else []
        if name == "kvlistValue":
            pairs = [p for p in values if isinstance(p, dict)] if isinstance(values, list) else []
            return {str(p.get("key")): _any_value(p.get("value")) for p in pairs}
    return value


def _opened(value: Any) -> Any:
    """The JSON in a string; a string that holds none is what it is."""
    if isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


_TEXT = "**.value.stringValue{json}"
_SPAN = "resourceSpans[].scopeSpans[].spans[]"
_ATTRIBUTES = (
    "resourceSpans[].resource",
    "resourceSpans[].scopeSpans[].scope",
    *(_SPAN, f"{_SPAN}.events[]", f"{_SPAN}.links[]"),
)

ADAPTER = Adapter(
    "otel",
    _read,
    words=(
        f"{_TEXT}[].parts[].name?type=tool_call",
        f"{_TEXT}[].parts[].id?type=tool_call|tool_call_response",
        *(f"{holder}.attributes[].key" for holder in _ATTRIBUTES),
        "resourceSpans[].**.kvlistValue.values[].key",
    ),
    fixed=(
        f"{_TEXT}[].role",
        f"{_TEXT}[].finish_reason",
        f"{_TEXT}[].parts[].type",
        f"{_TEXT}[].type",
    ),
    ids=(
        *(f"{_SPAN}.{name}" for name in ("traceId", "spanId", "parentSpanId")),
        *(f"{_SPAN}.links[].{name}" for name in ("traceId", "spanId")),
    ),
)
