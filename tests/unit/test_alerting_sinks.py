"""The sinks: what each sends, what an answer means to it, and what it never shows."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from alert_world import Kept, Receiver, alert
from veilstream.alerting.sinks.alertmanager import AlertmanagerSink
from veilstream.alerting.sinks.console import ConsoleSink, render
from veilstream.alerting.sinks.forms import alert_labels
from veilstream.alerting.sinks.http import Poster, retry_after_seconds
from veilstream.alerting.sinks.pagerduty import PagerDutySink
from veilstream.alerting.sinks.registry import BUILT_IN, GROUP, build_sinks, chosen
from veilstream.alerting.sinks.slack import SlackSink
from veilstream.alerting.sinks.thread import in_thread
from veilstream.alerting.sinks.trial import trial
from veilstream.alerting.sinks.webhook import WebhookSink
from veilstream.alerting.writing import AlertWriter
from veilstream.errors import RecordInvalid, SettingInvalid, SinkFailed, SinkRefused
from veilstream.events import types
from veilstream.events.cloudevents import Attributes
from veilstream.events.codec import decode
from veilstream.settings import Settings, load_settings

NAMED = {
    "alertname": "budget-threshold",
    "severity": "warning",
    "tenant": "acme",
    "budget": "acme/demo",
    "fingerprint": f"{1:032x}",
    "threshold": "0.8",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def body_of(receiver: Receiver) -> Any:
    ((_, body),) = receiver.got
    return json.loads(body)


async def test_webhook_speaks_alertmanagers_version_4(receiver: Receiver) -> None:
    await WebhookSink(receiver.url).deliver(alert())
    ((headers, body),) = receiver.got
    message = json.loads(body)
    assert (message["version"], message["status"], message["receiver"]) == ("4", "firing", "veilstream")
    assert message["groupLabels"] == {k: NAMED[k] for k in ("alertname", "tenant", "budget")}
    assert message["commonLabels"] == NAMED
    (one,) = message["alerts"]
    assert one["labels"] == NAMED
    assert one["annotations"]["summary"] == alert()["summary"]
    assert one["annotations"]["runbook_url"] == alert()["runbook"]
    assert (one["status"], one["startsAt"], one["fingerprint"]) == (
        "firing",
        alert()["time"],
        alert()["fingerprint"],
    )
    assert one["endsAt"].startswith("0001-01-01"), "Go's zero time, while it goes on"
    assert headers["content-type"] == "application/json"
    assert headers["x-veilstream-delivery"] == f"{1:032x}/firing"
    assert "x-veilstream-signature" not in headers


async def test_webhook_names_an_end_as_it_named_the_beginning(receiver: Receiver) -> None:
    await WebhookSink(receiver.url).deliver(alert(1, "resolved", started=alert()["time"]))
    (one,) = body_of(receiver)["alerts"]
    assert one["labels"] == NAMED
    assert (one["startsAt"], one["endsAt"]) == ("2026-11-24T10:00:00.000Z", "2026-11-24T11:00:00.000Z")


async def test_alertmanager_gets_a_start_and_at_the_end_an_end(receiver: Receiver) -> None:
    sink = AlertmanagerSink(f"{receiver.url}prefix/", source_url="https://grafana.example/d/budgets")
    await sink.deliver(alert())
    await sink.deliver(alert(1, "resolved", started=alert()["time"]))
    await sink.deliver(alert(1, "resolved"))
    assert receiver.paths == ["/prefix/api/v2/alerts"] * 3
    ((firing,), (resolved,), (alone,)) = (json.loads(body) for _, body in receiver.got)
    assert firing["labels"] == resolved["labels"] == NAMED
    assert firing["startsAt"] == resolved["startsAt"] == alert()["time"]
    assert "endsAt" not in firing
    assert resolved["endsAt"] == alert(1, "resolved")["time"]
    assert "startsAt" not in alone, "unknown: Alertmanager keeps what it knows"
    assert firing["generatorURL"] == "https://grafana.example/d/budgets"


async def test_alertmanager_without_a_page_sends_no_link_that_it_would_refuse(receiver: Receiver) -> None:
    await AlertmanagerSink(receiver.url).deliver(alert())
    assert "generatorURL" not in body_of(receiver)[0]


def test_a_rules_labels_replace_none_of_ours_and_must_be_labels() -> None:
    labels = {"team": "privacy", "severity": "info", "not-a-label": "x", "empty": ""}
    found = alert_labels(alert(labels=labels))
    assert found == {**NAMED, "team": "privacy"}


async def test_slack_shows_texts_as_they_are(receiver: Receiver) -> None:
    words = "<!channel> & <https://evil.example|click>"
    await SlackSink(receiver.url).deliver(alert(summary=words, description=words))
    message = body_of(receiver)
    markup = [e["text"] for b in message["blocks"] for e in b.get("elements", []) if e["type"] == "mrkdwn"]
    assert "<!channel>" not in message["text"]
    assert not any("<" in text for text in markup), "the runbook is no whole address here"
    plain = [b["text"] for b in message["blocks"] if b["type"] in ("header", "section") and "text" in b]
    assert [text["type"] for text in plain] == ["plain_text", "plain_text"]
    assert words in plain[0]["text"]


async def test_slack_cuts_what_it_would_refuse(receiver: Receiver) -> None:
    await SlackSink(receiver.url).deliver(alert(summary="s" * 500, description="d" * 9000))
    header, section, *_ = body_of(receiver)["blocks"]
    assert len(header["text"]["text"]) == 150
    assert len(section["text"]["text"]) <= 3000


async def test_pagerduty_triggers_and_resolves_one_incident(receiver: Receiver) -> None:
    sink = PagerDutySink(SecretStr("k" * 32), url=receiver.url)
    await sink.deliver(alert(severity="critical", runbook="https://runbooks.example/x"))
    await sink.deliver(alert(1, "resolved", severity="critical"))
    trigger, resolve = (json.loads(body) for _, body in receiver.got)
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == f"{1:032x}"
    assert trigger["routing_key"] == resolve["routing_key"] == "k" * 32
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["summary"] == alert()["summary"]
    assert trigger["links"] == [{"href": "https://runbooks.example/x", "text": "Runbook"}]


@pytest.mark.parametrize("status", [302, 401, 403, 404, 407, 408, 425, 429, 500, 503])
async def test_what_can_be_put_right_is_no_refusal(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    with pytest.raises(SinkFailed, match=str(status)):
        await WebhookSink(receiver.url).deliver(alert())
    assert len(receiver.got) == 1, "no redirect is followed"


async def test_pagerduty_says_400_to_a_wrong_key_too_so_it_is_no_refusal_there(receiver: Receiver) -> None:
    receiver.statuses = [400]
    with pytest.raises(SinkFailed):
        await PagerDutySink(SecretStr("k"), url=receiver.url).deliver(alert())


@pytest.mark.parametrize("status", [400, 410, 413, 415, 422])
async def test_no_is_taken_for_an_answer(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    with pytest.raises(SinkRefused):
        await WebhookSink(receiver.url).deliver(alert())


async def test_the_wait_that_a_receiver_asks_for_is_passed_on(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [429], {"Retry-After": "17"}
    with pytest.raises(SinkFailed) as caught:
        await WebhookSink(receiver.url).deliver(alert())
    assert caught.value.retry_after_seconds == 17.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("999999999", 3600.0),
        ("Tue, 24 Nov 2026 10:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 09:00:00 GMT", 0.0),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_rfc_9110_has_it(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text, datetime(2026, 11, 24, 10, 0, tzinfo=UTC)) == seconds


async def test_a_receiver_that_does_not_answer_is_given_up_and_threads_do_not_gather(
    receiver: Receiver,
) -> None:
    receiver.delay_seconds = 1.5
    poster = Poster(receiver.url, setting="x", timeout_seconds=0.1)
    poster._timeout_seconds, began = 0.1, time.monotonic()
    # The thread's own timeout is longer here, as if bytes dripped in.
    poster._opener.open = _slow(poster._opener.open)  # type: ignore[method-assign]
    for _ in range(4):
        with pytest.raises(TimeoutError):
            await poster.post(b"{}")
    with pytest.raises(SinkFailed, match="still hang"):
        await poster.post(b"{}")
    assert time.monotonic() - began < 1.5


def _slow(opener: Any) -> Any:
    def open_(request: Any, timeout: float) -> Any:
        return opener(request, timeout=10.0)

    return open_


@pytest.mark.parametrize(
    "url",
    [
        "file:///secret-path",
        "ftp://host/secret-path",
        "host/secret-path",
        "http://",
        "https:///secret-path",
        "http://[secret-path",
        "http://host/secret path",
        "http://host/secret-pa\r\nth",
        "data:,secret-path",
        "",
    ],
)
@pytest.mark.parametrize("sink", [WebhookSink, AlertmanagerSink, SlackSink])
def test_only_http_is_spoken_and_an_address_never_shown(sink: Any, url: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        sink(SecretStr(url))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("audience", "topic"), [("public", "alerts"), ("operator", "signals")])
async def test_the_topic_gets_a_checked_cloudevent_keyed_by_fingerprint(audience: str, topic: str) -> None:
    sent: list[dict[str, Any]] = []

    class Producer:
        async def send(self, topic: str, value: bytes, key: bytes, *, headers: Any) -> asyncio.Future[Any]:
            sent.append({"topic": topic, "value": value, "key": key, "headers": headers})
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

    told: list[dict[str, Any]] = []
    writer = AlertWriter(Producer(), public="alerts", operator="signals", told=told.append)
    await writer.send(alert(audience=audience))
    assert told == []
    await writer.settle()
    (record,) = sent
    assert record["topic"] == topic
    assert record["key"] == alert()["fingerprint"].encode()
    assert decode(types.ALERT, record["value"]) == alert(audience=audience) == told[0]
    assert Attributes.from_headers(record["headers"]).type == types.ALERT
    with pytest.raises(RecordInvalid):
        await writer.send(alert(severity="loud"))


async def test_console_writes_one_line_of_json_where_no_person_looks() -> None:
    stream = io.StringIO()
    await ConsoleSink(stream).deliver(alert())
    assert stream.getvalue().endswith("\n")
    assert json.loads(stream.getvalue()) == {"alert": alert()}


def test_console_shows_a_panel_with_the_text_as_it_is() -> None:
    text = render(alert(), as_panel=True)
    assert "Budget acme/demo has reached 80 %" in text
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


def settings(**alerting: Any) -> Settings:
    return Settings.model_validate({"alerting": alerting})


def test_console_is_there_and_what_has_an_address_too() -> None:
    assert chosen(settings()) == ("console",)
    made = build_sinks(settings(webhook_url="http://127.0.0.1:1/", pagerduty_routing_key="k", sinks=None))
    assert [sink.name for sink in made] == ["console", "pagerduty", "webhook"]
    assert [getattr(sink, "audience", "") for sink in made] == ["operator", "public", "public"]


def test_the_list_decides_and_marks_who_is_inside() -> None:
    asked = settings(
        sinks=["webhook", "webhook"], operator_sinks=["webhook"], webhook_url="http://127.0.0.1:1/"
    )
    (only,) = build_sinks(asked)
    assert (only.name, getattr(only, "audience", "")) == ("webhook", "operator")


@pytest.mark.parametrize("name", sorted(set(BUILT_IN) - {"console"}))
def test_a_sink_without_its_address_says_what_is_missing(name: str) -> None:
    with pytest.raises(SettingInvalid, match=f"alerting.{name}"):
        build_sinks(settings(sinks=[name]))


@pytest.mark.parametrize("field", ["sinks", "operator_sinks"])
def test_an_unknown_sink_is_named_with_those_there_are(field: str) -> None:
    with pytest.raises(SettingInvalid, match=f"alerting.{field}: got 'pigeon'; there are alertmanager"):
        build_sinks(settings(**{field: ["pigeon"]}))


def test_pyproject_names_the_same_sinks() -> None:
    document = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert document["project"]["entry-points"][GROUP] == BUILT_IN


def test_an_entry_point_brings_a_sink_and_replaces_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from veilstream.alerting.sinks import registry

    points = [
        EntryPoint("pager", "alert_world:Kept", GROUP),
        EntryPoint("console", "alert_world:Kept", GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == GROUP else [])
    made = build_sinks(settings(sinks=["pager", "console"]))
    assert [type(sink) for sink in made] == [Kept, ConsoleSink]
    points.append(EntryPoint("broken", "alert_world:Nothing", GROUP))
    with pytest.raises(SettingInvalid, match="'broken' cannot be loaded"):
        build_sinks(settings(sinks=["broken"]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_SECRET", "hunter2"),
        ("PAGERDUTY_ROUTING_KEY", '{"a": "hunter2"}'),
        ("SLACK_URL", '["hunter2"]'),
        ("EMAIL_PASSWORD", '["hunter2"]'),
    ],
)
def test_secrets_of_sinks_are_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A secret that is too short, or of another type: the error names it and does not show it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"VEILSTREAM_ALERTING__{name}", value)
    if name == "WEBHOOK_SECRET":
        with pytest.raises(SettingInvalid) as caught:
            load_settings()
        assert "webhook_secret" in str(caught.value)
        assert "hunter2" not in str(caught.value)
    else:
        assert "hunter2" not in repr(load_settings())


async def test_a_trial_tells_beginning_and_end_and_says_what_went_wrong(receiver: Receiver) -> None:
    kept = Kept()
    assert await trial(kept, 1_800_000_000.0) == {"sink": "kept", "taken": True, "error": None}
    assert [one["state"] for one in kept.told] == ["firing", "resolved"]
    assert all("TEST" in one["summary"] for one in kept.told)
    receiver.statuses = [500]
    answer = await trial(WebhookSink(receiver.url + "secret-path"), 1_800_000_000.0)
    assert answer == {"sink": "webhook", "taken": False, "error": "HTTP 500"}
    kept.error = ValueError("secret")
    assert (await trial(kept, 1_800_000_000.0))["error"] == "ValueError"
