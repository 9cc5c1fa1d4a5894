"""A record of `budget.events` becomes a checked event, or is counted and passed over.

An event that this code does not know must not stop the ones it knows: the ledger may be newer than alerting.
"""

from __future__ import annotations

import logging
from typing import Any

from aiokafka.structs import ConsumerRecord

from veilstream.alerting.state import State
from veilstream.errors import RecordInvalid
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode
from veilstream.telemetry import logs, metrics

__all__ = ["forget", "parse", "read_event", "show"]

_GAUGES = {
    "budget_epsilon": "epsilon",
    "budget_epsilon_spent": "epsilon_spent",
    "budget_fraction": "fraction",
}


def parse(record: ConsumerRecord) -> dict[str, Any]:
    """The budget event of a record.

    Raises:
        RecordInvalid: it is no event of the type and version that is known here.
    """
    attributes = Attributes.from_headers(record.headers)
    if attributes.type != types.BUDGET_EVENT:
        raise RecordInvalid("unknown_type", "$headers.ce_type")
    return decode(attributes.type, record.value)


def read_event(record: ConsumerRecord, state: State) -> dict[str, Any] | None:
    """The event if it is valid and new; None, counted and logged, otherwise. Updates the public metrics."""
    try:
        event = parse(record)
    except RecordInvalid as error:
        metrics.counter("budget_events_skipped", kind=error.kind).inc()
        logs.emit(
            "budget_event_skipped",
            level=logging.WARNING,
            kind=error.kind,
            path=error.path,
            partition=record.partition,
            offset=record.offset,
        )
        return None
    last = state.budget(event["budget"]).seq
    if event["seq"] <= last:
        return None  # the relay delivers at least once
    if event["seq"] != last + 1:
        logs.emit(
            "budget_event_gap",
            level=logging.WARNING,
            budget=event["budget"],
            seq=event["seq"],
            expected=last + 1,
        )
    metrics.counter("budget_events", budget=event["budget"], event=event["event"]).inc()
    show(event)
    return event


def show(event: dict[str, Any]) -> None:
    """Set the public gauges to what an event says of its budget."""
    for name, field in _GAUGES.items():
        metrics.gauge(name, budget=event["budget"]).set(event[field])


def forget() -> None:
    """Remove the public gauges: a member that lost the partition must not show how things were."""
    for name in _GAUGES:
        metrics.gauge(name).clear()
