"""The prose documents name what exists: commands, runbook sections, settings, tests, figures."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from veilstream.alerting.delivery_told import pause_seconds
from veilstream.alerting.rules import RULES
from veilstream.cli.app import app
from veilstream.settings import Settings
from veilstream.telemetry.catalogue import EVENTS, METRICS

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
OPERATIONS = DOCS["operations.md"]
RULE_FILE = yaml.safe_load((ROOT / "config/deploy/prometheus/rules.yml").read_text())
PROMETHEUS_RULES: list[dict[str, Any]] = [rule for group in RULE_FILE["groups"] for rule in group["rules"]]


def _anchors(text: str) -> set[str]:
    """GitHub's anchors of a document's headings."""
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _runbook() -> dict[str, str]:
    parts = re.split(r"^### (\S+)$", OPERATIONS.split("## Runbook")[1], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_alert_has_its_runbook_and_every_runbook_an_alert() -> None:
    linked = {rule["annotations"]["runbook_url"] for rule in PROMETHEUS_RULES}
    linked |= {f"docs/operations.md#{rule}" for rule in RULES}
    assert linked == {f"docs/operations.md#{section}" for section in _runbook()}


@pytest.mark.parametrize("rule", PROMETHEUS_RULES, ids=lambda rule: str(rule["alert"]))
def test_the_runbook_section_names_its_prometheus_alerts(rule: dict[str, Any]) -> None:
    section = _runbook()[rule["annotations"]["runbook_url"].split("#")[1]]
    assert f"`{rule['alert']}`" in section


def test_links_to_sections_lead_somewhere() -> None:
    for name, text in DOCS.items():
        for target, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", text):
            assert anchor in _anchors(DOCS[target or name]), f"{name}: {target}#{anchor}"


@pytest.mark.parametrize("name", sorted(DOCS))
def test_every_command_and_option_exists(name: str) -> None:
    tree: Any = typer.main.get_command(app)
    spoken = re.findall(r"(?:veilstream|--rm trainer) ((?:[a-z]+ ?){1,2})([^`\n#|&]*)", _code(DOCS[name]))
    for words, rest in spoken:
        command = tree
        for word in words.split():
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, f"{name}: veilstream {words}"
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<!\S)--[a-z-]+", rest):
            assert option in options, f"{name}: veilstream {words}{rest}"


def _code(text: str) -> str:
    """What stands in code: blocks of shell, and spans that begin with the command."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`(veilstream [^`]+)`", text)])


def test_toml_in_the_documents_is_a_settings_file() -> None:
    found = [
        block for text in DOCS.values() for block in re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    ]
    settings = [block for block in found if "[kafka]" in block]
    assert len(settings) >= 2
    for block in settings:
        Settings.model_validate(tomllib.loads(block))


@pytest.mark.parametrize("name", ["operations.md", "known-limits.md", "errors.md", "guarantee.md"])
def test_settings_that_are_named_exist(name: str) -> None:
    sections = {n: f.annotation for n, f in Settings.model_fields.items()}
    for section, setting in re.findall(r"`([a-z]+)\.([a-z_]+)`", DOCS[name]):
        if section in sections:
            assert setting in sections[section].model_fields, f"{name}: {section}.{setting}"  # type: ignore[union-attr]
    for variable in re.findall(r"VEILSTREAM_([A-Z]+)__([A-Z_]+)", DOCS[name]):
        section, setting = (part.lower() for part in variable)
        assert setting in sections[section].model_fields  # type: ignore[union-attr]


def test_metrics_and_log_events_of_the_runbook_exist() -> None:
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", OPERATIONS.split("## Runbook")[1]))
    known = {*METRICS, *EVENTS, "batch_seconds", *Settings.model_fields["kafka"].annotation.model_fields}  # type: ignore[union-attr]
    assert named - known <= {"unknown_tenant"}


@pytest.mark.parametrize("pattern", re.findall(r"`(tests/[^`]+)`", DOCS["guarantee.md"]))
def test_the_tests_that_the_guarantee_names_exist(pattern: str) -> None:
    assert list(ROOT.glob(pattern)), pattern


def test_figures_of_alert_delivery() -> None:
    assert max(map(pause_seconds, range(1, 100))) == 60
    assert "up to once\na minute" in OPERATIONS


def test_known_limits_come_before_the_guarantee_and_name_what_is_not_there() -> None:
    assert "Read\n[the known limits](known-limits.md) first" in DOCS["guarantee.md"]
    limits = DOCS["known-limits.md"]
    for word in (
        "Mentions",
        "Base64",
        "routing key",
        "floating point",
        "No erasure",
        "At least once",
        "Tansu",
    ):
        assert word in limits
