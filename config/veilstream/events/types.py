"""The CloudEvents types that travel on our topics, and the JSON Schema of each.

The schema files under `schemas/` are the truth: they are what validates, and what is published. A schema may
refer to another of them by its `$id`: an item of a batch is the single type itself, not a copy of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
import orjson

__all__ = [
    "ALERT",
    "ALERT_DELIVERY",
    "ALERT_SILENCE",
    "BATCH",
    "BUDGET_EVENT",
    "INTERACTION",
    "JOURNAL_ENTRY",
    "OPERATOR_SIGNAL",
    "PROTECTED",
    "PROTECTED_BATCH",
    "QUARANTINE",
    "RELEASE",
    "TYPES",
    "contract_words",
    "schema",
    "validator",
]

INTERACTION = "ai.veilstream.interaction.v1"
PROTECTED = "ai.veilstream.interaction.protected.v1"
BATCH = "ai.veilstream.interactions.v1"
PROTECTED_BATCH = "ai.veilstream.interactions.protected.v1"
QUARANTINE = "ai.veilstream.quarantine.v1"
BUDGET_EVENT = "ai.veilstream.budget.event.v1"
JOURNAL_ENTRY = "ai.veilstream.ledger.entry.v1"
RELEASE = "ai.veilstream.release.v1"
ALERT = "ai.veilstream.alert.v1"
OPERATOR_SIGNAL = "ai.veilstream.operator.signal.v1"
ALERT_SILENCE = "ai.veilstream.alert.silence.v1"
ALERT_DELIVERY = "ai.veilstream.alert.delivery.v1"

TYPES = (
    INTERACTION,
    PROTECTED,
    BATCH,
    PROTECTED_BATCH,
    QUARANTINE,
    BUDGET_EVENT,
    JOURNAL_ENTRY,
    RELEASE,
    ALERT,
    OPERATOR_SIGNAL,
    ALERT_SILENCE,
    ALERT_DELIVERY,
)

_URN = "urn:veilstream:schema:"


@cache
def schema(ce_type: str) -> dict[str, Any]:
    """The published JSON Schema (2020-12) of a type."""
    text = files("veilstream.events").joinpath("schemas", f"{ce_type}.json").read_bytes()
    loaded: dict[str, Any] = orjson.loads(text)
    return loaded


@cache
def validator(ce_type: str) -> jsonschema_rs.Validator:
    """The compiled schema. Nothing is fetched: what it refers to is one of the files."""
    others = [(f"{_URN}{name}", schema(name)) for name in _referred(ce_type)]
    registry = jsonschema_rs.Registry(others) if others else None
    return jsonschema_rs.validator_for(schema(ce_type), registry=registry, offline=True)


@cache
def contract_words(ce_type: str) -> frozenset[str]:
    """Every property name that the schema declares: the only keys that may appear in an error's path."""
    words: set[str] = set()
    for node in _nodes(schema(ce_type)):
        properties = node.get("properties")
        if isinstance(properties, dict):
            words.update(properties)
    return frozenset(words.union(*map(contract_words, _referred(ce_type))))


def _referred(ce_type: str) -> list[str]:
    """The types whose schemas this one refers to."""
    references = (node.get("$ref") for node in _nodes(schema(ce_type)))
    found = (ref.removeprefix(_URN) for ref in references if isinstance(ref, str) and ref.startswith(_URN))
    return list(dict.fromkeys(found))


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a schema."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(child)
