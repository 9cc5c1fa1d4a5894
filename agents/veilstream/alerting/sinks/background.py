"""Delivery that nobody waits for: one bounded queue and one task for each sink.

A sink that fails is tried again with growing pauses until it takes the alert; the alerts behind it wait, in
order. When the queue is full the oldest waiting alert makes room: it is on the topic, and a newer one says
more. Every failed attempt and every alert given up is counted in `alert_delivery_failures`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from veilstream.alerting.sinks.webhook import WebhookRefused
from veilstream.contracts import AlertSink
from veilstream.telemetry import logs, metrics

__all__ = ["Background", "pause_seconds"]

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


def pause_seconds(attempt: int) -> float:
    """How long to wait after failed attempt number `attempt` (from 1): 1, 2, 4 … 60 seconds."""
    # The exponent is bounded too: 2.0 ** 1024 is an OverflowError.
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE_SECONDS)


class Background:
    """Feeds one sink. `offer` never blocks and never raises."""

    def __init__(
        self,
        sink: AlertSink,
        *,
        capacity: int = 1000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.sink = sink
        self._capacity = capacity
        self._sleep = sleep
        self._waiting: deque[dict[str, Any]] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"sink-{self.sink.name}")

    def offer(self, alert: dict[str, Any]) -> None:
        if len(self._waiting) >= self._capacity:
            self._waiting.popleft()
            self._failed("QueueFull", 0)
        self._waiting.append(alert)
        self._idle.clear()
        self._more.set()

    async def stop(self, *, grace_seconds: float) -> int:
        """Wait up to `grace_seconds` for what is queued, then stop; returns how many alerts were given up."""
        if self._task is None:
            return 0
        try:
            await asyncio.wait_for(self._idle.wait(), grace_seconds)
        except TimeoutError:
            for _ in self._waiting:
                self._failed("Stopped", 0)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        return len(self._waiting)

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._idle.set()
                self._more.clear()
                await self._more.wait()
            alert = self._waiting[0]
            await self._deliver(alert)
            # `offer` may have dropped it meanwhile to make room.
            if self._waiting and self._waiting[0] is alert:
                self._waiting.popleft()

    async def _deliver(self, alert: dict[str, Any]) -> None:
        attempt = 0
        while self._waiting and self._waiting[0] is alert:
            attempt += 1
            try:
                await self.sink.deliver(alert)
                return
            except WebhookRefused as error:
                self._failed(type(error).__name__, attempt)
                return
            except Exception as error:  # a sink may fail in any way; none may end the task
                self._failed(type(error).__name__, attempt)
                await self._sleep(pause_seconds(attempt))

    def _failed(self, error_type: str, attempt: int) -> None:
        metrics.counter("alert_delivery_failures", sink=self.sink.name).inc()
        logs.emit(
            "sink_failed", level=logging.WARNING, sink=self.sink.name, error_type=error_type, attempt=attempt
        )
