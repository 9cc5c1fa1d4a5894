"""The commands, one after the other, as a new user would type them."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis
from typer.testing import CliRunner

from veilstream.cli.app import app
from veilstream.cli.demo.conversations import conversations
from veilstream.errors import (
    AccountingError,
    BudgetExists,
    BudgetUnknown,
    JournalBroken,
    KeyMissing,
    LedgerDiffers,
)
from veilstream.settings import KafkaSettings

Command = Callable[..., Any]


@pytest.fixture
def command(
    kafka_fresh: KafkaSettings, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command; returns what `--json` printed, or the text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VEILSTREAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VEILSTREAM_KAFKA__BOOTSTRAP", kafka_fresh.bootstrap)
    monkeypatch.setenv("VEILSTREAM_KAFKA__TOPIC_PREFIX", kafka_fresh.topic_prefix)
    monkeypatch.setenv("VEILSTREAM_STORE__URL", store_url)
    monkeypatch.setenv("VEILSTREAM_WORKER__TENANT", "acme")
    Redis.from_url(store_url).flushall()
    runner = CliRunner()

    def run(*words: str, input: bytes | None = None, exits: int = 0) -> Any:
        result = runner.invoke(app, list(words), input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exits, (words, result.output[-2000:], result.exception)
        return orjson.loads(result.stdout) if "--json" in words else result.stdout

    return run


def test_budget_from_creation_to_verification(command: Command) -> None:
    with pytest.raises(KeyMissing, match="keys create"):
        command("budget", "list")
    command("keys", "create", "acme")
    assert command("keys", "list", "--json") == {"tenants": ["acme"]}
    made = command("budget", "create", "default", "--epsilon", "8", "--delta", "1e-6", "--json")
    assert (made["epsilon"], made["tenant"], made["fraction"]) == (8.0, "acme", 0.0)
    assert command("budget", "create", "default", "--epsilon", "8", "--delta", "1e-6", "--json") == made
    with pytest.raises(BudgetExists):
        command("budget", "create", "default", "--epsilon", "9", "--delta", "1e-6")
    command("budget", "raise", "default", "--epsilon", "10")
    assert [row["epsilon"] for row in command("budget", "list", "--json")] == [10.0]
    shown = command("ledger", "show", "default", "--json")
    assert [event["event"] for event in shown["events"]] == ["created", "raised"]
    assert command("ledger", "verify", "--json") == {"budgets": 1, "entries": 2}
    with pytest.raises(BudgetUnknown):
        command("ledger", "show", "other")


def test_budget_is_for_a_tenant_that_has_a_key(command: Command) -> None:
    command("keys", "create", "acme", "--json")
    with pytest.raises(KeyMissing):
        command("budget", "create", "default", "--tenant", "acmee", "--epsilon", "8")
    assert command("budget", "list", "--json") == []


def test_budget_that_fits_no_window_yet_is_made_and_says_so(command: Command) -> None:
    """Its order is the one that comes nearest, so that cheaper windows can use it."""
    command("keys", "create", "acme")
    assert "no window" in command("budget", "create", "small", "--epsilon", "1")
    assert command("budget", "raise", "small", "--epsilon", "1000", "--json")["epsilon"] == 1000.0


def test_rebuild_from_the_journal(command: Command, store_url: str) -> None:
    command("keys", "create", "acme")
    command("budget", "create", "default", "--epsilon", "8")
    Redis.from_url(store_url).flushall()
    assert command("budget", "list", "--json") == []
    assert command("ledger", "rebuild", "--json") == {"budgets": 1, "entries": 1}
    assert command("ledger", "verify", "--json") == {"budgets": 1, "entries": 1}
    assert [row["budget"] for row in command("budget", "list", "--json")] == ["default"]


def test_a_tree_of_budgets_as_an_officer_meets_it(command: Command) -> None:
    command("keys", "create", "acme")
    command("budget", "create", "acme", "--epsilon", "8", "--delta", "1e-6")
    text = command("budget", "create", "acme/support", "--epsilon", "4", "--refresh", "30d", "--by", "ann")
    assert "under acme" in text
    assert "k periods together are (kε, kδ)" in text
    assert "one record" in command("budget", "create", "logs", "--epsilon", "8", "--block", "1d")
    with pytest.raises(AccountingError, match="at most the parent's, 8"):
        command("budget", "create", "acme/other", "--epsilon", "9")
    assert command("budget", "freeze", "acme", "--json")["frozen"] is True
    assert command("budget", "unfreeze", "acme", "--json").get("frozen") is None
    before = command("budget", "list", "--json")
    corrected = command("budget", "correct", "acme", "--noise-multiplier", "4", "--steps", "3", "--json")
    assert corrected["fraction"] > before[0]["fraction"] == 0.0
    assert command("budget", "refresh", "--json") == []
    rows = {row["budget"]: row for row in command("budget", "list", "--json")}
    assert rows["acme/support"]["refresh_seconds"] == 30 * 86400.0
    assert rows["acme/support"]["parent"] == "acme"
    assert rows["logs"]["unit"] == "record"
    listed = command("budget", "list")
    assert "life" in listed
    assert "30d" in listed
    kinds = [event["event"] for event in command("ledger", "show", "acme", "--json")["events"]]
    assert kinds == ["created", "frozen", "unfrozen", "corrected"]
    command("budget", "create", "x", "--epsilon", "8", "--refresh", "soon", exits=2)


def test_backup_and_restore(command: Command, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command("keys", "create", "acme")
    command("budget", "create", "acme", "--epsilon", "8")
    command("budget", "create", "acme/m", "--epsilon", "4")
    held = command("budget", "list", "--json")
    assert command("ledger", "backup", "journal.jsonl", "--json") == {"budgets": 2, "entries": 2}
    assert Path("journal.jsonl").stat().st_mode & 0o777 == 0o600
    command("ledger", "backup", "journal.jsonl", exits=2)
    with pytest.raises(LedgerDiffers, match="has entries already"):
        command("ledger", "restore", "journal.jsonl")
    whole = Path("journal.jsonl").read_bytes()
    for cut, told in (
        (whole[:-20], r"line 2: the file ends in the middle of an entry"),
        (whole.replace(b'"seq":1', b'"seq":2', 1), r"line 1: budget acme, entry 2"),
        (b"{}\n" + whole, "line 1: this is no ledger entry"),
    ):
        Path("cut.jsonl").write_bytes(cut)
        with pytest.raises(JournalBroken, match=told):
            command("ledger", "restore", "cut.jsonl")
    Redis.from_url(store_url).flushall()
    monkeypatch.setenv("VEILSTREAM_KAFKA__TOPIC_PREFIX", "restored.")
    assert command("ledger", "restore", "journal.jsonl", "--json") == {"budgets": 2, "entries": 2}
    assert command("ledger", "rebuild", "--json") == {"budgets": 2, "entries": 2}
    assert command("ledger", "verify", "--json") == {"budgets": 2, "entries": 2}
    assert command("budget", "list", "--json") == held
    assert [e["event"] for e in command("ledger", "show", "acme/m", "--json")["events"]] == ["created"]


def test_dry_run_says_what_it_would_cost(command: Command) -> None:
    command("keys", "create", "acme")
    command("budget", "create", "default", "--epsilon", "8")
    cost = command("train", "--dry-run", "--json")
    assert cost["windows_that_fit"] > 0
    assert cost["epsilon_after"] == sorted(cost["epsilon_after"])
    assert cost["epsilon_after"][-1] <= 8


def test_produce_names_a_bad_line_and_sends_the_rest(command: Command, tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "hello"}]}
    lines = b"\n".join([orjson.dumps(good), b'{"messages": "ann@example.com"}', b"not json ann@example.com"])
    with gzip.open(tmp_path / "chats.jsonl.gz", "wb") as out:
        out.write(lines)
    text = command("produce", "chats.jsonl.gz", "--format", "openai", exits=1)
    assert "sent 1, refused 2" in text
    assert "ann@example.com" not in text


def test_redact_reads_gzip_as_produce_does(command: Command, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "logs.jsonl.gz", "wb") as out:
        out.write(b'{"email": "ann@example.com"}\n')
    assert command("redact", "logs.jsonl.gz") == '{"email":"<EMAIL_ADDRESS>"}\n'


def test_json_of_training_goes_with_a_dry_run() -> None:
    refused = CliRunner().invoke(app, ["train", "--json"])
    assert refused.exit_code == 2
    assert "--dry-run" in refused.output


def _advice(report: dict[str, Any]) -> dict[str, str]:
    """What doctor found wrong, and what it says to do."""
    return {check["name"]: check["advice"] for check in report["checks"] if not check["ok"]}


def test_topics_and_doctor_say_what_is_there(command: Command) -> None:
    report = command("topics", "check", "--json")
    assert (report["created"], len(report["verified"])) == ([], 11)
    assert len(command("topics", "list", "--json")) == 11
    wrong = _advice(command("doctor", "--json", exits=1))
    assert list(wrong) == ["keys", "budget"]
    assert "veilstream keys create" in wrong["keys"]
    command("keys", "create", "other")
    assert _advice(command("doctor", "--json", exits=1))["keys"] == "veilstream keys create acme"
    command("keys", "create", "acme")
    assert command("doctor", "--json")["ok"] is True
    command("budget", "create", "default", "--epsilon", "8", "--tenant", "other")
    assert list(_advice(command("doctor", "--json", exits=1))) == ["budget"]


def test_nothing_released_nothing_quarantined(command: Command) -> None:
    command("keys", "create", "acme")
    assert command("models", "list", "--json") == []
    assert command("quarantine", "list", "--json") == []
    assert command("quarantine", "replay", "--json") == {"replayed": 0}


def test_redact_is_a_filter() -> None:
    made = next(iter(conversations(1, 1)))
    chat = {"messages": [{"role": "user", "content": f"I am at {dict(made.planted)['EMAIL_ADDRESS']}"}]}
    lines = orjson.dumps(chat) + b"\nbroken\n" + orjson.dumps(chat) + b"\n"
    done = subprocess.run(
        [sys.executable, "-m", "veilstream.cli", "redact", "--format", "openai"],
        input=lines, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    first, second, third = (orjson.loads(line) for line in done.stdout.splitlines())
    assert first == third
    assert first["messages"][0]["content"] == "I am at <EMAIL_ADDRESS>"
    assert second["error"]["kind"] == "not_json"
    assert second["error"]["line"] == 2
    assert b"1 line could not be read" in done.stderr


def test_dead_broker_and_dead_store_are_one_line(tmp_path: Path) -> None:
    for words, address, hint in (
        (["topics", "check"], {"VEILSTREAM_KAFKA__BOOTSTRAP": "127.0.0.1:9"}, "veilstream up"),
        (["budget", "list"], {"VEILSTREAM_STORE__URL": "redis://127.0.0.1:9/0"}, "veilstream up"),
    ):
        subprocess.run(
            [sys.executable, "-m", "veilstream.cli", "keys", "create", "acme"], cwd=tmp_path, check=True
        )
        done = subprocess.run(
            [sys.executable, "-m", "veilstream.cli", *words], capture_output=True, text=True, cwd=tmp_path,
            env={**address, "VEILSTREAM_KAFKA__REQUEST_TIMEOUT_SECONDS": "3", "PATH": ""}, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("veilstream: ")
        assert hint in line
