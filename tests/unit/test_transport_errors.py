"""Errors of the client in words of ours; topics compared with their specification."""

from __future__ import annotations

import socket
import ssl

import pytest
from aiokafka import errors as kafka_errors

from veilstream.errors import BrokerUnavailable, Fenced, RecordInvalid, TopicMismatch, VeilstreamError
from veilstream.events.topics import specs
from veilstream.settings import KafkaSettings
from veilstream.transport.admin import problems
from veilstream.transport.errors import broker_errors, kafka_errors_only

SECRET = "anna@example.com"


@pytest.mark.parametrize(
    ("raised", "expected", "hint"),
    [
        (kafka_errors.KafkaConnectionError(SECRET), BrokerUnavailable, "veilstream up"),
        (kafka_errors.KafkaTimeoutError(SECRET), BrokerUnavailable, "veilstream up"),
        (kafka_errors.NodeNotReadyError(SECRET), BrokerUnavailable, "veilstream up"),
        (ConnectionRefusedError(SECRET), BrokerUnavailable, "veilstream up"),
        (socket.gaierror(SECRET), BrokerUnavailable, "kafka.bootstrap"),
        (TimeoutError(SECRET), BrokerUnavailable, "veilstream up"),
        (ssl.SSLError(SECRET), BrokerUnavailable, "kafka.ssl_"),
        (kafka_errors.TopicAuthorizationFailedError(SECRET), BrokerUnavailable, "ACL"),
        (kafka_errors.SaslAuthenticationFailed(SECRET), BrokerUnavailable, "kafka.sasl_"),
        (kafka_errors.UnknownTopicOrPartitionError(SECRET), TopicMismatch, "veilstream topics create"),
        (kafka_errors.MessageSizeTooLargeError(SECRET), RecordInvalid, "kafka.max_record_bytes"),
        (kafka_errors.ProducerFenced(SECRET), Fenced, ""),
    ],
)
def test_each_becomes_ours_and_quotes_nothing(
    raised: Exception, expected: type[VeilstreamError], hint: str
) -> None:
    with pytest.raises(expected) as caught, broker_errors():
        raise raised
    assert type(caught.value) is expected
    assert hint in caught.value.hint
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raised", [ValueError("v"), FileNotFoundError("f"), BrokerUnavailable("b")])
def test_what_is_not_the_brokers_passes(raised: Exception) -> None:
    with pytest.raises(type(raised)) as caught, broker_errors():
        raise raised
    assert caught.value is raised


def test_around_foreign_code_only_kafkas_own_are_turned() -> None:
    with pytest.raises(TimeoutError), kafka_errors_only():
        raise TimeoutError
    with pytest.raises(BrokerUnavailable), kafka_errors_only():
        raise kafka_errors.KafkaTimeoutError


def test_a_topic_as_specified_has_no_problems() -> None:
    for spec in specs(KafkaSettings.model_validate({})):
        assert problems(spec, spec.partitions, dict(spec.configs)) == ([], [], [])


@pytest.mark.parametrize(
    ("key", "value", "broken"),
    [
        ("cleanup.policy", "compact,delete", True),
        ("message.timestamp.type", "CreateTime", True),
        ("max.message.bytes", "1999999", True),
        ("max.message.bytes", "2000001", None),
        ("min.insync.replicas", "0", False),
        ("min.insync.replicas", "2", None),
        ("retention.ms", "1", False),
        ("retention.bytes", "1", True),
    ],
)
def test_what_breaks_and_what_is_only_said(key: str, value: str, broken: bool | None) -> None:
    """`broken` None: more than is needed is no problem."""
    (spec,) = [s for s in specs(KafkaSettings.model_validate({})) if s.name.endswith("protected")]
    found = problems(spec, spec.partitions, {**spec.configs, key: value})
    assert [bool(sentences) for sentences in found] == [broken is True, broken is False, False]
    for sentence in (*found[0], *found[1]):
        assert sentence == f"{spec.name}: {key} is {value}, {spec.configs[key]} is needed"


def test_what_is_not_reported_is_listed() -> None:
    spec = specs(KafkaSettings.model_validate({}))[0]
    assert problems(spec, spec.partitions, {}) == ([], [], list(spec.configs))
    assert problems(spec, spec.partitions + 1, dict(spec.configs))[0] != []
