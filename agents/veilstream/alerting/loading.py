"""The state at a start, from the topics: fired and open alerts, and where each budget stands.

`budget.alerts` says what has been delivered. The events below the committed offset were handled in an earlier
life: they only say where each budget stands (and set the gauges, so that a restart does not blank them).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from veilstream.alerting.intake import parse, show
from veilstream.alerting.rules import observe
from veilstream.alerting.state import State
from veilstream.errors import RecordInvalid
from veilstream.events import types
from veilstream.events.codec import decode
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import read_to_end

__all__ = ["load_state"]


async def load_state(kafka: KafkaSettings, handled: Mapping[int, int]) -> State:
    """Read the state.

    Args:
        handled: for each partition of `budget.events`, the offset after the last one handled.

    Raises:
        BrokerUnavailable, TopicMismatch: as `read_to_end`.
    """
    alerts: list[dict[str, Any]] = []
    async with aclosing(read_to_end(kafka, topic_name(kafka, "budget.alerts"))) as records:
        async for record in records:
            try:
                alerts.append(decode(types.ALERT, record.value))
            except RecordInvalid:
                continue  # not ours: it can be the state of no fingerprint
    state = State.from_alerts(alerts)
    async with aclosing(
        read_to_end(kafka, topic_name(kafka, "budget.events"), ends=dict(handled))
    ) as records:
        async for record in records:
            try:
                event = parse(record)
            except RecordInvalid:
                continue  # counted when it was first seen
            state = observe(state, event)
            show(event)
    return state
