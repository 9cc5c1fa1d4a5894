"""`plan --budget` reads the ledger, and foretells what the ledger then does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis
from typer.testing import CliRunner

from veilstream.cli.app import app
from veilstream.errors import BudgetUnknown
from veilstream.settings import KafkaSettings


@pytest.fixture
def world(
    kafka_fresh: KafkaSettings, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VEILSTREAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VEILSTREAM_KAFKA__BOOTSTRAP", kafka_fresh.bootstrap)
    monkeypatch.setenv("VEILSTREAM_KAFKA__TOPIC_PREFIX", kafka_fresh.topic_prefix)
    monkeypatch.setenv("VEILSTREAM_STORE__URL", store_url)
    monkeypatch.setenv("VEILSTREAM_WORKER__TENANT", "acme")
    Redis.from_url(store_url).flushall()


def run(*words: str) -> Any:
    result = CliRunner().invoke(app, [*words, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout)


@pytest.mark.usefixtures("world")
def test_a_plan_for_a_budget_agrees_with_the_dry_run() -> None:
    run("keys", "create", "acme")
    run("budget", "create", "default", "--epsilon", "8", "--delta", "1e-6")
    dry = run("train", "--dry-run")
    made = run("plan", "--budget", "default", "--noise", str(dry["noise_multiplier"]))
    assert made["windows"] == dry["windows_that_fit"] > 0
    assert made["orders"] == dry["orders"]
    assert (made["epsilon"], made["delta"], made["fraction_spent"]) == (8.0, 1e-6, 0.0)
    assert round(made["epsilon_after_first"], 6) == dry["epsilon_after"][0]
    with pytest.raises(BudgetUnknown):
        run("plan", "--budget", "other")
