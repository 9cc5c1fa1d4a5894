"""`veilstream alerts list|silence|test|tail` on a real Kafka, as an on-call engineer would type them."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from alert_world import Kept, Receiver, alert, brief, publish, until
from veilstream.alerting.delivery import Delivery
from veilstream.cli.app import app
from veilstream.errors import SettingInvalid, SilenceInvalid
from veilstream.settings import KafkaSettings, load_settings

Command = Callable[..., Any]


@pytest.fixture
def command(kafka_fresh: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VEILSTREAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VEILSTREAM_KAFKA__BOOTSTRAP", kafka_fresh.bootstrap)
    monkeypatch.setenv("VEILSTREAM_KAFKA__TOPIC_PREFIX", kafka_fresh.topic_prefix)
    runner = CliRunner()

    def run(*words: str, exits: int = 0) -> Any:
        result = runner.invoke(app, ["alerts", *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exits, (words, result.output[-2000:])
        return orjson.loads(result.stdout) if "--json" in words else result.stdout

    return run


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


STORY = (
    alert(1, severity="critical"),
    alert(2),
    alert(3, severity="info", budget="acme/quiet"),
    alert(4, tenant="other", budget="other"),
    alert(4, "resolved", tenant="other", budget="other"),
)


def marks(answer: dict[str, Any]) -> dict[int, str | None]:
    return {int(one["fingerprint"], 16): one["held_back"] for one in answer["alerts"]}


def test_what_is_open_and_what_sinks_are_told(command: Command, kafka_fresh: KafkaSettings) -> None:
    assert command("list", "--json") == {"alerts": []}
    assert "No alert is open" in command("list")
    asyncio.run(publish(kafka_fresh, *STORY))
    assert marks(command("list", "--json")) == {1: None, 2: "inhibited", 3: None}
    assert marks(command("list", "--all", "--json")) == {1: None, 2: "inhibited", 3: None, 4: None}
    assert marks(command("list", "--min-severity", "warning", "--json")) == {1: None, 2: "inhibited"}
    assert marks(command("list", "--budget", "acme/q*", "--json")) == {3: None}
    shown = command("list")
    assert shown.index("critical") < shown.index("warning") < shown.index("info"), "the worst first"
    with pytest.raises(SettingInvalid, match="info, warning, critical"):
        command("list", "--severity", "loud")


def test_a_silence_from_making_to_expiry(command: Command, kafka_fresh: KafkaSettings) -> None:
    asyncio.run(publish(kafka_fresh, *STORY))
    made = command("silence", "budget=acme/*", "--for", "2h", "--comment", "known", "--json")
    assert (made["matchers"], made["by"]) == ({"budget": "acme/*"}, getpass.getuser())
    assert marks(command("list", "--json")) == {1: "silenced", 2: "silenced", 3: "silenced"}
    (listed,) = command("silence", "--list", "--json")["silences"]
    assert listed == {**made, "alerts": 3}
    assert made["id"] in command("silence", "--list")
    ended = command("silence", "--expire", made["id"], "--json")
    assert ended["ends"] < made["ends"]
    assert command("silence", "--list", "--json") == {"silences": []}
    assert marks(command("list", "--json")) == {1: None, 2: "inhibited", 3: None}
    assert command("silence", "--expire", made["id"], "--json") == ended, "again: nothing changes"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("colour=red", "--comment", "x"), "FIELD=PATTERN"),
        (("budget=*",), "comment"),
        (("--expire", "nobody-made"), "no silence nobody-made"),
    ],
)
def test_a_silence_that_cannot_be_made(command: Command, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(SilenceInvalid, match=said):
        command("silence", *words)
    assert command("silence", "--list", "--json") == {"silences": []}


def test_one_thing_at_a_time(command: Command) -> None:
    command("silence", exits=2)
    command("silence", "budget=*", "--list", exits=2)
    command("silence", "budget=*", "--for", "soon", exits=2)


async def test_what_the_command_silences_a_running_delivery_holds_back(
    command: Command, kafka_fresh: KafkaSettings
) -> None:
    kept, stop = Kept(), asyncio.Event()
    await publish(kafka_fresh, STORY[2])
    task = asyncio.create_task(Delivery(load_settings(), [kept]).run(stop))
    await until(lambda: len(kept.told) == 1)
    made = await asyncio.to_thread(command, "silence", "severity=warning", "--comment", "known", "--json")
    await publish(kafka_fresh, STORY[3], alert(5, severity="critical", budget="third"))
    await until(lambda: len(kept.told) == 2)
    assert brief(kept.told) == [(3, "firing"), (5, "firing")]
    await asyncio.to_thread(command, "silence", "--expire", made["id"], "--json")
    await until(lambda: len(kept.told) == 3)
    assert brief(kept.told)[-1] == (4, "firing")
    stop.set()
    await asyncio.wait_for(task, 30)


def test_the_sinks_are_tried_and_exit_1_says_that_one_fails(
    command: Command, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEILSTREAM_ALERTING__SINKS", '["webhook", "slack"]')
    monkeypatch.setenv("VEILSTREAM_ALERTING__WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("VEILSTREAM_ALERTING__SLACK_URL", "http://127.0.0.1:1/secret-path")
    answer = command("test", "--json", exits=1)
    assert answer["sinks"][0] == {"sink": "webhook", "taken": True, "error": None}
    assert answer["sinks"][1]["taken"] is False
    assert "secret-path" not in str(answer)
    assert [orjson.loads(body)["status"] for _, body in receiver.got] == ["firing", "resolved"]
    assert "TEST" in orjson.loads(receiver.got[0][1])["commonAnnotations"]["summary"]
    assert "taken" in command("test", "webhook")
    assert command("list", "--all", "--json") == {"alerts": []}, "a trial leaves nothing on the topic"
    with pytest.raises(SettingInvalid, match="the settings name webhook, slack"):
        command("test", "console")


def test_tail_chooses_and_goes_on_where_its_group_stopped(
    command: Command, kafka_fresh: KafkaSettings
) -> None:
    asyncio.run(publish(kafka_fresh, *STORY))

    chosen = ("--tenant", "acme", "--tenant", "other", "--budget", "acme/*", "--severity", "info")
    line = command("tail", "--from-beginning", "-n", "1", *chosen)
    assert line.split()[1:3] == ["info", "firing"]
    text = command("tail", "--from-beginning", "-n", "1", "--min-severity", "critical")
    assert "critical" in text
    assert "warning" in command("tail", "--from-beginning", "-n", "2", "--group", "pagers")
    assert "info" in command("tail", "-n", "1", "--group", "pagers"), "the third"
