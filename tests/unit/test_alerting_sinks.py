"""The sinks: what the webhook sends and refuses, what the console shows; a dead sink delays nothing."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client import REGISTRY

from veilstream.alerting.sinks.background import Background, pause_seconds
from veilstream.alerting.sinks.console import ConsoleSink, render
from veilstream.alerting.sinks.thread import in_thread
from veilstream.alerting.sinks.topic import TopicSink
from veilstream.alerting.sinks.webhook import WebhookRefused, WebhookSink
from veilstream.errors import RecordInvalid, SettingInvalid
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode


def alert(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "fingerprint": f"{number:032x}",
        "rule": "budget-threshold",
        "severity": "warning",
        "state": "firing",
        "tenant": "acme",
        "budget": "demo",
        "seq": number,
        "time": "2026-11-24T10:00:00.000Z",
        "summary": "Budget demo has reached 80 %",
        "description": "Budget demo of tenant acme has spent [most] of it.",
        "runbook": "docs/operations.md#budget-threshold",
        "epsilon": 1.0,
        "epsilon_spent": 0.8,
        "fraction": 0.8,
        "threshold": 0.8,
        **more,
    }


class Receiver:
    """A local webhook: answers with `statuses` in turn (the last one for ever) and keeps what it got."""

    def __init__(self) -> None:
        self.statuses = [204]
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.delay_seconds = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                time.sleep(receiver.delay_seconds)
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{receiver.url}elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def failures(sink: str) -> float:
    return REGISTRY.get_sample_value("veilstream_alert_delivery_failures_total", {"sink": sink}) or 0.0


async def test_webhook_posts_the_alert_as_a_cloudevent(receiver: Receiver) -> None:
    await WebhookSink(receiver.url).deliver(alert())
    ((headers, body),) = receiver.got
    assert json.loads(body) == alert()
    assert headers["content-type"] == "application/json"
    assert headers["ce-type"] == types.ALERT
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-id"] == f"{alert()['fingerprint']}/firing"


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_webhook_raises_what_may_pass(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    with pytest.raises(OSError, match=str(status)):
        await WebhookSink(receiver.url).deliver(alert())


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410])
async def test_webhook_takes_no_for_an_answer_and_follows_no_redirect(
    receiver: Receiver, status: int
) -> None:
    receiver.statuses = [status]
    with pytest.raises(WebhookRefused):
        await WebhookSink(receiver.url).deliver(alert())
    assert len(receiver.got) == 1


async def test_webhook_gives_up_on_a_receiver_that_does_not_answer(receiver: Receiver) -> None:
    receiver.delay_seconds = 3.0
    started = time.monotonic()
    with pytest.raises((TimeoutError, OSError)):
        await WebhookSink(receiver.url, timeout_seconds=0.2).deliver(alert())
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    "url",
    [
        "file:///secret-path",
        "ftp://host/secret-path",
        "host/secret-path",
        "http://",
        "https:///secret-path",
        "http://[secret-path",
        "data:,secret-path",
        "",
    ],
)
def test_webhook_speaks_only_http_and_never_shows_its_address(url: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        WebhookSink(url)
    assert "secret-path" not in str(caught.value)


async def test_topic_sink_writes_a_checked_cloudevent_keyed_by_fingerprint() -> None:
    sent: list[dict[str, Any]] = []

    class Producer:
        async def send_and_wait(self, topic: str, value: bytes, key: bytes, *, headers: Any) -> None:
            sent.append({"topic": topic, "value": value, "key": key, "headers": headers})

    await TopicSink(Producer(), "veil.budget.alerts").deliver(alert())
    (record,) = sent
    assert record["topic"] == "veil.budget.alerts"
    assert record["key"] == alert()["fingerprint"].encode()
    assert decode(types.ALERT, record["value"]) == alert()
    assert Attributes.from_headers(record["headers"]).type == types.ALERT
    with pytest.raises(RecordInvalid):
        await TopicSink(Producer(), "veil.budget.alerts").deliver(alert(severity="loud"))


async def test_console_writes_one_line_of_json_where_no_person_looks() -> None:
    stream = io.StringIO()
    await ConsoleSink(stream).deliver(alert())
    assert stream.getvalue().endswith("\n")
    assert json.loads(stream.getvalue()) == {"alert": alert()}


def test_console_shows_a_panel_with_the_text_as_it_is() -> None:
    text = render(alert(), as_panel=True)
    assert "Budget demo has reached 80 %" in text
    assert "[most]" in text, "square brackets are text, not markup"
    assert "docs/operations.md#budget-threshold" in text
    assert "resolved" in render(alert(state="resolved"), as_panel=True)


async def test_a_thread_that_hangs_is_left_alone() -> None:
    hang = threading.Event()
    with pytest.raises(TimeoutError):
        await in_thread(lambda: hang.wait(5), timeout_seconds=0.05)
    hang.set()


async def test_an_exception_of_the_thread_comes_back() -> None:
    def fail() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await in_thread(fail, timeout_seconds=5)


class Flaky:
    """A sink that fails a number of times, then takes everything."""

    def __init__(self, failing: int, error: Exception | None = None) -> None:
        self.name = f"flaky-{id(self)}"
        self.failing = failing
        self.error = error or OSError()
        self.took: list[int] = []

    async def deliver(self, alert: dict[str, Any]) -> None:
        if self.failing:
            self.failing -= 1
            raise self.error
        self.took.append(alert["seq"])


async def test_failures_are_tried_again_in_order_and_counted() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    sink = Flaky(3)
    background = Background(sink, sleep=sleep)
    background.start()
    for number in (1, 2, 3):
        background.offer(alert(number))
    assert await background.stop(grace_seconds=5) == 0
    assert sink.took == [1, 2, 3]
    assert pauses == [1.0, 2.0, 4.0]
    assert failures(sink.name) == 3


async def test_an_alert_that_is_refused_does_not_block_the_next() -> None:
    sink = Flaky(1, WebhookRefused(400))
    background = Background(sink)
    background.start()
    background.offer(alert(1))
    background.offer(alert(2))
    assert await background.stop(grace_seconds=5) == 0
    assert sink.took == [2]
    assert failures(sink.name) == 1


async def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    sink = Flaky(0)
    background = Background(sink, capacity=3)
    for number in range(1, 6):
        background.offer(alert(number))  # not started: nothing leaves
    background.start()
    assert await background.stop(grace_seconds=5) == 0
    assert sink.took == [3, 4, 5]
    assert failures(sink.name) == 2


async def test_stopping_does_not_wait_for_a_dead_sink() -> None:
    sink = Flaky(10**9)
    background = Background(sink)
    background.start()
    background.offer(alert(1))
    started = time.monotonic()
    assert await background.stop(grace_seconds=0.1) == 1
    assert time.monotonic() - started < 1.0


async def test_one_dead_sink_does_not_delay_another() -> None:
    dead, alive = Flaky(10**9), Flaky(0)
    first, second = Background(dead), Background(alive)
    for background in (first, second):
        background.start()
        background.offer(alert(1))
    started = time.monotonic()
    assert await second.stop(grace_seconds=5) == 0
    assert time.monotonic() - started < 1.0
    assert await first.stop(grace_seconds=0.01) == 1
    assert (dead.took, alive.took) == ([], [1])


def test_pauses_grow_to_a_minute_and_no_further() -> None:
    assert [pause_seconds(n) for n in (1, 2, 3, 6, 7, 8, 10**6)] == [1.0, 2.0, 4.0, 32.0, 60.0, 60.0, 60.0]
