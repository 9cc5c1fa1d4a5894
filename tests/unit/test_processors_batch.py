"""The edges of a batch: how many, how large, whose."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from veilstream.detection import PatternEngine
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.types import BATCH, INTERACTION, PROTECTED_BATCH, contract_words, schema
from veilstream.keys import FileKeyProvider, PersonKeys, entity_token
from veilstream.processors.decoding import RawRecord
from veilstream.processors.pipeline import Outcome, Pipeline
from veilstream.processors.work import Work
from veilstream.protection import Protector, load_policy

PROVIDER = FileKeyProvider(Path(tempfile.mkdtemp(prefix="veilstream-keys-")))
PROVIDER.ensure("acme")
ENGINE = PatternEngine()


class Store:
    async def get_or_create(self, proposals: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return proposals


def work(limit_bytes: int = 1_000_000) -> Work:
    return Pipeline(
        protector=Protector(ENGINE, load_policy("strict")),
        provider=PROVIDER,
        people=PersonKeys(PROVIDER, Store()),
        topic="veil.interactions.raw",
        incarnation="abc",
        limit_bytes=limit_bytes,
        quarantine_limit_bytes=4_000_000,
    )


def item(number: int = 0, text: str = "hello", **privacy: Any) -> dict[str, Any]:
    return {
        "id": f"event {number}",
        "time": "2026-11-24T07:00:00Z",
        "interaction": {
            "conversation": "c-1",
            "messages": [{"role": "user", "parts": [{"type": "text", "content": text}]}],
            "privacy": {"tenant": "acme", **privacy},
        },
    }


def raw(value: Any) -> RawRecord:
    headers = Attributes(BATCH, "agent", id="of ann", time="2026-11-24T08:00:00Z").to_headers()
    return RawRecord(b"key", orjson.dumps(value), tuple(headers), 0, 2, 7)


async def process(record: RawRecord, made: Work) -> Outcome:
    async def run(function: Callable[[], Any]) -> Any:
        return function()

    (outcome,) = await made.batch([record], run, lambda: None)
    return outcome


async def test_the_headers_are_of_the_batch() -> None:
    outcome = await process(raw({"interactions": [item()]}), work())
    attributes = Attributes.from_headers(outcome.headers)
    assert (attributes.type, attributes.time) == (PROTECTED_BATCH, "2026-11-24T08:00:00Z")
    assert attributes.id == entity_token(PROVIDER.tenant("acme"), "ce_id", "of ann")
    assert attributes.origin == Origin("abc", 2, 7)


async def test_one_to_a_thousand_items() -> None:
    assert (await process(raw({"interactions": [item(n) for n in range(1000)]}), work())).error is None
    for entries in ([], [item(n) for n in range(1001)]):
        error = (await process(raw({"interactions": entries}), work())).error
        assert error is not None
        assert (error.kind, error.path) == ("schema", "$.interactions")


async def test_without_a_subject_the_conversation_is_the_unit() -> None:
    assert (await process(raw({"interactions": [item(1), item(2, subject=None)]}), work())).error is None
    other = item(2)
    other["interaction"]["conversation"] = "c-2"
    error = (await process(raw({"interactions": [item(1), other]}), work())).error
    assert error is not None
    assert (error.kind, error.path) == ("mixed_units", "$.interactions[1]")


async def test_a_tenant_without_a_key_is_named_at_an_item() -> None:
    error = (await process(raw({"interactions": [item(tenant="nobody")]}), work())).error
    assert error is not None
    assert (error.kind, error.path) == ("unknown_tenant", "$.interactions[0].interaction.privacy.tenant")


async def test_a_batch_that_grows_over_the_limit_goes_to_quarantine() -> None:
    record = raw({"interactions": [item(n, "a@b.co " * 20) for n in range(5)]})
    assert (await process(record, work())).error is None
    error = (await process(record, work(record.size))).error
    assert error is not None
    assert error.kind == "too_large"
    assert "fewer interactions" in error.hint


def test_an_item_is_the_single_type_itself() -> None:
    referred = schema(BATCH)["$defs"]["item"]["properties"]["interaction"]["$ref"]
    assert referred == schema(INTERACTION)["$id"]
    assert contract_words(INTERACTION) < contract_words(BATCH)
    codec.check(BATCH, {"interactions": [item()]})
