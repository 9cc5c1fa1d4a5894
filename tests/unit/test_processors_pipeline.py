"""One record in, one outcome out: protected, or quarantined with an error that names no content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from veilstream.contracts import Finding
from veilstream.detection import PatternEngine
from veilstream.errors import EnvelopeInvalid, KeyMissing, StoreUnavailable
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.types import INTERACTION, PROTECTED, QUARANTINE
from veilstream.keys import FileKeyProvider, PersonKeys, entity_token, ledger_token, quarantine_key
from veilstream.processors.decoding import RawRecord
from veilstream.processors.pipeline import Outcome, People, Pipeline
from veilstream.processors.sealing import open_quarantined
from veilstream.protection import Protector, load_policy

SECRET = "mia.lindqvist@example.org"  # in every bad record; never outside the envelope
POLICY = load_policy("strict")
ENGINE = PatternEngine()


class Store:
    """A `PersonKeyStore` in memory."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.asked = 0

    async def get_or_create(self, proposals: dict[bytes, bytes]) -> dict[bytes, bytes]:
        self.asked += 1
        return {index: self.kept.setdefault(index, sealed) for index, sealed in proposals.items()}


class Away:
    """`People` whose store answers at the third time of asking."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.refusals = 2

    async def subject_tokens(self, units: Sequence[tuple[str, str, str]]) -> list[str]:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("the store does not answer")
        return await self.people.subject_tokens(units)


class Exploding:
    """A detector that fails on what it is given, with the text in its error."""

    version = "exploding"

    def find(self, text: str) -> Sequence[Finding]:
        raise ZeroDivisionError(text)


async def run(work: Callable[[], Any]) -> Any:
    return work()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> FileKeyProvider:
    made = FileKeyProvider(tmp_path_factory.mktemp("keys"))
    made.ensure("acme")
    return made


def pipeline(
    provider: FileKeyProvider,
    *,
    people: People | None = None,
    detector: Any = ENGINE,
    limit_bytes: int = 1_000_000,
    quarantine_limit_bytes: int = 4_000_000,
) -> Pipeline:
    return Pipeline(
        protector=Protector(detector, POLICY),
        provider=provider,
        people=people or PersonKeys(provider, Store()),
        topic="veil.interactions.raw",
        incarnation="abc",
        limit_bytes=limit_bytes,
        quarantine_limit_bytes=quarantine_limit_bytes,
    )


def value(**changes: Any) -> dict[str, Any]:
    return {
        "conversation": "c-1",
        "messages": [{"role": "user", "parts": [{"type": "text", "content": f"write to {SECRET}"}]}],
        "privacy": {"tenant": "acme", "subject": "user-17"},
        **changes,
    }


def raw(data: Any, *, offset: int = 7, **headers: bytes | None) -> RawRecord:
    """A record with good attributes unless `headers` changes them; None takes one away."""
    named: dict[str, bytes | None] = dict(
        Attributes(
            INTERACTION, f"agent/{SECRET}", id=f"order of {SECRET}", time="2026-11-24T07:00:00Z"
        ).to_headers()
    )
    named.update(headers)
    kept = tuple((name, item) for name, item in named.items() if item is not None)
    body = data if isinstance(data, bytes | None) else orjson.dumps(data)
    return RawRecord(f"key of {SECRET}".encode(), body, kept, 1_790_000_000_000, 2, offset)


async def one(record: RawRecord, made: Pipeline) -> Outcome:
    (outcome,) = await made.batch([record], run, lambda: None)
    return outcome


async def test_a_good_record_is_protected_with_its_place(provider: FileKeyProvider) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    outcome = await one(raw(value(), traceparent=trace, other=SECRET.encode()), pipeline(provider))
    assert (outcome.topic, outcome.error) == ("interactions.protected", None)
    attributes = Attributes.from_headers(outcome.headers)
    assert attributes.type == PROTECTED
    assert attributes.source == "veilstream/processor"
    assert attributes.time == "2026-11-24T07:00:00Z"
    assert attributes.traceparent == trace.decode()
    assert attributes.policy_version == POLICY.version
    assert attributes.origin == Origin("abc", 2, 7)
    assert attributes.id == entity_token(provider.tenant("acme"), "ce_id", f"order of {SECRET}")
    protected = codec.decode(PROTECTED, outcome.value)
    assert protected["privacy"]["subject_token"].encode() == outcome.key
    assert protected["privacy"]["unit"] == "subject"
    assert protected["privacy"]["ledger_token"] == ledger_token(
        provider.ledger(), "acme", "subject", "user-17"
    )
    everything = outcome.key + outcome.value + b"".join(n.encode() + v for n, v in outcome.headers)
    for secret in (SECRET, "lindqvist", "user-17", "c-1"):
        assert secret.encode() not in everything


async def test_without_a_subject_the_unit_is_the_conversation(provider: FileKeyProvider) -> None:
    outcome = await one(raw(value(privacy={"tenant": "acme", "subject": None})), pipeline(provider))
    protected = codec.decode(PROTECTED, outcome.value)
    assert protected["privacy"]["unit"] == "conversation"
    assert protected["privacy"]["ledger_token"] == ledger_token(
        provider.ledger(), "acme", "conversation", "c-1"
    )


DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
NESTED: Any = SECRET
for _ in range(100):
    NESTED = {"a": NESTED}

BAD = {
    "not JSON": (raw(f"to {SECRET}".encode()), "not_json", "$", None),
    "nothing": (raw(None), "not_json", "$", None),
    "not UTF-8": (raw(b'{"a":"\xff"}'), "not_json", "$", None),
    "cut short": (raw(orjson.dumps(value())[:-3]), "not_json", "$", None),
    "a lone surrogate": (raw(b'{"conversation":"\\ud800"}'), "not_json", "$", None),
    "10,000 deep": (raw(DEEP), "too_deep", "$", None),
    "100 deep": (raw(value(attributes={"x": NESTED})), "too_deep", "$", "acme"),
    "100 deep in a string": (
        raw(value(attributes={"x": orjson.dumps(NESTED).decode()})),
        "too_deep",
        "$",
        "acme",
    ),
    "another type": (raw(value(), ce_type=b"com.example.made"), "unknown_type", "$headers.ce_type", "acme"),
    "a later version": (
        raw(value(), ce_type=b"ai.veilstream.interaction.v2"),
        "unknown_type",
        "$headers.ce_type",
        "acme",
    ),
    "a type of another topic": (
        raw(value(), ce_type=PROTECTED.encode()),
        "unknown_type",
        "$headers.ce_type",
        "acme",
    ),
    "no type": (raw(value(), ce_type=None), "missing_attribute", "$headers.ce_type", "acme"),
    "no id": (raw(value(), ce_id=b""), "missing_attribute", "$headers.ce_id", "acme"),
    "no headers": (
        RawRecord(None, orjson.dumps(value()), (), 0, 0, 0),
        "missing_attribute",
        "$headers.ce_specversion",
        "acme",
    ),
    "a header that is not UTF-8": (raw(value(), ce_id=b"\xff\xfe"), "bad_attribute", "$headers", "acme"),
    "another specification": (
        raw(value(), ce_specversion=b"0.3"),
        "bad_attribute",
        "$headers.ce_specversion",
        "acme",
    ),
    "a time that is none": (
        raw(value(), ce_time=SECRET.encode()),
        "bad_attribute",
        "$headers.ce_time",
        "acme",
    ),
    "no tenant": (raw(value(privacy={"subject": SECRET})), "schema", "$.privacy", None),
    "no privacy": (raw({"conversation": "c", "messages": []}), "schema", "$", None),
    "a tenant without a key": (
        raw(value(privacy={"tenant": "nobody"})),
        "unknown_tenant",
        "$.privacy.tenant",
        None,
    ),
    "a tenant that is a path": (
        raw(value(privacy={"tenant": "../operator"})),
        "schema",
        "$.privacy.tenant",
        None,
    ),
    "a list for a subject": (
        raw(value(privacy={"tenant": "acme", "subject": [SECRET]})),
        "schema",
        "$.privacy.subject",
        "acme",
    ),
    "a key of one's own": (
        raw(value(privacy={"tenant": "acme", SECRET: {SECRET: 1}})),
        "schema",
        "$.privacy",
        "acme",
    ),
    "a part without a type": (
        raw(value(messages=[{"role": "user", "parts": [{"content": SECRET}]}])),
        "schema",
        "$.messages[0].parts[0]",
        "acme",
    ),
    "a list": (raw([SECRET]), "schema", "$", None),
    "over the limit": (
        raw(value(attributes={"x": SECRET * 50_000})),
        "too_large",
        "$",
        "acme",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_goes_to_quarantine_whole_and_named(name: str, provider: FileKeyProvider) -> None:
    record, kind, path, tenant = BAD[name]
    outcome = await one(record, pipeline(provider))
    assert outcome.topic == "interactions.quarantine"
    found = codec.decode(QUARANTINE, outcome.value)
    assert (found["error"]["kind"], found["error"]["path"], found["tenant"]) == (kind, path, tenant)
    assert found["origin"] == {
        "topic": "veil.interactions.raw",
        "incarnation": "abc",
        "partition": record.partition,
        "offset": record.offset,
    }
    assert open_quarantined(found, provider) == record  # whole: key, value, headers, time, place
    attributes = Attributes.from_headers(outcome.headers)
    assert attributes.type == QUARANTINE
    assert attributes.origin == Origin("abc", record.partition, record.offset)
    assert outcome.key == quarantine_key(provider.operator(), record.key)
    visible = outcome.key + b"".join(n.encode() + v for n, v in outcome.headers) + outcome.value
    assert b"lindqvist" not in visible
    assert b"lindqvist" not in str(outcome.error).encode()


async def test_a_quarantined_record_opens_with_its_owners_key_only(
    provider: FileKeyProvider, tmp_path: Path
) -> None:
    outcome = await one(BAD["a list for a subject"][0], pipeline(provider))
    found = codec.decode(QUARANTINE, outcome.value)
    stranger = FileKeyProvider(tmp_path)
    stranger.ensure("acme")
    with pytest.raises(EnvelopeInvalid):
        open_quarantined(found, stranger)
    with pytest.raises(EnvelopeInvalid):
        open_quarantined({**found, "tenant": None}, provider)
    with pytest.raises(EnvelopeInvalid):
        open_quarantined({**found, "sealed": "%"}, provider)


async def test_an_engine_that_fails_quarantines_the_record_and_says_nothing(
    provider: FileKeyProvider,
) -> None:
    outcome = await one(raw(value()), pipeline(provider, detector=Exploding()))
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.detail) == ("unprotectable", "ZeroDivisionError")
    assert b"lindqvist" not in outcome.value
    assert open_quarantined(codec.decode(QUARANTINE, outcome.value), provider) == raw(value())


async def test_a_record_that_grows_over_the_limit_goes_to_quarantine(provider: FileKeyProvider) -> None:
    record = raw(value(attributes={"x": "a@b.co " * 100}))
    assert (await one(record, pipeline(provider))).error is None
    outcome = await one(record, pipeline(provider, limit_bytes=record.size))
    assert outcome.error is not None
    assert outcome.error.kind == "too_large"
    assert open_quarantined(codec.decode(QUARANTINE, outcome.value), provider) == record


async def test_what_quarantine_cannot_hold_is_named_by_its_place(provider: FileKeyProvider) -> None:
    record = raw(b"x" * 50_000)
    made = pipeline(provider, quarantine_limit_bytes=80_000)
    outcome = await one(record, made)
    assert len(outcome.value) < 80_000
    found = codec.decode(QUARANTINE, outcome.value)
    assert found["error"]["kind"] == "not_json"
    assert "read it at its origin" in found["error"]["detail"]
    opened = open_quarantined(found, provider)
    assert (opened.kept, opened.value, opened.offset) == (False, None, record.offset)
    fits = raw(b"x" * 40_000)
    kept = await one(fits, made)
    assert len(kept.value) < 80_000
    assert open_quarantined(codec.decode(QUARANTINE, kept.value), provider) == fits


async def test_the_same_record_again_gives_the_same_bytes(provider: FileKeyProvider) -> None:
    store = Store()
    records = [raw(value(), offset=number) for number in range(3)] + [BAD["not JSON"][0]]
    first = await pipeline(provider, people=PersonKeys(provider, store)).batch(records, run, lambda: None)
    again = await pipeline(provider, people=PersonKeys(provider, store)).batch(records, run, lambda: None)
    assert [(o.topic, o.key, o.headers) for o in first] == [(o.topic, o.key, o.headers) for o in again]
    assert [o.value for o in first[:3]] == [o.value for o in again[:3]]
    assert len({o.value for o in first[:3]}) == 1  # the place is in the headers alone


async def test_a_batch_asks_the_store_once_and_keeps_its_order(provider: FileKeyProvider) -> None:
    store = Store()
    records = [
        raw(value(privacy={"tenant": "acme", "subject": f"user-{number % 3}"}), offset=number)
        if number % 4
        else raw(b"{", offset=number)
        for number in range(12)
    ]
    outcomes = await pipeline(provider, people=PersonKeys(provider, store)).batch(records, run, lambda: None)
    assert store.asked == 1
    assert [outcome.offset for outcome in outcomes] == list(range(12))
    assert [outcome.topic.rpartition(".")[2] for outcome in outcomes[:4]] == ["quarantine"] + [
        "protected"
    ] * 3
    assert len({outcome.key for outcome in outcomes if outcome.error is None}) == 3


async def test_a_store_that_is_away_is_waited_for(provider: FileKeyProvider) -> None:
    waited = []
    made = pipeline(provider, people=Away(PersonKeys(provider, Store())))
    (outcome,) = await made.batch([raw(value())], run, lambda: waited.append(1))
    assert outcome.error is None
    assert len(waited) == 2


async def test_a_damaged_person_key_holds_nobody_else_up(provider: FileKeyProvider) -> None:
    store = Store()
    records = [
        raw(value(privacy={"tenant": "acme", "subject": f"user-{number}"}), offset=number)
        for number in range(3)
    ]
    await pipeline(provider, people=PersonKeys(provider, store)).batch(records, run, lambda: None)
    index = next(iter(store.kept))
    store.kept[index] = store.kept[index][:-1] + bytes([store.kept[index][-1] ^ 1])
    outcomes = await pipeline(provider, people=PersonKeys(provider, store)).batch(records, run, lambda: None)
    assert sorted(outcome.topic for outcome in outcomes) == [
        "interactions.protected",
        "interactions.protected",
        "interactions.quarantine",
    ]
    assert [o.error.kind for o in outcomes if o.error is not None] == ["unprotectable"]


@pytest.mark.parametrize("timestamp", [-1, 0, 2**63 - 1, -(2**63), 253_402_300_800_000])
async def test_any_timestamp_of_a_producer_can_be_quarantined(
    timestamp: int, provider: FileKeyProvider
) -> None:
    record = RawRecord(b"k", b"{", (), timestamp, 0, 0)
    outcome = await one(record, pipeline(provider))
    Attributes.from_headers(outcome.headers)
    assert open_quarantined(codec.decode(QUARANTINE, outcome.value), provider) == record


def test_without_the_operators_and_the_ledgers_key_nothing_starts(tmp_path: Path) -> None:
    bare = FileKeyProvider(tmp_path)
    bare.create("acme")
    with pytest.raises(KeyMissing):
        pipeline(bare)
    bare.create_ledger()
    with pytest.raises(KeyMissing):
        pipeline(bare)
    bare.create_operator()
    pipeline(bare)


async def test_both_stages_go_through_run(provider: FileKeyProvider) -> None:
    calls = 0

    async def counted(work: Callable[[], Any]) -> Any:
        nonlocal calls
        calls += 1
        return work()

    await pipeline(provider).batch([raw(value())], counted, lambda: None)
    assert calls == 2
