"""CloudEvents headers, the codec and the catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from veilstream.errors import RecordInvalid
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.topics import CATALOGUE, specs
from veilstream.events.types import INTERACTION, TYPES, schema, validator
from veilstream.settings import KafkaSettings


def interaction(**changes: Any) -> dict[str, Any]:
    messages = [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]
    return {"conversation": "c-1", "messages": messages, "privacy": {"tenant": "acme"}, **changes}


@pytest.mark.parametrize("ce_type", TYPES)
def test_schema_is_closed_named_and_compiles(ce_type: str) -> None:
    found = schema(ce_type)
    assert found["$id"].endswith(ce_type)
    assert found["additionalProperties"] is False
    assert found["description"]
    assert not validator(ce_type).is_valid([])


def test_headers_round_trip() -> None:
    given = Attributes(
        type=INTERACTION, source="a", traceparent=f"00-{'a' * 32}-{'b' * 16}-01", policy_version="strict@1",
        origin=Origin("f00", 3, 17),
    )  # fmt: skip
    assert Attributes.from_headers(given.to_headers()) == given


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_source", "ce_time", "ce_specversion"])
def test_missing_attribute_is_named(name: str) -> None:
    headers = [(n, v) for n, v in Attributes(type=INTERACTION, source="a").to_headers() if n != name]
    with pytest.raises(RecordInvalid) as caught:
        Attributes.from_headers(headers)
    assert (caught.value.kind, caught.value.path) == ("missing_attribute", f"$headers.{name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [("ce_time", b"yesterday"), ("ce_specversion", b"0.3"), ("ce_id", b"\xff"), ("ce_id", b"x" * 2000),
     ("ce_sourceoffset", b"nine")],
)  # fmt: skip
def test_malformed_attribute_is_named_but_not_shown(name: str, value: bytes) -> None:
    headers = [*dict(Attributes(type=INTERACTION, source="a").to_headers(), **{name: value}).items()]
    with pytest.raises(RecordInvalid) as caught:
        Attributes.from_headers(headers)
    assert caught.value.kind == "bad_attribute"
    assert value.decode(errors="replace") not in str(caught.value)


def test_malformed_traceparent_is_dropped() -> None:
    headers = [*Attributes(type=INTERACTION, source="a").to_headers(), ("traceparent", b"ann@example.com")]
    assert Attributes.from_headers(headers).traceparent is None


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", "not_json"),
        (b"", "not_json"),
        (b'"\\ud800"', "not_json"),
        (b"\xff", "not_json"),
        (b"NaN", "not_json"),
        (b"1e999", "not_json"),
        (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
        (b"[]", "schema"),
        (b"null", "schema"),
    ],
)
def test_bad_bytes_have_a_kind(data: bytes, kind: str) -> None:
    with pytest.raises(RecordInvalid) as caught:
        codec.decode(INTERACTION, data)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"privacy": {}}, "$.privacy"),
        ({"privacy": {"tenant": "Ann Lee"}}, "$.privacy.tenant"),
        ({"privacy": {"tenant": "acme", "subject": ["ann"]}}, "$.privacy.subject"),
        ({"privacy": {"tenant": "acme", "ann@example.com": 1}}, "$.privacy"),
        ({"messages": [{"role": "user", "parts": [{"type": "ann"}]}]}, "$.messages[0].parts[0].type"),
        ({"messages": [{"role": "user", "parts": [{"type": "text"}]}]}, "$.messages[0].parts[0]"),
        ({"conversation": ""}, "$.conversation"),
        ({"ann": 1}, "$"),
    ],
)
def test_broken_contract_names_the_path_and_never_the_content(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(RecordInvalid) as caught:
        codec.check(INTERACTION, interaction(**changes))
    assert (caught.value.kind, caught.value.path) == ("schema", path)
    assert "ann" not in str(caught.value).lower()


def test_a_part_may_carry_any_property() -> None:
    part = {"type": "text", "content": "hello", "provider": {"anything": [1, None]}}
    codec.check(INTERACTION, interaction(messages=[{"role": "user", "parts": [part], "name": "x"}]))


def test_unknown_type_is_refused() -> None:
    with pytest.raises(RecordInvalid) as caught:
        codec.decode("ai.veilstream.interaction.v2", b"{}")
    assert caught.value.kind == "unknown_type"


def test_path_shows_only_words_of_the_contract() -> None:
    assert codec.safe_path(INTERACTION, ["messages", 0, "ann@example.com", "role"]) == "$.messages[0].*.role"


def test_catalogue_says_what_the_broker_should_have() -> None:
    found = {spec.name: spec for spec in specs(KafkaSettings(partitions=6, topic_prefix="t."))}
    assert len(found) == len(CATALOGUE)
    assert found["t.interactions.protected"].configs["message.timestamp.type"] == "LogAppendTime"
    assert found["t.interactions.raw"].partitions == 6
    assert found["t.ledger.journal"].partitions == 1
    assert found["t.ledger.journal"].configs["retention.ms"] == "-1"
    assert found["t.budget.alerts"].configs["cleanup.policy"] == "compact"
    assert found["t.subjects.keys"].configs["max.compaction.lag.ms"] == "86400000"
