"""The CloudEvents types that travel on our topics, and the JSON Schema of each.

The schema files under `schemas/` are the truth: they are what validates, and what is published.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
import orjson

__all__ = [
    "ALERT",
    "BUDGET_EVENT",
    "INTERACTION",
    "JOURNAL_ENTRY",
    "PROTECTED",
    "QUARANTINE",
    "RELEASE",
    "TYPES",
    "contract_words",
    "schema",
    "validator",
]

INTERACTION = "ai.veilstream.interaction.v1"
PROTECTED = "ai.veilstream.interaction.protected.v1"
QUARANTINE = "ai.veilstream.quarantine.v1"
BUDGET_EVENT = "ai.veilstream.budget.event.v1"
JOURNAL_ENTRY = "ai.veilstream.ledger.entry.v1"
RELEASE = "ai.veilstream.release.v1"
ALERT = "ai.veilstream.alert.v1"

TYPES = (INTERACTION, PROTECTED, QUARANTINE, BUDGET_EVENT, JOURNAL_ENTRY, RELEASE, ALERT)


@cache
def schema(ce_type: str) -> dict[str, Any]:
    """The published JSON Schema (2020-12) of a type."""
    text = files("veilstream.events").joinpath("schemas", f"{ce_type}.json").read_bytes()
    loaded: dict[str, Any] = orjson.loads(text)
    return loaded


@cache
def validator(ce_type: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema(ce_type))


@cache
def contract_words(ce_type: str) -> frozenset[str]:
    """Every property name that the schema declares: the only keys that may appear in an error's path."""
    words: set[str] = set()

    def gather(node: Any) -> None:
        if isinstance(node, dict):
            properties = node.get("properties")
            if isinstance(properties, dict):
                words.update(properties)
            for child in node.values():
                gather(child)
        elif isinstance(node, list):
            for child in node:
                gather(child)

    gather(schema(ce_type))
    return frozenset(words)
