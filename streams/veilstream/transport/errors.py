"""What aiokafka and the network raise, as errors of ours.

The text of a library's error may quote a record or an address; only its type is kept.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka_errors

from veilstream.errors import BrokerUnavailable, Fenced, RecordInvalid, TopicMismatch, VeilstreamError

__all__ = ["broker_errors", "kafka_errors_only", "translate"]

# aiokafka tries the bootstrap servers in turn and says only that none would do, also where one refused us.
_UNREACHABLE = (
    "start one with `veilstream up`, or set kafka.bootstrap (VEILSTREAM_KAFKA__BOOTSTRAP) to one that runs;"
    " where it needs TLS or a password, check kafka.security_protocol, kafka.ssl_* and kafka.sasl_*"
)
_REFUSED = "check kafka.security_protocol, the kafka.sasl_* and kafka.ssl_* settings, and the broker's ACLs"
_MISSING = "create it with `veilstream topics create`, and see that the broker runs"
_TOO_LARGE = "split the record, or raise kafka.max_record_bytes on broker and client"

# OSError is too wide (a full disk, a missing file): these are what a connection raises.
_NETWORK = (ConnectionError, TimeoutError, socket.gaierror, ssl.SSLError)
_ACCESS = (
    kafka_errors.AuthenticationFailedError,
    kafka_errors.AuthenticationMethodNotSupported,
    kafka_errors.SaslAuthenticationFailed,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.TransactionalIdAuthorizationFailed,
    ssl.SSLError,
)
_SIZE = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.RecordTooLargeError,
)
_GONE = (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.InvalidTopicError)


def translate(error: BaseException) -> VeilstreamError:
    """The error of ours for one of aiokafka's or the network's; never quotes its text."""
    name = type(error).__name__
    if isinstance(error, _SIZE):
        return RecordInvalid("too_large", detail="the broker's or producer's limit", hint=_TOO_LARGE)
    if isinstance(error, _GONE):
        return TopicMismatch(f"a topic is not on the broker ({name})", hint=_MISSING)
    if isinstance(error, kafka_errors.ProducerFenced):
        return Fenced("another producer took over this transactional id")
    if isinstance(error, _ACCESS):
        return BrokerUnavailable(f"Kafka refuses us ({name})", hint=_REFUSED)
    return BrokerUnavailable(f"Kafka cannot be reached ({name})", hint=_UNREACHABLE)


@contextmanager
def broker_errors() -> Iterator[None]:
    """Turn errors of aiokafka and of connections into ours. Put it around calls of the client only.

    Raises:
        BrokerUnavailable: no connection, no answer in time, or no access; says what to do.
        TopicMismatch: the topic is not there.
        RecordInvalid: `too_large`.
        Fenced: another producer holds the transactional id.
    """
    try:
        yield
    except (kafka_errors.KafkaError, *_NETWORK) as error:
        raise translate(error) from error


@contextmanager
def kafka_errors_only() -> Iterator[None]:
    """As `broker_errors`, around code that is not ours: its own timeouts and connections stay as they are."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise translate(error) from error
