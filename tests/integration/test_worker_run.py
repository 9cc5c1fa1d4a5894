"""The training worker on a real Kafka and a real Valkey: from protected records to releases, past crashes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis.asyncio

from veilstream.accounting import odometer_epsilon, window_charges
from veilstream.client import load_release
from veilstream.errors import Fenced
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.events.codec import dumps
from veilstream.events.topics import topic_name
from veilstream.events.types import PROTECTED
from veilstream.keys import FileKeyProvider, ledger_token, subject_token
from veilstream.ledger import Lease, Ledger, dump, verify
from veilstream.settings import KafkaSettings, Settings
from veilstream.transport import KafkaJournal, producer, read_to_end
from veilstream.worker import attempt as attempt_module
from veilstream.worker.encoder import MiniLM
from veilstream.worker.fit import fit
from veilstream.worker.run import run_worker
from veilstream.worker.toolchoice import ToolChooser

TENANT = "acme"
CALLS = {
    "FindRestaurants": "I am hungry, find me a place to eat in San Jose",
    "GetWeather": "What will the weather be like tomorrow, will it rain?",
    "TransferMoney": "Please send some money from my checking account to my sister",
}


def messages(person: int) -> list[dict[str, Any]]:
    tool = sorted(CALLS)[person % len(CALLS)]
    return [
        {"role": "user", "parts": [{"type": "text", "content": CALLS[tool]}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "tool_call", "name": tool, "arguments": {}},
                {"type": "text", "content": "Done."},
            ],
        },
        {"role": "user", "parts": [{"type": "text", "content": "Thank you, that is all"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Good bye"}]},
    ]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """What happened; which shares of the budget were reached is another test's."""
    return [event["event"] for event in events if event["event"] != "threshold"]


class Place:
    """One worker's world: its own topics, keys, budget and releases folder."""

    def __init__(self, kafka: KafkaSettings, store_url: str, folder: Path, **worker: Any) -> None:
        self.settings = Settings.model_validate(
            {
                "data_dir": folder,
                "kafka": kafka.model_dump(),
                "store": {"url": store_url},
                "worker": {
                    "tenant": TENANT,
                    "budget": f"b-{secrets.token_hex(6)}",
                    "window_seconds": 1.0,
                    "window_origin_seconds": time.time(),
                    "grace_seconds": 0.3,
                    "publish_seconds": 0.0,
                    "population": 40,
                    "sampling_rate": 0.5,
                    "noise_multiplier": 1.0,
                    "clip_norm": 0.5,
                    "steps": 30,
                    "learning_rate": 20.0,
                    **worker,
                },
            }
        )
        self.provider = FileKeyProvider(self.settings.keys_folder)
        self.provider.ensure(TENANT)
        self.budget = self.settings.worker.budget

    def ledger(self, store: redis.asyncio.Redis) -> Ledger:
        return Ledger(store, self.provider.ledger(), provider=self.provider)

    async def create_budget(self, store: redis.asyncio.Redis, windows: int) -> None:
        """A budget with room for just so many windows of these settings."""
        worker = self.settings.worker
        orders = (8,)
        (price,) = window_charges(orders, worker.sampling_rate, worker.noise_multiplier, worker.steps)
        epsilon = odometer_epsilon([windows * price], orders, 1e-5) + 1e-6
        await self.ledger(store).create_budget(
            self.budget, tenant=TENANT, epsilon=epsilon, delta=1e-5, orders=orders
        )

    async def send(self, people: list[int], *, offset: int = 0, tenant: str = TENANT) -> None:
        """Protected records, a record a person, as the processors write them."""
        topic = topic_name(self.settings.kafka, "interactions.protected")
        async with producer(self.settings.kafka) as kafka:
            for number, person in enumerate(people):
                subject = subject_token(person.to_bytes(32, "big"), "subject", str(person))
                value = {
                    "conversation": subject,
                    "messages": messages(person),
                    "privacy": {
                        "tenant": tenant,
                        "unit": "subject",
                        "subject_token": subject,
                        "ledger_token": ledger_token(self.provider.ledger(), TENANT, "subject", str(person)),
                    },
                }
                attributes = Attributes(
                    type=PROTECTED,
                    source="veilstream/processor",
                    id=hashlib.sha256(str((person, offset)).encode()).hexdigest()[:24],
                    origin=Origin("a" * 32, 0, offset + number),
                )
                await kafka.send_and_wait(
                    topic, dumps(value), key=subject.encode(), headers=attributes.to_headers()
                )
            await kafka.send_and_wait(topic, b"not JSON", key=b"x", headers=attributes.to_headers())

    async def topic(self, short: str) -> list[dict[str, Any]]:
        name = topic_name(self.settings.kafka, short)
        return [orjson.loads(r.value) async for r in read_to_end(self.settings.kafka, name)]

    async def events(self) -> list[str]:
        return kinds(await self.topic("budget.events"))


PRIVATE_OR_RANDOM = {
    "time",
    "release",
    "hash",
    "prev_hash",
    "created",
    "parent",
    "sha256",
    "location",
    "budget",
}


def seen(value: Any) -> Any:
    """What an outsider can compare between two runs: all but ids, times and digests that are random."""
    if isinstance(value, dict):
        return {key: seen(inner) for key, inner in value.items() if key not in PRIVATE_OR_RANDOM}
    return [seen(inner) for inner in value] if isinstance(value, list) else value


async def test_windows_become_releases_and_a_missing_person_does_not_show(
    kafka_fresh: KafkaSettings, store: redis.asyncio.Redis, store_url: str, tmp_path: Path
) -> None:
    """Two neighbouring streams, three windows: the second has one person or none, the third nobody."""
    other = kafka_fresh.model_copy(update={"topic_prefix": f"t{secrets.token_hex(6)}."})
    origin = time.time() + 4.0
    urls = [store_url, store_url.removesuffix("/0") + "/1"]  # a relay moves all that is in its store
    stores = [store, redis.asyncio.Redis.from_url(urls[1])]
    places = [
        Place(kafka, url, tmp_path / name, window_seconds=2.0, window_origin_seconds=origin, max_windows=3)
        for name, kafka, url in zip(("with", "without"), (kafka_fresh, other), urls, strict=True)
    ]
    for place, client in zip(places, stores, strict=True):
        await place.create_budget(client, windows=4)
    workers = [asyncio.create_task(run_worker(place.settings)) for place in places]
    await asyncio.sleep(2.0)
    people = list(range(24))
    await asyncio.gather(
        places[0].send([*people, 99]), places[1].send(people), places[0].send([50], tenant="other")
    )
    await asyncio.sleep(max(0.0, origin + 2.3 - time.time()))
    await places[0].send([99], offset=1000)
    assert await asyncio.gather(*workers) == [3, 3]

    events = [await place.topic("budget.events") for place in places]
    cards = [await place.topic("models.releases") for place in places]
    assert kinds(events[0]) == ["created", *["charged", "started", "committed"] * 3]
    assert seen(events[0]) == seen(events[1])
    assert seen(cards[0]) == seen(cards[1])
    assert len({str(card["artifact"]["sha256"]) for card in cards[0] + cards[1]}) == 6
    starts = [event["window"] for event in events[0] if event["event"] == "charged"]
    assert [w["start"] for w in starts[1:]] == [w["end"] for w in starts[:-1]]
    assert starts[0]["start"] == 0.0
    assert [card["parent"] for card in cards[0]] == [None, *[card["release"] for card in cards[0][:-1]]]

    # Inside the boundary the ledger knows of everyone, with the dropped and the other tenant's left out.
    for place, client, expected in zip(places, stores, (25, 24), strict=True):
        ledger = place.ledger(client)
        async with KafkaJournal(place.settings.kafka) as journal:
            await verify(ledger, journal, place.provider, budget=place.budget)
        state = await ledger.model_state(place.budget, "tool-choice")
        assert state is not None
        assert sum(state["ends"].values()) >= expected
        assert len(orjson.loads(await dump(client, place.budget))["people"]) == expected
        await client.aclose()

    release = load_release(settings=places[0].settings, provider=places[0].provider)
    assert release.id == cards[0][-1]["release"]
    ranked = ToolChooser.from_release(release).choose("find me somewhere to eat")
    assert len(ranked) == len(release.card["labels"])
    assert sum(score for _, score in ranked) == pytest.approx(1.0, abs=1e-4)
    assert not list(places[0].settings.releases_folder.glob("*.draft"))


async def test_kill_9_in_training_costs_a_new_attempt(
    kafka_fresh: KafkaSettings, store: redis.asyncio.Redis, store_url: str, tmp_path: Path
) -> None:
    place = Place(kafka_fresh, store_url, tmp_path, steps=600, noise_multiplier=8.0, max_windows=1)
    await place.create_budget(store, windows=3)
    await place.send(list(range(12)))
    script = tmp_path / "worker.py"
    script.write_text(
        """
import asyncio, os, sys
from pathlib import Path
from veilstream.settings import Settings
from veilstream.telemetry import logs
from veilstream.worker import run_worker
logs.configure()
settings = Settings.model_validate_json(os.environ["WORKER"])
asyncio.run(run_worker(settings, lease_seconds=1.0))
"""
    )
    as_json = orjson.dumps({**place.settings.model_dump(mode="json"), "store": {"url": store_url}}).decode()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        env={**os.environ, "WORKER": as_json},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    seen_lines = []
    try:
        async with asyncio.timeout(60):
            async for line in process.stderr:
                seen_lines.append(line)
                if b'"training_progress"' in line:
                    break
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert any(b'"training_progress"' in line for line in seen_lines)
    ledger = place.ledger(store)
    before = await ledger.show(place.budget)
    (left,) = await ledger.open_reservations(place.budget, "tool-choice")
    assert (left.state, left.attempt) == ("started", 1)
    assert await place.topic("models.releases") == []

    assert await run_worker(place.settings, lease_seconds=1.0) == 1
    after = await ledger.show(place.budget)
    assert after["spent"] == [2 * units for units in before["spent"]]
    assert await place.events() == [
        "created", "charged", "started", "abandoned", "charged", "started", "committed",
    ]  # fmt: skip
    (card,) = await place.topic("models.releases")
    assert card["card"]["public_parameters"]["attempt"] == 2
    assert card["card"]["epsilon_spent"] == pytest.approx(after["epsilon_spent"])
    assert await ledger.open_reservations(place.budget, "tool-choice") == []


async def test_an_exhausted_budget_is_a_good_end(
    kafka_fresh: KafkaSettings, store: redis.asyncio.Redis, store_url: str, tmp_path: Path
) -> None:
    place = Place(kafka_fresh, store_url, tmp_path, window_seconds=0.4)
    await place.create_budget(store, windows=1)
    assert await run_worker(place.settings) == 1
    assert await place.events() == ["created", "charged", "exhausted", "started", "committed", "refused"]
    assert len(await place.topic("models.releases")) == 1


async def test_a_stop_in_training_abandons_and_a_failure_stays_charged(
    kafka_fresh: KafkaSettings,
    store: redis.asyncio.Redis,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place(kafka_fresh, store_url, tmp_path, steps=100_000, noise_multiplier=50.0, max_windows=1)
    await place.create_budget(store, windows=3)
    monkeypatch.setattr(attempt_module, "_FINISH_SECONDS", 0.1)
    stop = asyncio.Event()
    training = asyncio.Event()
    loop = asyncio.get_running_loop()

    def watched(*args: Any, **kwargs: Any) -> Any:
        loop.call_soon_threadsafe(training.set)
        return fit(*args, **kwargs)

    monkeypatch.setattr(attempt_module, "fit", watched)
    worker = asyncio.create_task(run_worker(place.settings, stop=stop))
    async with asyncio.timeout(30):
        await training.wait()
    stop.set()
    assert await worker == 0

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("a library quotes its input: jane.doe@example.com")

    monkeypatch.setattr(attempt_module, "fit", broken)
    with pytest.raises(Exception, match="ZeroDivisionError") as failure:
        await run_worker(place.settings)
    assert "jane" not in str(failure.value)
    events = await place.topic("budget.events")
    assert kinds(events) == ["created", *["charged", "started", "abandoned"] * 2]
    assert [event["reason"] for event in events if event["event"] == "abandoned"] == ["stopped", "failed"]
    assert events[-1]["spent"] == [2 * units for units in events[1]["spent"]]
    assert await place.topic("models.releases") == []


async def test_the_encoder_is_loaded_before_anything_is_paid(
    kafka_fresh: KafkaSettings,
    store: redis.asyncio.Redis,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Place(kafka_fresh, store_url, tmp_path)
    await place.create_budget(store, windows=2)

    def missing(self: MiniLM) -> None:
        raise OSError("no weights")

    monkeypatch.setattr(MiniLM, "__init__", missing)
    with pytest.raises(OSError, match="no weights"):
        await run_worker(place.settings)
    assert await place.events() == ["created"]


async def test_a_second_worker_stands_by_and_takes_over(
    kafka_fresh: KafkaSettings, store: redis.asyncio.Redis, store_url: str, tmp_path: Path
) -> None:
    place = Place(kafka_fresh, store_url, tmp_path, window_seconds=0.4, max_windows=1)
    await place.create_budget(store, windows=3)
    both = await asyncio.gather(run_worker(place.settings), run_worker(place.settings))
    assert list(both) == [1, 1]
    first, second = await place.topic("models.releases")
    assert second["parent"] == first["release"]
    assert second["card"]["window"]["start"] == first["card"]["window"]["end"]


async def test_a_worker_that_slept_past_its_lease_releases_nothing(
    kafka_fresh: KafkaSettings,
    store: redis.asyncio.Redis,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sleeper's training goes on while another takes over, releases, and ends."""
    place = Place(kafka_fresh, store_url, tmp_path, max_windows=1)
    await place.create_budget(store, windows=3)
    asleep, awake = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def sleep_then_fit(*args: Any, **kwargs: Any) -> Any:
        if not asleep.is_set():
            loop.call_soon_threadsafe(asleep.set)
            assert awake.wait(60)
        return fit(*args, **kwargs)

    async def never(self: Ledger, lease: Lease, ttl_seconds: float = 0.0) -> None:
        """A lease that nobody renews."""

    monkeypatch.setattr(attempt_module, "fit", sleep_then_fit)
    monkeypatch.setattr(Ledger, "renew", never)
    sleeper = asyncio.create_task(run_worker(place.settings, lease_seconds=0.5))
    async with asyncio.timeout(30):
        await asleep.wait()
    assert await run_worker(place.settings, lease_seconds=0.5) == 1
    awake.set()
    with pytest.raises(Fenced):
        await sleeper
    assert len(await place.topic("models.releases")) == 1
    assert (await place.events()).count("charged") == 2
    assert len(list(place.settings.releases_folder.glob("*.json"))) == 1


async def test_how_much_there_was_to_do_does_not_show_in_the_times(
    kafka_fresh: KafkaSettings, store: redis.asyncio.Redis, store_url: str, tmp_path: Path
) -> None:
    """A full window and an empty one take as long from the charge to the commit, as far as anyone sees."""
    place = Place(kafka_fresh, store_url, tmp_path, max_windows=2, window_seconds=8.0, publish_seconds=6.0)
    await place.create_budget(store, 3)
    await place.send(list(range(60)))
    assert await run_worker(place.settings, lease_seconds=1.0) == 2
    events = await place.topic("budget.events")
    charged, committed = (
        [datetime.fromisoformat(event["time"]).timestamp() for event in events if event["event"] == kind]
        for kind in ("charged", "committed")
    )
    between = [later - earlier for earlier, later in zip(charged, committed, strict=True)]
    assert len(between) == 2
    assert all(2.2 <= seconds < 3.8 for seconds in between), between
