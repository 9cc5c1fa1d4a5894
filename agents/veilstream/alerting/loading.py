"""The state at a start, from the topics: fired and open alerts, and where each budget stands.

`budget.alerts` says what has been delivered, and `operator.signals` which alerts for operators (for as long
as it keeps them: 7 days). The events below the committed offset were handled in an earlier life: they only
say where each budget stands, what was charged within the longest window of a rule (3 days, built in), and
what the gauges show. They are all read: the sequence number and the epoch of a budget may be in its first
event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from veilstream.alerting.intake import happened, parse, parse_signal, show
from veilstream.alerting.rules import observe
from veilstream.alerting.ruleset import RuleSet
from veilstream.alerting.state import State
from veilstream.errors import RecordInvalid
from veilstream.events import types
from veilstream.events.codec import decode
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import read_to_end

__all__ = ["load_state"]

_BEAT_RECORDS = 1000


async def load_state(
    kafka: KafkaSettings,
    handled: Mapping[int, int],
    rules: RuleSet,
    *,
    beat: Callable[[], None] = lambda: None,
) -> State:
    """Read the state.

    Args:
        handled: for each partition of `budget.events`, the offset after the last one handled.
        beat: called now and then; reading the events of years takes a while.

    Raises:
        BrokerUnavailable, TopicMismatch: as `read_to_end`.
    """
    state = State.from_alerts(await _alerts(kafka))
    last: dict[str, dict[str, Any]] = {}
    seen = 0
    async with aclosing(
        read_to_end(kafka, topic_name(kafka, "budget.events"), ends=dict(handled))
    ) as records:
        async for record in records:
            seen += 1
            if seen % _BEAT_RECORDS == 0:
                beat()
            try:
                event = parse(record)
            except RecordInvalid:
                continue  # counted when it was first seen
            state = observe(state, event, rules, happened(event, record))
            last[event["budget"]] = event
    for event in last.values():
        show(event)
    return state


async def _alerts(kafka: KafkaSettings) -> list[dict[str, Any]]:
    """Every alert that the two topics hold, each topic's in its order."""
    alerts: list[dict[str, Any]] = []
    async with aclosing(read_to_end(kafka, topic_name(kafka, "budget.alerts"))) as records:
        async for record in records:
            try:
                alerts.append(decode(types.ALERT, record.value))
            except RecordInvalid:
                continue  # a silence, a tombstone or not ours: it can be the state of no fingerprint
    async with aclosing(read_to_end(kafka, topic_name(kafka, "operator.signals"))) as records:
        async for record in records:
            try:
                ce_type, value = parse_signal(record)
            except RecordInvalid:
                continue
            if ce_type == types.ALERT:
                alerts.append(value)
    return alerts
