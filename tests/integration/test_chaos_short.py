"""Chaos in short: real brokers, real roles, a few faults, and the whole verdict; and a fault that is put in.

The long form is `make chaos`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

FEW = "kill_processor,zombie,sigterm,poison"
MORE = "recreate_topic,kill_broker,kill_store,rolling_restart,upgrade,scale,lose_broker"


def _chaos(seed: int, minutes: float, faults: str, folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "veilstream.cli", "chaos", "--seed", str(seed), "--minutes", str(minutes)]
    done = subprocess.run(
        [*argv, "--faults", faults, "--json", "--keep", str(folder), *more],
        stdout=subprocess.PIPE,
        check=False,
        timeout=60 * minutes + 240,
        env={name: value for name, value in os.environ.items() if not name.startswith("VEILSTREAM_")},
    )
    return done.returncode, orjson.loads(done.stdout)


def _kept(figures: dict[str, Any]) -> None:
    for name in ("lost", "duplicated_effects", "reordered", "quarantined_wrongly", "misplaced"):
        assert figures[name] == 0, figures
    assert figures["duplicated_records"] == 0, figures
    assert figures["ledger_verified"], figures
    assert not figures["not_recovered"], figures
    assert not figures["failed"], figures
    assert figures["records"] >= figures["acknowledged"] - figures["resent"] > 500
    assert figures["outputs"] == figures["records"]


def test_a_few_faults_and_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    code, figures = _chaos(11, 2.0, FEW, tmp_path, "--most", "4")
    _kept(figures)
    assert code == 0
    assert sorted(figures["faults_by_name"]) == sorted(FEW.split(","))
    assert sorted(figures["recovery_seconds"]) == sorted(FEW.split(","))
    assert figures["poison"] > 0
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _mentions(path, str(tmp_path))]


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_more_faults(tmp_path: Path) -> None:
    code, figures = _chaos(12, 5.0, MORE, tmp_path)
    assert set(figures["faults_by_name"]) == set(MORE.split(","))
    for name in ("lost", "duplicated_records", "duplicated_effects", "reordered", "quarantined_wrongly"):
        assert figures[name] == 0, figures
    assert code == 0, figures
