"""The role on a real Kafka: events in, alerts out, kills, a dead webhook, bad records, a lost broker."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from budget_story import budget_event
from veilstream.alerting import run_alerting
from veilstream.contracts import AlertSink
from veilstream.embedded.kafka import LocalKafka
from veilstream.errors import TopicMismatch
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import dumps
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings, Settings
from veilstream.transport import ensure_topics, producer, read_to_end

PATIENCE_SECONDS = 40.0


def settings(kafka: KafkaSettings, **alerting: Any) -> Settings:
    return Settings.model_validate({"kafka": kafka, "alerting": alerting})


async def publish(kafka: KafkaSettings, *events: dict[str, Any], ce_type: str = types.BUDGET_EVENT) -> None:
    async with producer(kafka) as sender:
        for event in events:
            await sender.send_and_wait(
                topic_name(kafka, "budget.events"),
                dumps(event),
                b"demo",
                headers=Attributes(type=ce_type, source="veilstream/ledger").to_headers(),
            )


async def written(kafka: KafkaSettings) -> list[dict[str, Any]]:
    found = read_to_end(kafka, topic_name(kafka, "budget.alerts"), decode=True)
    return [record.value async for record in found]


def brief(alerts: list[dict[str, Any]]) -> list[tuple[str, float | None, str]]:
    return [(alert["rule"], alert.get("threshold"), alert["state"]) for alert in alerts]


async def alerts_when(kafka: KafkaSettings, count: int) -> list[dict[str, Any]]:
    """The topic's alerts, once there are `count`."""
    alerts: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in ticks():
            alerts = await written(kafka)
            if len(alerts) >= count:
                break
    return alerts


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for _ in ticks():
            if condition():
                break


async def ticks() -> AsyncIterator[None]:
    """For what can only be asked, not awaited: another process, a topic."""
    for _ in itertools.count():
        yield
        await asyncio.sleep(0.1)


class Kept:
    """A sink that keeps what it gets."""

    name = "kept"

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []

    async def deliver(self, alert: dict[str, Any]) -> None:
        self.alerts.append(alert)


@asynccontextmanager
async def running(current: Settings, *sinks: AlertSink) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_alerting(current, sinks=sinks, stop=stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


STORY = (
    budget_event(1, "created", 0.0),
    budget_event(2, "charged", 0.55),
    budget_event(3, "charged", 0.85),
    budget_event(4, "refused", 0.85),
    budget_event(5, "raised", 0.425, epsilon=2.0),
    budget_event(6, "charged", 0.6, epsilon=2.0),
)
TOLD = [
    ("budget-threshold", 0.5, "firing"),
    ("budget-threshold", 0.8, "firing"),
    ("budget-refused", None, "firing"),
    ("budget-threshold", 0.5, "resolved"),
    ("budget-threshold", 0.8, "resolved"),
    ("budget-refused", None, "resolved"),
    ("budget-threshold", 0.5, "firing"),
]


async def test_events_in_alerts_out_and_a_clean_restart_repeats_nothing(kafka_fresh: KafkaSettings) -> None:
    kept = Kept()
    async with running(settings(kafka_fresh), kept):
        await publish(kafka_fresh, *STORY, *STORY)  # the relay may deliver twice
        assert brief(await alerts_when(kafka_fresh, len(TOLD))) == TOLD
    assert brief(kept.alerts) == TOLD
    async with running(settings(kafka_fresh), kept):
        await publish(kafka_fresh, *STORY, budget_event(7, "exhausted", 0.6, epsilon=2.0))
        alerts = await alerts_when(kafka_fresh, len(TOLD) + 1)
    assert brief(alerts) == [*TOLD, ("budget-exhausted", None, "firing")]


async def test_bad_records_are_passed_over(kafka_fresh: KafkaSettings) -> None:
    async with running(settings(kafka_fresh)):
        await publish(kafka_fresh, STORY[0], ce_type="ai.veilstream.budget.event.v2")
        await publish(kafka_fresh, {"event": "charged"}, {**STORY[0], "event": "sold"}, STORY[0], STORY[1])
        async with producer(kafka_fresh) as sender:
            await sender.send_and_wait(topic_name(kafka_fresh, "budget.events"), None, b"demo")
        await publish(kafka_fresh, STORY[2])
        assert brief(await alerts_when(kafka_fresh, 2)) == TOLD[:2]


class Webhook:
    """A local receiver; `healthy` decides between 204 and 503."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.refused = 0
        self.healthy = True
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if webhook.healthy:
                    webhook.got.append(json.loads(body))
                else:
                    webhook.refused += 1
                self.send_response(204 if webhook.healthy else 503)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    yield made
    made.close()


async def test_a_dead_webhook_delays_nothing_and_gets_everything_when_it_is_back(
    kafka_fresh: KafkaSettings, webhook: Webhook
) -> None:
    from veilstream.alerting.sinks.webhook import WebhookSink

    kept = Kept()
    webhook.healthy = False
    async with running(settings(kafka_fresh), WebhookSink(webhook.url), kept):
        await publish(kafka_fresh, *STORY)
        await alerts_when(kafka_fresh, len(TOLD))
        await until(lambda: len(kept.alerts) == len(TOLD))
        assert webhook.got == []
        await until(lambda: webhook.refused > 0)
        webhook.healthy = True
        await until(lambda: len(webhook.got) == len(TOLD))
    assert brief(webhook.got) == TOLD


@asynccontextmanager
async def child(
    kafka: KafkaSettings, webhook: Webhook, folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The role as a process of its own, set by the environment like any role."""
    environment = {
        **os.environ,
        "VEILSTREAM_DATA_DIR": str(folder),
        "VEILSTREAM_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "VEILSTREAM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "VEILSTREAM_ALERTING__WEBHOOK_URL": webhook.url,
    }
    code = (
        "import asyncio; from veilstream.alerting import run_alerting; "
        "from veilstream.settings import load_settings; from veilstream.telemetry import logs; "
        "logs.configure(); asyncio.run(run_alerting(load_settings()))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environment, cwd=folder, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_after_kill_9_nothing_is_repeated_and_nothing_lost(
    kafka_fresh: KafkaSettings, webhook: Webhook, tmp_path: Path
) -> None:
    async with child(kafka_fresh, webhook, tmp_path) as first:
        await publish(kafka_fresh, *STORY[:3])
        await alerts_when(kafka_fresh, 1)
        first.kill()
        await first.wait()
    await publish(kafka_fresh, *STORY[3:])
    async with child(kafka_fresh, webhook, tmp_path) as second:
        assert brief(await alerts_when(kafka_fresh, len(TOLD))) == TOLD
        second.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(second.communicate(), PATIENCE_SECONDS)
    assert second.returncode == 0
    assert brief(await written(kafka_fresh)) == TOLD
    events = [json.loads(line).get("event") for line in errors.decode().splitlines()]
    assert "role_started" in events
    assert events[-1] == "role_stopped"
    assert brief(webhook.got)[-1] == TOLD[-1]


async def test_without_its_topics_it_says_so(kafka: KafkaSettings) -> None:
    nowhere = kafka.model_copy(update={"topic_prefix": "nowhere."})
    with pytest.raises(TopicMismatch, match="veilstream topics create"):
        await run_alerting(settings(nowhere), sinks=(), stop=asyncio.Event())


async def test_it_waits_for_a_broker_that_does_not_answer(
    own_kafka: LocalKafka, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = KafkaSettings.model_validate({"bootstrap": own_kafka.bootstrap, "request_timeout_seconds": 2.0})
    await ensure_topics(kafka)
    assert own_kafka.pid
    async with running(settings(kafka)) as task:
        await publish(kafka, *STORY[:2])
        await alerts_when(kafka, 1)
        with caplog.at_level(logging.WARNING, logger="veilstream.event"):
            os.kill(own_kafka.pid, signal.SIGSTOP)
            try:
                await until(lambda: any(line.message == "broker_unreachable" for line in caplog.records))
            finally:
                os.kill(own_kafka.pid, signal.SIGCONT)
        assert not task.done()
        await publish(kafka, STORY[2])
        assert brief(await alerts_when(kafka, 2)) == TOLD[:2]
    assert task.exception() is None
