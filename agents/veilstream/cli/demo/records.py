"""The demo's input: interaction values and what was planted in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from veilstream.cli.demo.conversations import conversations
from veilstream.cli.demo.dump import Planted
from veilstream.cli.lines import read_lines
from veilstream.events.adapters import ADAPTERS
from veilstream.events.codec import loads

__all__ = ["demo_records"]


def demo_records(
    input: Path | None, limit: int, *, seed: int, tenant: str
) -> Iterator[tuple[dict[str, Any], list[Planted]]]:
    """Yield (interaction value, planted) for each dialogue: from a file, or our own.

    In a file a dialogue is a person: its id is the subject.
    """
    if input is None:
        for made in conversations(limit, seed):
            value = {
                "conversation": made.conversation,
                "messages": made.messages,
                "privacy": {"tenant": tenant, "subject": made.subject, "purpose": "support"},
            }
            yield value, [(made.conversation, kind, text) for kind, text in made.planted]
        return
    for line in read_lines(input, limit):
        dialogue = loads(line)
        subject = dialogue.get("dialogue_id") if isinstance(dialogue, dict) else None
        for value in ADAPTERS["dialogue"].read(dialogue, tenant=tenant, subject=subject):
            yield value, []
