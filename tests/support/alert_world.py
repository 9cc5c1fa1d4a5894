"""Alerts, silences, and receivers that the tests of alerting's sinks and delivery share."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from veilstream.alerting.silences import Silence
from veilstream.alerting.writing import AlertWriter
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import dumps
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings
from veilstream.transport import producer

PATIENCE_SECONDS = 30.0


def alert(number: int = 1, state: str = "firing", **more: Any) -> dict[str, Any]:
    """An alert; `number` makes its fingerprint and its sequence number."""
    return {
        "fingerprint": f"{number:032x}",
        "rule": "budget-threshold",
        "severity": "warning",
        "state": state,
        "tenant": "acme",
        "budget": "acme/demo",
        "seq": number,
        "time": "2026-11-24T10:00:00.000Z" if state == "firing" else "2026-11-24T11:00:00.000Z",
        "summary": "Budget acme/demo has reached 80 %",
        "description": "Budget acme/demo of tenant acme has spent [most] of it.",
        "runbook": "docs/operations.md#budget-threshold",
        "epsilon": 1.0,
        "epsilon_spent": 0.8,
        "fraction": 0.8,
        "threshold": 0.8,
        **more,
    }


def brief(told: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(int(one["fingerprint"], 16), one["state"]) for one in told]


def instant(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat().replace("+00:00", "Z")


async def publish(kafka: KafkaSettings, *alerts: dict[str, Any]) -> None:
    """Put alerts on the topic as the rules do."""
    async with producer(kafka) as sender:
        writer = AlertWriter(
            sender,
            public=topic_name(kafka, "budget.alerts"),
            operator=topic_name(kafka, "operator.signals"),
            told=lambda one: None,
        )
        for one in alerts:
            await writer.send(one)
            await writer.settle()


async def publish_silence(kafka: KafkaSettings, silence: Silence) -> None:
    async with producer(kafka) as sender:
        await sender.send_and_wait(
            topic_name(kafka, "budget.alerts"),
            dumps(silence.to_value()),
            f"silence/{silence.id}".encode(),
            headers=Attributes(type=types.ALERT_SILENCE, source="test").to_headers(),
        )


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """For what can only be asked, not awaited: a thread, another process."""
    async with asyncio.timeout(seconds):
        async for _ in _ticks():
            if condition():
                return


async def _ticks() -> AsyncIterator[None]:
    for _ in itertools.count():
        yield
        await asyncio.sleep(0.02)


class Receiver:
    """A local HTTP receiver: answers with `statuses` in turn (the last one for ever), keeps what it got."""

    def __init__(self, port: int = 0) -> None:
        self.statuses = [204]
        self.headers: dict[str, str] = {}  # of each answer
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[bytes] = []  # what was answered 2xx
        self.delay_seconds = 0.0
        self.paths: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.paths.append(self.path)
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                time.sleep(receiver.delay_seconds)
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                if status < 300:
                    receiver.taken.append(body)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{receiver.url}elsewhere")
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Kept:
    """A sink that keeps what it is told, or fails with `error` while there is one."""

    def __init__(self, name: str = "kept", **attributes: Any) -> None:
        self.name = name
        self.told: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.error: Exception | None = None
        self.attempts = 0
        self.__dict__.update(attributes)

    async def deliver(self, alert: dict[str, Any]) -> None:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        self.told.append(alert)
        self.times.append(time.monotonic())
