"""The role on a real Kafka: events in, alerts out, kills, a dead webhook, bad records, a lost broker."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from budget_story import budget_event
from veilstream.alerting import run_alerting
from veilstream.alerting.clock import rfc3339
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


THREE_RULES = Path(__file__).parents[1] / "support" / "three_rules.toml"


def settings(kafka: KafkaSettings, *, rules: Path | None = THREE_RULES) -> Settings:
    """Three rules that need no clock; None: the built-in ones."""
    return Settings.model_validate({"kafka": kafka, "alerting": {"rules": rules}})


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
    audience = "public"

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []

    async def deliver(self, alert: dict[str, Any]) -> None:
        self.alerts.append(alert)


async def listening(kafka: KafkaSettings, kept: Kept) -> None:
    """Until the sink has its place: a new one is not told what began and ended before."""
    group = f"{kafka.topic_prefix}alerting.sink.{kept.name}"
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _ in ticks():
                if (
                    await consumer.committed(TopicPartition(topic_name(kafka, "budget.alerts"), 0))
                    is not None
                ):
                    return
    finally:
        await consumer.stop()


@asynccontextmanager
async def running(
    current: Settings, *sinks: AlertSink, clock: Callable[[], float] = time.time
) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_alerting(current, sinks=sinks, stop=stop, clock=clock))
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
        await listening(kafka_fresh, kept)
        await publish(kafka_fresh, *STORY, *STORY)  # the relay may deliver twice
        assert brief(await alerts_when(kafka_fresh, len(TOLD))) == TOLD
    assert sorted(map(str, brief(kept.alerts))) == sorted(map(str, TOLD))
    async with running(settings(kafka_fresh), kept):
        await publish(kafka_fresh, *STORY, budget_event(7, "exhausted", 0.6, epsilon=2.0))
        alerts = await alerts_when(kafka_fresh, len(TOLD) + 1)
    assert brief(alerts) == [*TOLD, ("budget-exhausted", None, "firing")]


def told_of(alerts: list[dict[str, Any]], rule: str) -> list[tuple[str | None, str]]:
    return [(alert.get("window"), alert["state"]) for alert in alerts if alert["rule"] == rule]


async def test_with_the_built_in_rules_a_burn_fires_by_events_and_resolves_by_the_passing_of_time(
    kafka_fresh: KafkaSettings,
) -> None:
    """The charges are two minutes apart, a month ago; the role's clock says when "now" is."""
    begin = 1_790_000_000.0
    clock = {"now": begin + 200}

    def charge(seq: int, fraction: float, seconds: float) -> dict[str, Any]:
        return budget_event(seq, "charged", fraction, time=rfc3339(round((begin + seconds) * 1000)))

    async def when(count: int) -> list[tuple[str | None, str]]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _ in ticks():
                alerts = told_of(await written(kafka_fresh), "budget-burn-rate")
                if len(alerts) >= count:
                    return alerts
        raise AssertionError

    current = settings(kafka_fresh, rules=None)
    async with running(current, clock=lambda: clock["now"]):
        await publish(kafka_fresh, charge(1, 0.015, 0), charge(2, 0.03, 120))
        assert await when(1) == [("1h", "firing")]
    clock["now"] = begin + 120 + 599.999
    async with running(current, clock=lambda: clock["now"]):
        await publish(kafka_fresh, {**charge(3, 0.03, 130), "event": "committed"})
        await asyncio.sleep(2.5)  # ticks come by, and it is not time yet
        assert await when(1) == [("1h", "firing")]
        clock["now"] = begin + 120 + 600
        assert await when(2) == [("1h", "firing"), ("1h", "resolved")]
    first, last = (a for a in await written(kafka_fresh) if a["rule"] == "budget-burn-rate")
    assert first["fingerprint"] == last["fingerprint"]
    assert last["time"] == rfc3339(round((begin + 720) * 1000))


async def signals_of(kafka: KafkaSettings) -> list[dict[str, Any]]:
    """The alerts that are on operator.signals."""
    found = read_to_end(kafka, topic_name(kafka, "operator.signals"))
    records = [record async for record in found]
    return [
        json.loads(record.value)
        for record in records
        if Attributes.from_headers(record.headers).type == types.ALERT
    ]


async def test_what_only_operators_may_know_never_reaches_the_public_topic(
    kafka_fresh: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    async def signal_(name: str, **more: Any) -> None:
        value = {"signal": name, "time": "2026-11-24T10:00:00.000Z", "source": "test", **more}
        async with producer(kafka_fresh) as sender:
            await sender.send_and_wait(
                topic_name(kafka_fresh, "operator.signals"),
                dumps(value),
                b"test",
                headers=Attributes(type=types.OPERATOR_SIGNAL, source="test").to_headers(),
            )

    async def when(count: int) -> list[tuple[str, str]]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _ in ticks():
                alerts = await signals_of(kafka_fresh)
                if len(alerts) >= count:
                    return [(alert["rule"], alert["state"]) for alert in alerts]
        raise AssertionError

    current = settings(kafka_fresh, rules=None)
    public, inside = Kept(), Kept()
    inside.name, inside.audience = "inside", "operator"
    fired = [("audit-above-claim", "firing"), ("ledger-differs", "firing")]
    async with running(current, public, inside):
        await listening(kafka_fresh, public)
        await listening(kafka_fresh, inside)
        await publish(kafka_fresh, *STORY[:1])
        await signal_("audit", tenant="acme", budget="demo", model="chat", value=3.0, limit=1.0)
        await signal_("ledger_differs", tenant="acme", budget="demo", detail="spent at 3")
        await signal_("sold")
        assert await when(2) == fired
        await until(lambda: len(inside.alerts) == 2)
    async with running(current, public, inside):
        await signal_("ledger_differs", tenant="acme", budget="demo", detail="spent at 3")
        await signal_("ledger_verified", tenant="acme", budget="demo")
        assert await when(3) == [*fired, ("ledger-differs", "resolved")]
        await until(lambda: len(inside.alerts) == 3)
    assert await written(kafka_fresh) == []
    assert public.alerts == []
    assert all(alert["audience"] == "operator" for alert in await signals_of(kafka_fresh))
    records = [
        record async for record in read_to_end(kafka_fresh, topic_name(kafka_fresh, "operator.signals"))
    ]
    keys = [record.key for record in records if b"fingerprint" in record.value]
    assert keys == [alert["fingerprint"].encode() for alert in await signals_of(kafka_fresh)]
    assert sum(line.message == "operator_signal_skipped" for line in caplog.records) >= 1


async def test_a_clock_that_jumps_back_is_said_once_and_resolves_nothing(
    kafka_fresh: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    clock = {"now": 1_790_000_000.0}
    asked: list[float] = []

    def ticking() -> float:
        asked.append(clock["now"])
        return clock["now"]

    with caplog.at_level(logging.WARNING, logger="veilstream.event"):
        async with running(settings(kafka_fresh, rules=None), clock=ticking):
            await publish(kafka_fresh, *STORY[:2])
            await alerts_when(kafka_fresh, 1)
            await until(lambda: len(asked) >= 2)
            clock["now"] -= 3600
            said = "clock_went_back"
            await until(lambda: any(line.message == said for line in caplog.records))
            await asyncio.sleep(2.5)
        assert sum(line.message == said for line in caplog.records) == 1
    assert all(alert["state"] == "firing" for alert in await written(kafka_fresh))


async def test_bad_records_are_passed_over(kafka_fresh: KafkaSettings) -> None:
    async with running(settings(kafka_fresh)):
        await publish(kafka_fresh, STORY[0], ce_type="ai.veilstream.budget.event.v2")
        await publish(kafka_fresh, {"event": "charged"}, {**STORY[0], "event": "sold"}, STORY[0], STORY[1])
        async with producer(kafka_fresh) as sender:
            await sender.send_and_wait(topic_name(kafka_fresh, "budget.events"), None, b"demo")
        await publish(kafka_fresh, STORY[2])
        assert brief(await alerts_when(kafka_fresh, 2)) == TOLD[:2]


@asynccontextmanager
async def child(kafka: KafkaSettings, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The role as a process of its own, set by the environment like any role."""
    environment = {
        **os.environ,
        "VEILSTREAM_DATA_DIR": str(folder),
        "VEILSTREAM_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "VEILSTREAM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "VEILSTREAM_ALERTING__RULES": str(THREE_RULES),
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
    kafka_fresh: KafkaSettings, tmp_path: Path
) -> None:
    async with child(kafka_fresh, tmp_path) as first:
        await publish(kafka_fresh, *STORY[:3])
        await alerts_when(kafka_fresh, 1)
        first.kill()
        await first.wait()
    await publish(kafka_fresh, *STORY[3:])
    async with child(kafka_fresh, tmp_path) as second:
        assert brief(await alerts_when(kafka_fresh, len(TOLD))) == TOLD
        second.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(second.communicate(), PATIENCE_SECONDS)
    assert second.returncode == 0
    assert brief(await written(kafka_fresh)) == TOLD
    events = [json.loads(line).get("event") for line in errors.decode().splitlines()]
    assert "role_started" in events
    assert events[-1] == "role_stopped"


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
