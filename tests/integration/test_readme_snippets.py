"""The README's producer and subscriber, as printed, against a real broker."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.topics import topic_name
from veilstream.events.types import ALERT, INTERACTION
from veilstream.settings import KafkaSettings
from veilstream.transport import producer, read_to_end

README = (Path(__file__).parents[2] / "README.md").read_text()
PRODUCER, SUBSCRIBER = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

ALERT_VALUE = {
    "fingerprint": "f1", "rule": "budget-threshold", "severity": "warning", "state": "firing",
    "tenant": "acme", "budget": "default", "seq": 3, "time": "2026-11-24T07:00:00.000Z",
    "summary": "Budget default has reached 80 %", "description": "…", "runbook": "docs/operations.md",
    "epsilon": 8.0, "epsilon_spent": 6.5, "fraction": 0.8,
}  # fmt: skip


async def _run(snippet: str, kafka: KafkaSettings) -> asyncio.subprocess.Process:
    env = {
        **os.environ,
        "VEILSTREAM_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "VEILSTREAM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "PYTHONUNBUFFERED": "1",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", snippet, env=env, stdout=asyncio.subprocess.PIPE
    )


def test_snippets_are_six_lines() -> None:
    assert len(PRODUCER.splitlines()) == 6
    assert len(SUBSCRIBER.splitlines()) == 6


async def test_producer_sends_what_it_says(kafka_fresh: KafkaSettings) -> None:
    process = await _run(PRODUCER, kafka_fresh)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    raw = topic_name(kafka_fresh, "interactions.raw")
    records = [record async for record in read_to_end(kafka_fresh, raw)]
    assert len(records) == 1
    assert Attributes.from_headers(records[0].headers).type == INTERACTION
    value = codec.decode(INTERACTION, records[0].value)
    assert value["privacy"] == {"tenant": "acme", "subject": "user-17"}
    assert b"user-17" not in records[0].key


async def test_subscriber_prints_an_alert(kafka_fresh: KafkaSettings) -> None:
    process = await _run(SUBSCRIBER, kafka_fresh)
    assert process.stdout is not None
    line = asyncio.create_task(process.stdout.readline())
    try:
        async with producer(kafka_fresh) as sender:
            for _ in range(120):  # it hears what comes after it has begun to listen
                await sender.send_and_wait(
                    topic_name(kafka_fresh, "budget.alerts"),
                    codec.dumps(ALERT_VALUE),
                    key=b"f1",
                    headers=Attributes(type=ALERT, source="test").to_headers(),
                )
                if (await asyncio.wait([line], timeout=0.5))[0]:
                    break
        assert (await line).decode().strip() == "warning Budget default has reached 80 %"
    finally:
        line.cancel()
        process.kill()
        await process.wait()
