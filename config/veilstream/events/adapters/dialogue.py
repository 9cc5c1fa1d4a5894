"""Task dialogues, one a line: the Schema-Guided Dialogue set's turns (`../shared/data/README.md`).

    {"dialogue_id", "services"?, "turns": [{"speaker": "user" | "system", "utterance", "intent"?,
      "call"?: {"service"?, "method", "parameters"?}, "results"?: […]}]}

A dialogue is one interaction; its id is the conversation. A call happens before the system speaks in the same
turn: the assistant's tool call, the tool's response, the assistant's words.
"""

from __future__ import annotations

from typing import Any

from veilstream.events.adapters.base import Adapter, interaction, refuse, text

__all__ = ["ADAPTER"]

_ROLES = {"user": "user", "system": "assistant"}


def _read(obj: Any, tenant: str, subject: str | None) -> list[dict[str, Any]]:
    if not isinstance(obj, dict):
        refuse("$", "an object")
    conversation = text(obj.get("dialogue_id"))
    if conversation is None:
        refuse("$.dialogue_id", "a string of 1–256 characters")
    turns = obj.get("turns")
    if not isinstance(turns, list):
        refuse("$.turns", "an array")
    messages: list[dict[str, Any]] = []
    calls = 0
    for i, turn in enumerate(turns):
        path = f"$.turns[{i}]"
        if not isinstance(turn, dict):
            refuse(path, "an object")
        speaker = turn.get("speaker")
        role = _ROLES.get(speaker.lower()) if isinstance(speaker, str) else None
        if role is None:
            refuse(f"{path}.speaker", "user or system")
        utterance = turn.get("utterance")
        if not isinstance(utterance, str):
            refuse(f"{path}.utterance", "a string")
        if turn.get("call") is not None:
            calls += 1
            messages += _call(turn, f"call-{calls}", path)
        message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": utterance}]}
        if isinstance(turn.get("intent"), str):
            message["intent"] = turn["intent"]
        messages.append(message)
    services = obj.get("services")
    return [
        interaction(
            conversation=conversation,
            messages=messages,
            tenant=tenant,
            subject=subject,
            attributes={"services": services} if isinstance(services, list) else None,
        )
    ]


def _call(turn: dict[str, Any], call_id: str, path: str) -> list[dict[str, Any]]:
    call = turn["call"]
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        refuse(f"{path}.call.method", "a string")
    made: dict[str, Any] = {
        "type": "tool_call",
        "id": call_id,
        "name": call["method"],
        "arguments": call.get("parameters", {}),
    }
    if isinstance(call.get("service"), str):
        made["service"] = call["service"]
    answer = {"type": "tool_call_response", "id": call_id, "response": turn.get("results", [])}
    return [{"role": "assistant", "parts": [made]}, {"role": "tool", "parts": [answer]}]


ADAPTER = Adapter(
    "dialogue",
    _read,
    words=("turns[].call.method", "turns[].call.service", "turns[].intent", "services[]"),
    fixed=("turns[].speaker",),
)
