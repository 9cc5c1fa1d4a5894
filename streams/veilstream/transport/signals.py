"""Operator signals: what only operators may know, on `operator.signals`, inside the boundary.

Best effort: a broker that is away costs a signal and never the work that it is about. What must not be lost
stands in the journal.
"""

from __future__ import annotations

import uuid
from typing import Any

from veilstream.events.cloudevents import Attributes, now
from veilstream.events.codec import check, dumps
from veilstream.events.topics import topic_name
from veilstream.events.types import OPERATOR_SIGNAL
from veilstream.settings import KafkaSettings
from veilstream.transport.errors import broker_errors
from veilstream.transport.producing import producer

__all__ = ["send_signals"]


async def send_signals(kafka: KafkaSettings, source: str, *signals: dict[str, Any]) -> None:
    """Send signals, each a value of `ai.veilstream.operator.signal.v1` without `time` and `source`.

    Raises:
        RecordInvalid: a signal breaks its schema; nothing was sent.
        BrokerUnavailable.
    """
    values = [{"time": now(), "source": source, **signal} for signal in signals]
    for value in values:
        check(OPERATOR_SIGNAL, value)
    async with producer(kafka) as sender:
        for value in values:
            attributes = Attributes(
                type=OPERATOR_SIGNAL, source=source, id=uuid.uuid4().hex, time=value["time"]
            )
            with broker_errors():
                await sender.send_and_wait(
                    topic_name(kafka, "operator.signals"),
                    dumps(value),
                    key=source.encode(),
                    headers=attributes.to_headers(),
                )
