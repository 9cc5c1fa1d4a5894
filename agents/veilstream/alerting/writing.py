"""Alerts to the topics: public ones to `budget.alerts`, the operator's to `operator.signals`.

The topic is the record of truth. Records go out without waiting for each other, in the order of the calls,
and `settle` waits for all of them: one round trip for a batch of events, not for an alert. Order holds
within a topic (the producer is idempotent, or sends one batch at a time), and a batch that the broker does
not take ends the producer: what a topic holds is always a prefix of what was written to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from veilstream.alerting.sinks.cloudevent import attributes
from veilstream.events import types
from veilstream.events.codec import check, dumps

__all__ = ["AlertWriter"]


class Producer(Protocol):
    """What is used of an aiokafka producer."""

    async def send(
        self, topic: str, value: bytes, key: bytes, *, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[Any]: ...


class AlertWriter:
    """Writes alerts; `told` hears of each one that the broker has acknowledged, in order."""

    def __init__(
        self, producer: Producer, *, public: str, operator: str, told: Callable[[dict[str, Any]], None]
    ) -> None:
        self._producer = producer
        self._public, self._operator = public, operator
        self._told = told
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[Any]]] = []

    async def send(self, alert: dict[str, Any]) -> None:
        """Put an alert on its way. The key is the fingerprint: compaction keeps the last state of each.

        Raises:
            RecordInvalid: it breaks its schema; a fault in the rules.
        """
        check(types.ALERT, alert)
        topic = self._operator if alert.get("audience") == "operator" else self._public
        acknowledged = await self._producer.send(
            topic, dumps(alert), alert["fingerprint"].encode(), headers=attributes(alert).to_headers()
        )
        self._waiting.append((alert, acknowledged))

    async def settle(self) -> None:
        """Return when the broker has acknowledged everything; else raise the producer's error."""
        waiting, self._waiting = self._waiting, []
        done = await asyncio.gather(*(future for _, future in waiting), return_exceptions=True)
        failure: BaseException | None = None
        for (alert, _), result in zip(waiting, done, strict=True):
            if isinstance(result, BaseException):
                failure = failure or result
            elif failure is None:
                self._told(alert)
        if failure is not None:
            raise failure
