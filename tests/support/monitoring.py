"""Prometheus's and Alertmanager's own programs, and the rule files cut down to one alert."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

__all__ = ["DEPLOY", "PROMETHEUS", "Rule", "alerts", "outcome", "program", "records", "reduced", "run"]

DEPLOY = Path(__file__).parents[2] / "config" / "deploy"
PROMETHEUS = DEPLOY / "prometheus"

Rule = dict[str, Any]

_NAMES = {
    # Debian's name first: there `alertmanager` is another program.
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "amtool": ("amtool",),
}


@cache
def program(name: str) -> str:
    """Path of one of Prometheus's programs. The test fails where it is not installed: nothing here skips."""
    for candidate in _NAMES[name]:
        found = shutil.which(candidate)
        if found:
            return found
    pytest.fail(
        f"{name} is not installed: run `make tools` (apt-get), or put it on the PATH (docs/monitoring.md)",
        pytrace=False,
    )


def run(*command: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The finished process, with what it printed."""
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=timeout, check=False)


def _rules(file: str) -> list[Rule]:
    groups = yaml.safe_load((PROMETHEUS / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, Rule]:
    """The alerting rules, by name."""
    return {rule["alert"]: rule for rule in _rules("rules.yml")}


def records() -> dict[str, Rule]:
    """The recording rules, by name, in their order."""
    return {rule["record"]: rule for rule in _rules("recording.yml")}


def reduced(rule: Rule) -> list[Rule]:
    """The rule and the recording rules that it reads, directly or not, in the order of the file."""
    known, wanted = records(), set[str]()
    waiting = [rule]
    while waiting:
        for name in re.findall(r"budget:[\w:]+", waiting.pop()["expr"]):
            if name not in wanted and name != rule.get("record"):
                wanted.add(name)
                waiting.append(known[name])
    return [rule if name == rule.get("record") else known[name] for name in known if name in wanted] + [rule]


@cache
def _story(test: Path) -> str:
    """The test file for `rules.yml` beside it, as JSON (which is YAML, and quicker to write)."""
    given = yaml.safe_load(test.read_text())
    return json.dumps({**given, "rule_files": ["rules.yml"], "group_eval_order": ["all"]})


def outcome(folder: Path, rules: list[Rule], test: Path) -> subprocess.CompletedProcess[str]:
    """What `promtool test rules` says of a test file, with these rules in place of the shipped ones."""
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    (folder / "test.yml").write_text(_story(test))
    return run(program("promtool"), "test", "rules", folder / "test.yml")
