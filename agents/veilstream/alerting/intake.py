"""A record of `budget.events` or `operator.signals` becomes a checked value, or is counted and passed over.

A record that this code does not know must not stop the ones it knows: the ledger may be newer than alerting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aiokafka.structs import ConsumerRecord

from veilstream.alerting.clock import parse_time
from veilstream.alerting.state import LIMIT_EVENTS, State
from veilstream.errors import RecordInvalid
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode
from veilstream.telemetry import logs, metrics

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

__all__ = ["forget", "happened", "is_new", "parse", "parse_signal", "read_event", "read_signal", "show"]

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


def parse_signal(record: ConsumerRecord) -> tuple[str, dict[str, Any]]:
    """The type and the value of a record of `operator.signals`: a signal, or an alert of ours.

    Raises:
        RecordInvalid: it is neither, or not of a version that is known here.
    """
    attributes = Attributes.from_headers(record.headers)
    if attributes.type not in (types.OPERATOR_SIGNAL, types.ALERT):
        raise RecordInvalid("unknown_type", "$headers.ce_type")
    return attributes.type, decode(attributes.type, record.value)


def happened(value: Mapping[str, Any], record: ConsumerRecord) -> float:
    """When an event or a signal happened, Unix seconds; the record's own time where it does not say."""
    said = parse_time(value["time"])
    return (record.timestamp if said is None else said) / 1000


def read_event(record: ConsumerRecord, state: State) -> dict[str, Any] | None:
    """The event if it is valid and new; None, counted and logged, otherwise. Updates the public metrics."""
    try:
        event = parse(record)
    except RecordInvalid as error:
        _skipped("budget_events_skipped", "budget_event_skipped", record, error)
        return None
    if not is_new(event, state):
        return None
    metrics.counter("budget_events", budget=event["budget"], event=event["event"]).inc()
    _burned(event, state)
    show(event)
    return event


def is_new(event: Mapping[str, Any], state: State) -> bool:
    """False for an event that was seen: the relay delivers at least once. A hole is logged."""
    last = state.budget(event["budget"]).seq
    if event["seq"] <= last:
        return False
    if event["seq"] != last + 1:
        logs.emit(
            "budget_event_gap",
            level=logging.WARNING,
            budget=event["budget"],
            seq=event["seq"],
            expected=last + 1,
        )
    return True


def read_signal(record: ConsumerRecord) -> dict[str, Any] | None:
    """The signal; None for an alert of ours, and, counted and logged, for what is invalid."""
    try:
        ce_type, value = parse_signal(record)
    except RecordInvalid as error:
        _skipped("operator_signals_skipped", "operator_signal_skipped", record, error)
        return None
    return value if ce_type == types.OPERATOR_SIGNAL else None


def _skipped(metric: str, log: str, record: ConsumerRecord, error: RecordInvalid) -> None:
    metrics.counter(metric, kind=error.kind).inc()
    logs.emit(
        log,
        level=logging.WARNING,
        kind=error.kind,
        path=error.path,
        partition=record.partition,
        offset=record.offset,
    )


def _burned(event: Mapping[str, Any], state: State) -> None:
    """Count what charges took of the budget. A new limit moves the fraction too, and so does a correction."""
    before = state.budget(event["budget"]).shown
    if before is not None and event["event"] not in (*LIMIT_EVENTS, "corrected"):
        took = max(0.0, event["fraction"] - before.fraction)
        metrics.counter("budget_burned", budget=event["budget"]).inc(took)


@lru_cache(maxsize=100_000)  # finding a metric by its labels takes longer than setting it
def _seen(budget: str, event: str) -> Counter:
    return metrics.counter("budget_events", budget=budget, event=event)


@lru_cache(maxsize=100_000)
def _gauges(budget: str) -> tuple[tuple[str, Gauge], ...]:
    return tuple((field, metrics.gauge(name, budget=budget)) for name, field in _GAUGES.items())


def show(event: Mapping[str, Any]) -> None:
    """Set the public gauges to what an event says of its budget."""
    for field, gauge in _gauges(event["budget"]):
        gauge.set(event[field])
    frozen, refresh = _terms(event["budget"])
    frozen.set(bool(event.get("frozen")))
    if "refresh_seconds" in event:
        refresh().set(event["refresh_seconds"])
    _info(event["budget"], event["tenant"], event.get("parent", ""), event["mode"])


@lru_cache(maxsize=100_000)
def _terms(budget: str) -> tuple[Gauge, Callable[[], Gauge]]:
    """Whether it is frozen, and the length of its period, which a budget for a lifetime does not show."""
    metrics.counter("budget_burned", budget=budget)  # there from the beginning: the first charge shows
    return metrics.gauge("budget_frozen", budget=budget), lambda: metrics.gauge(
        "budget_refresh_seconds", budget=budget
    )


@lru_cache(maxsize=100_000)
def _info(budget: str, tenant: str, parent: str, mode: str) -> None:
    metrics.gauge("budget_info", budget=budget, tenant=tenant, parent=parent, mode=mode).set(1)


def forget() -> None:
    """Remove the public gauges: a member that lost the partition must not show how things were."""
    for name in (*_GAUGES, "budget_frozen", "budget_refresh_seconds", "budget_info"):
        metrics.gauge(name).clear()
    for cached in (_gauges, _terms, _info):
        cached.cache_clear()
