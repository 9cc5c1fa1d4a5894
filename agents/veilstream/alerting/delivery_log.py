"""What each sink was told, on the compacted topic `alerts.deliveries`; and the alert topics as a board.

| value | key | says |
|---|---|---|
| `…alert.delivery.v1` | `<sink>/<fingerprint>` | what the sink was told last, and where it stands |
| tombstone | `<sink>/<fingerprint>` | the alert ended, and the sink's group is past it |

Why a topic of its own: the group's offset says what was *settled*, and an alert that a silence held back is
settled without having been told. And operators' alerts must leave no trace on a public topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Any

from aiokafka.structs import ConsumerRecord

from veilstream.alerting.delivery_board import Board, Place
from veilstream.alerting.delivery_told import Told
from veilstream.alerting.silences import Inhibition, Silence, rfc3339
from veilstream.errors import RecordInvalid, SilenceInvalid
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import check, decode, dumps
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import read_to_end

__all__ = [
    "OPERATOR_TOPIC",
    "PUBLIC_TOPIC",
    "load_board",
    "load_told",
    "marker",
    "read_record",
]

PUBLIC_TOPIC = "budget.alerts"
OPERATOR_TOPIC = "operator.signals"
_LOG_TOPIC = "alerts.deliveries"

Message = tuple[str, bytes, bytes | None, list[tuple[str, bytes]]]  # topic, key, value, headers


def read_record(board: Board, record: ConsumerRecord, place: Place, audience: str) -> dict[str, Any] | None:
    """Take note of a record of an alert topic on the board; the alert, where it is one for this audience.

    Silences count only on the public topic. Signals and types of a later version are passed over.

    Raises:
        RecordInvalid, SilenceInvalid: it breaks its schema; it is not on the board.
    """
    if record.value is None:
        board.see_tombstone((record.key or b"").decode("utf-8", "replace"), place)
        return None
    kind = Attributes.from_headers(record.headers).type
    if kind == types.ALERT_SILENCE and place.topic == PUBLIC_TOPIC:
        board.see_silence(Silence.from_value(decode(kind, record.value)), place)
    if kind != types.ALERT:
        return None
    alert = decode(kind, record.value)
    inside = place.topic != PUBLIC_TOPIC or alert.get("audience") == "operator"
    if inside and audience != "operator":
        return None
    board.see_alert(alert, place)
    return alert


async def load_board(
    kafka: KafkaSettings, topics: Sequence[str], inhibitions: Sequence[Inhibition], audience: str
) -> Board:
    """The board as the topics have it now.

    Raises:
        BrokerUnavailable, TopicMismatch: as `read_to_end`.
    """
    board = Board(tuple(inhibitions))
    for topic in topics:
        async with aclosing(read_to_end(kafka, topic_name(kafka, topic))) as records:
            async for record in records:
                with suppress(RecordInvalid, SilenceInvalid):  # of a later version
                    read_record(board, record, Place(topic, record.offset), audience)
    return board


async def load_told(kafka: KafkaSettings, sink: str) -> dict[str, Told]:
    """What the sink was told, by fingerprint.

    Raises:
        BrokerUnavailable, TopicMismatch: as `read_to_end`.
    """
    told: dict[str, Told] = {}
    prefix = f"{sink}/".encode()
    async with aclosing(read_to_end(kafka, topic_name(kafka, _LOG_TOPIC))) as records:
        async for record in records:
            if record.key is None or not record.key.startswith(prefix):
                continue
            mark = record.key[len(prefix) :].decode("utf-8", "replace")
            if record.value is None:
                told.pop(mark, None)
                continue
            try:
                value = decode(types.ALERT_DELIVERY, record.value)
            except RecordInvalid:
                continue  # of a later version: at worst the sink is told twice
            place = Place(value["topic"], value["offset"])
            told[mark] = Told(value["state"], value["outcome"], place, value.get("started"))
    return told


def marker(kafka: KafkaSettings, sink: str, mark: str, told: Told | None, now: float) -> Message:
    """The record that says so; a tombstone without `told`."""
    key = f"{sink}/{mark}"
    value: dict[str, Any] | None = None
    if told is not None:
        value = {
            "sink": sink,
            "fingerprint": mark,
            "state": told.state,
            "outcome": told.outcome,
            "time": rfc3339(now),
            "topic": told.place.topic,
            "offset": told.place.offset,
        }
        if told.started is not None:
            value["started"] = told.started
        check(types.ALERT_DELIVERY, value)
    headers = Attributes(
        type=types.ALERT_DELIVERY, source="veilstream/alerting", id=key, time=rfc3339(now)
    ).to_headers()
    return topic_name(kafka, _LOG_TOPIC), key.encode(), dumps(value) if value is not None else None, headers
