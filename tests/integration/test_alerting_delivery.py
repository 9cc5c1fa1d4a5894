"""Delivery on a real Kafka: kills, dead sinks beside living ones, silences that end, new sinks, operators."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from alert_world import PATIENCE_SECONDS, Kept, Receiver, alert, brief, publish, publish_silence, until
from veilstream.alerting.delivery import Delivery
from veilstream.alerting.silences import Silence, parse_matchers
from veilstream.alerting.sinks.webhook import WebhookSink
from veilstream.contracts import AlertSink
from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.tansu import LocalTansu
from veilstream.errors import SettingInvalid, SinkRefused
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import dumps
from veilstream.events.topics import topic_name
from veilstream.settings import KafkaSettings, Settings
from veilstream.transport import ensure_topics, producer, read_to_end


def settings(kafka: KafkaSettings, **alerting: Any) -> Settings:
    return Settings.model_validate({"kafka": kafka, "alerting": alerting})


@asynccontextmanager
async def delivering(current: Settings, *sinks: AlertSink, wait: bool = True) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(Delivery(current, sinks).run(stop))
    try:
        if wait:
            await started(current.kafka, len(sinks))
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


async def started(kafka: KafkaSettings, sinks: int) -> None:
    """A new sink's place is the end: what is published before it is committed would be history."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with suppress(KafkaError):  # the broker makes its own topic for the first group
                    groups = [group for group, *_ in await admin.list_consumer_groups()]
                    ours = [group for group in groups if group.startswith(kafka.topic_prefix)]
                    if sum([bool(await admin.list_consumer_group_offsets(g)) for g in ours]) >= sinks:
                        return
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def log_of(kafka: KafkaSettings) -> dict[str, str | None]:
    last: dict[str, str | None] = {}
    async for record in read_to_end(kafka, topic_name(kafka, "alerts.deliveries")):
        last[record.key.decode()] = json.loads(record.value)["state"] if record.value else None
    return last


async def test_alerts_in_order_and_a_restart_repeats_nothing(kafka_fresh: KafkaSettings) -> None:
    kept = Kept()
    async with delivering(settings(kafka_fresh), kept):
        await publish(kafka_fresh, alert(1), alert(2), alert(1, "resolved"), alert(3))
        await until(lambda: len(kept.told) == 4)
    async with delivering(settings(kafka_fresh), kept):
        await publish(kafka_fresh, alert(3, "resolved"))
        await until(lambda: len(kept.told) == 5)
    assert brief(kept.told) == [(1, "firing"), (2, "firing"), (1, "resolved"), (3, "firing"), (3, "resolved")]
    assert kept.told[-1]["started"] == alert(3)["time"], "the end knows the beginning, across a restart"
    # What ended needs no memory; what is open is remembered.
    assert await log_of(kafka_fresh) == {
        f"kept/{n:032x}": s for n, s in ((1, None), (2, "firing"), (3, None))
    }


async def test_a_new_sink_is_told_what_fires_and_no_history(kafka_fresh: KafkaSettings) -> None:
    await publish(kafka_fresh, alert(1), alert(2), alert(1, "resolved"))
    kept = Kept()
    async with delivering(settings(kafka_fresh), kept):
        await until(lambda: len(kept.told) == 1)
        await publish(kafka_fresh, alert(1, "resolved"), alert(2, "resolved"))
        await until(lambda: len(kept.told) == 2)
    assert brief(kept.told) == [(2, "firing"), (2, "resolved")]


async def test_dead_sinks_delay_no_living_one_and_lose_nothing(kafka_fresh: KafkaSettings) -> None:
    """Connection refused, hanging, and 500s beside a living sink: its delay is as if it were alone."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused_port = closed.getsockname()[1]
    hanging, failing = Receiver(), Receiver()
    hanging.delay_seconds, failing.statuses = 3.0, [500]
    dead = {
        "refused": WebhookSink(f"http://127.0.0.1:{refused_port}/", timeout_seconds=1.0),
        "hanging": WebhookSink(hanging.url, timeout_seconds=1.0),
        "failing": WebhookSink(failing.url, timeout_seconds=1.0),
    }
    for name, sink in dead.items():
        sink.name = name
    living = Kept("living")
    delays = []
    revived: Receiver | None = None
    try:
        async with delivering(settings(kafka_fresh), living, *dead.values()):
            for number in range(1, 21):
                published = time.monotonic()
                await publish(kafka_fresh, alert(number))
                await until(lambda number=number: len(living.told) >= number)  # type: ignore[misc]
                delays.append(living.times[-1] - published)
            assert max(delays) < 1.0, "every dead sink waits for a second or more"
            await until(lambda: bool(failing.got and hanging.got))
            assert failing.taken == []
            revived = back = Receiver(refused_port)
            failing.statuses, hanging.delay_seconds = [204], 0.0
            for receiver in (failing, hanging, back):
                await until(lambda r=receiver: len({_mark(b) for b in r.taken}) == 20, 45.0)  # type: ignore[misc]
    finally:
        for receiver in (hanging, failing, *([] if revived is None else [revived])):
            receiver.close()
    for receiver in (failing, back):
        assert [_mark(body) for body in receiver.taken] == [f"{n:032x}" for n in range(1, 21)]


def _mark(body: bytes) -> str:
    return str(json.loads(body)["alerts"][0]["fingerprint"])


async def test_what_is_refused_is_given_up_and_its_end_is_not_told(kafka_fresh: KafkaSettings) -> None:
    from prometheus_client import REGISTRY

    def given_up() -> float:
        return REGISTRY.get_sample_value("veilstream_alert_delivery_refused", {"sink": "picky"}) or 0.0

    picky = Kept("picky")
    async with delivering(settings(kafka_fresh), picky):
        picky.error = SinkRefused("HTTP 400")
        await publish(kafka_fresh, alert(1))
        await until(lambda: given_up() == 1)
        picky.error = None
        await publish(kafka_fresh, alert(1, "resolved"), alert(2))
        await until(lambda: len(picky.told) == 1)
        await until(lambda: given_up() == 0)
    assert brief(picky.told) == [(2, "firing")]
    assert picky.attempts == 2


def silence(kafka_seconds: float, *matchers: str, name: str = "s-1") -> Silence:
    now = time.time()
    return Silence(name, parse_matchers(matchers), now - 1, now + kafka_seconds, "on-call", "known")


async def test_a_silence_holds_back_and_its_end_tells_what_still_fires(kafka_fresh: KafkaSettings) -> None:
    kept = Kept()
    await publish_silence(kafka_fresh, silence(600, "budget=acme/*"))
    async with delivering(settings(kafka_fresh), kept):
        await publish(kafka_fresh, alert(1), alert(2), alert(2, "resolved"), alert(3, budget="other"))
        await until(lambda: len(kept.told) == 1)
        assert brief(kept.told) == [(3, "firing")]
    # It holds across a restart, and is expired by a record with another end.
    async with delivering(settings(kafka_fresh), kept):
        await publish(kafka_fresh, alert(4))
        await publish(kafka_fresh, alert(5, budget="other"))
        await until(lambda: len(kept.told) == 2)
        await publish_silence(kafka_fresh, silence(0.5, "budget=acme/*"))
        await until(lambda: len(kept.told) == 4)
        await publish(kafka_fresh, alert(1, "resolved"))
        await until(lambda: len(kept.told) == 5)
    assert brief(kept.told)[1:] == [(5, "firing"), (1, "firing"), (4, "firing"), (1, "resolved")]


async def test_a_worse_alert_of_the_same_budget_inhibits(kafka_fresh: KafkaSettings) -> None:
    kept = Kept()
    async with delivering(settings(kafka_fresh), kept):
        await publish(kafka_fresh, alert(1, severity="critical", threshold=0.95))
        await publish(kafka_fresh, alert(2), alert(3, budget="acme"), alert(4, tenant="b", budget="b"))
        await until(lambda: len(kept.told) == 3)
        await publish(kafka_fresh, alert(1, "resolved", severity="critical", threshold=0.95))
        await until(lambda: len(kept.told) == 5)
    assert brief(kept.told) == [
        (1, "firing"),
        (3, "firing"),
        (4, "firing"),
        (1, "resolved"),
        (2, "firing"),
    ]


async def test_operators_alerts_reach_operators_sinks_alone(kafka_fresh: KafkaSettings) -> None:
    public, operator = Kept("public"), Kept("operator", audience="operator")
    inside = alert(7, audience="operator") if _schema_has("audience") else alert(7)
    async with delivering(settings(kafka_fresh), public, operator):
        async with producer(kafka_fresh) as sender:
            topic = topic_name(kafka_fresh, "operator.signals")
            signal = {"signal": "ledger_verified", "time": "2026-11-24T10:00:00Z", "source": "ledger"}
            for kind, value in ((types.OPERATOR_SIGNAL, signal), (types.ALERT, inside)):
                headers = Attributes(type=kind, source="test").to_headers()
                await sender.send_and_wait(topic, dumps(value), b"k", headers=headers)
        await publish(kafka_fresh, alert(1))
        await until(lambda: len(operator.told) == 2 and len(public.told) == 1)
    assert brief(public.told) == [(1, "firing")]
    assert sorted(brief(operator.told)) == [(1, "firing"), (7, "firing")]


def _schema_has(name: str) -> bool:
    return name in types.schema(types.ALERT)["properties"]


async def test_a_sink_that_forgets_is_told_again_while_it_fires(kafka_fresh: KafkaSettings) -> None:
    kept = Kept("forgetful", resend_seconds=0.3)
    async with delivering(settings(kafka_fresh), kept):
        await publish(kafka_fresh, alert(1))
        await until(lambda: len(kept.told) >= 3)
        await publish(kafka_fresh, alert(1, "resolved"))
        await until(lambda: brief(kept.told)[-1] == (1, "resolved"))
        count = len(kept.told)
        await asyncio.sleep(1.0)
        assert len(kept.told) == count, "what has ended is not told again"


async def test_two_sinks_of_one_name_are_refused(kafka_fresh: KafkaSettings) -> None:
    with pytest.raises(SettingInvalid, match="twice"):
        Delivery(settings(kafka_fresh), [Kept("a"), Kept("a")])


CHILD = """
import asyncio, signal
from veilstream.alerting.delivery import Delivery
from veilstream.alerting.sinks.registry import build_sinks
from veilstream.settings import load_settings
async def main():
    current = load_settings()
    await Delivery(current, build_sinks(current)).run(asyncio.Event())
asyncio.run(main())
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@asynccontextmanager
async def child(kafka: KafkaSettings, url: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "VEILSTREAM_DATA_DIR": str(folder),
        "VEILSTREAM_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "VEILSTREAM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "VEILSTREAM_ALERTING__SINKS": '["webhook"]',
        "VEILSTREAM_ALERTING__WEBHOOK_URL": url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, env=environment, cwd=folder, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_after_kill_9_exactly_what_was_missed_is_delivered(
    kafka_fresh: KafkaSettings, receiver: Receiver, tmp_path: Path
) -> None:
    """Killed twice: while its receiver takes nothing, and in the middle of a burst."""

    def taken() -> list[tuple[str, str]]:
        alerts = [json.loads(body)["alerts"][0] for body in receiver.taken]
        return [(one["fingerprint"], one["status"]) for one in alerts]

    async with child(kafka_fresh, receiver.url, tmp_path):
        await started(kafka_fresh, 1)
        await publish(kafka_fresh, alert(1))
        await until(lambda: len(receiver.taken) == 1)
        receiver.statuses = [503]
        await publish(kafka_fresh, alert(1, "resolved"), alert(2))
        await until(lambda: len(receiver.got) >= 2)
    receiver.statuses = [204]
    burst = [alert(number) for number in range(3, 83)]
    async with child(kafka_fresh, receiver.url, tmp_path):
        await publish(kafka_fresh, *burst)
        await until(lambda: len(receiver.taken) >= 30)
    async with child(kafka_fresh, receiver.url, tmp_path):
        await until(lambda: len(set(taken())) >= 83)
        await asyncio.sleep(0.5)
    expected = [(f"{1:032x}", "firing"), (f"{1:032x}", "resolved")]
    expected += [(f"{number:032x}", "firing") for number in range(2, 83)]
    assert list(dict.fromkeys(taken())) == expected
    # Only the one that was under way at the second kill may have been told twice.
    assert len(taken()) <= len(expected) + 1


async def test_a_broker_that_was_away_costs_nothing(own_kafka: LocalKafka) -> None:
    """It hangs for longer than any request may take; what comes afterwards is told once."""
    kafka = KafkaSettings.model_validate({"bootstrap": own_kafka.bootstrap, "request_timeout_seconds": 2.0})
    await ensure_topics(kafka)
    kept = Kept()
    async with delivering(settings(kafka), kept):
        await publish(kafka, alert(1))
        await until(lambda: len(kept.told) == 1)
        pid = own_kafka.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(5.0)  # past the patience of every request
        os.kill(pid, signal.SIGCONT)
        await publish(kafka, alert(2), alert(1, "resolved"))
        # The group's session has run out, and every client waits a little before it tries again.
        await until(lambda: len(kept.told) >= 3, seconds=90.0)
    assert brief(kept.told) == [(1, "firing"), (2, "firing"), (1, "resolved")]


async def test_a_second_process_stands_by_and_takes_over(kafka_fresh: KafkaSettings) -> None:
    """Whoever has the partition tells; together they tell each alert once."""
    one, other = Kept(), Kept()
    current = settings(kafka_fresh)
    async with delivering(current, other):
        async with delivering(current, one):
            for number in range(1, 11):
                await publish(kafka_fresh, alert(number))
            await until(lambda: len(one.told) + len(other.told) >= 10)
        await publish(kafka_fresh, alert(11))
        await until(lambda: brief(other.told)[-1:] == [(11, "firing")])
    assert sorted(brief(one.told + other.told)) == [(number, "firing") for number in range(1, 12)]


async def test_a_broker_without_transactions_will_do(own_tansu: LocalTansu) -> None:
    kafka = KafkaSettings.model_validate(
        {"bootstrap": own_tansu.bootstrap, "idempotence": own_tansu.idempotence, "topic_prefix": "t."}
    )
    await ensure_topics(kafka)
    kept = Kept()
    await publish(kafka, alert(1), alert(2))
    async with delivering(settings(kafka), kept, wait=False):
        await until(lambda: len(kept.told) == 2)
        await publish(kafka, alert(2, "resolved"))
        await until(lambda: len(kept.told) == 3)
    assert brief(kept.told) == [(1, "firing"), (2, "firing"), (2, "resolved")]
