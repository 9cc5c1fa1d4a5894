"""The deployment files name what exists, pin what they run, and keep secrets out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from deploy.grafana import board
from veilstream.cli.app import app
from veilstream.cli.commands.worker import worker
from veilstream.embedded.kafka import KAFKA_VERSION
from veilstream.settings import Settings
from veilstream.telemetry.catalogue import METRICS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "config" / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("veilstream:")}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BOARD = json.loads((DEPLOY / "grafana/boards/veilstream.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text())
RECORDING = yaml.safe_load((DEPLOY / "prometheus/recording.yml").read_text())
RECORDED = {rule["record"] for group in RECORDING["groups"] for rule in group["rules"]}
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
ALERTMANAGER = yaml.safe_load((DEPLOY / "alertmanager/alertmanager.yml").read_text())
SCRAPES = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())

PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?[a-z0-9.-]*")


def _one_shot(service: dict[str, Any]) -> bool:
    return service.get("restart") == "no"


def test_there_is_a_service_for_every_part() -> None:
    assert set(SERVICES) == {
        "kafka", "store", "topics", "keys", "processor", "trainer", "alerting", "prometheus", "alertmanager",
        "grafana",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_services_watched(name: str) -> None:
    service = SERVICES[name]
    assert PINNED.fullmatch(service["image"]), service["image"]
    assert "latest" not in service["image"]
    check = service["healthcheck"]
    if _one_shot(service):
        assert check == {"disable": True}
    else:
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        # The trainer ends well when its budget is exhausted: started again it would only be refused again.
        assert service["restart"] == ("on-failure" if name == "trainer" else "unless-stopped")


def test_kafka_is_the_version_that_is_tested_with() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment_without_a_default(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|AUTH|STORE__URL", variable):
            assert re.search(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)), variable


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_are_waited_for_in_the_way_that_suits_them(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if _one_shot(SERVICES[other]) else "service_healthy"
        assert how["condition"] == expected


@pytest.mark.parametrize("name", OURS)
def test_commands_and_settings_of_our_roles_exist(name: str) -> None:
    command: Any = typer.main.get_command(app)
    for word in OURS[name]["command"]:
        if not hasattr(command, "commands"):
            break
        command = command.commands[word]
    if OURS[name]["command"][0] == "worker":
        hint = get_type_hints(worker)["role"]
        assert OURS[name]["command"][1] in get_args(hint)
    for variable in OURS[name]["environment"]:
        section, setting = variable.removeprefix("VEILSTREAM_").lower().split("__")
        tree = Settings.model_fields[section].annotation
        assert setting in tree.model_fields, variable  # type: ignore[union-attr]


def test_the_store_answers_only_for_what_is_on_disk() -> None:
    command = " ".join(SERVICES["store"]["command"])
    assert "--appendonly yes --appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
    assert SERVICES["store"]["volumes"]
    assert SERVICES["kafka"]["volumes"]


def test_alerting_gets_neither_keys_nor_store() -> None:
    assert "volumes" not in SERVICES["alerting"]
    assert "VEILSTREAM_STORE__URL" not in SERVICES["alerting"]["environment"]


def test_every_volume_is_declared_and_every_mounted_file_exists() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_prometheus_scrapes_every_role_at_its_port() -> None:
    scraped = {
        (name, entry["port"])
        for job in SCRAPES["scrape_configs"]
        for entry in job["dns_sd_configs"]
        for name in entry["names"]
    }
    served = {
        (name, service["environment"]["VEILSTREAM_TELEMETRY__PORT"])
        for name, service in OURS.items()
        if not _one_shot(service)
    }
    assert scraped == served
    assert len({port for _, port in served}) == len(served)


def test_the_image_is_pinned_and_runs_as_nobody_in_particular() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    assert set(bases) == {"python:3.11.14-slim-bookworm"}
    assert re.search(r"^USER veilstream$", DOCKERFILE, flags=re.MULTILINE)
    assert 'ENTRYPOINT ["veilstream"]' in DOCKERFILE
    assert "--constraint constraints.txt '.[all]'" in DOCKERFILE
    assert "/livez" in DOCKERFILE


def test_the_build_context_lets_in_sources_only() -> None:
    lines = [x for x in (ROOT / ".dockerignore").read_text().splitlines() if x and not x.startswith("#")]
    assert lines[0] == "*"
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M) for word in line.split()
    }
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def _series() -> set[str]:
    """What Prometheus calls our metrics."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {f"veilstream_{m.name}{suffix}" for m in METRICS.values() for suffix in suffixes[m.kind]}


def _expressions() -> list[str]:
    rules = [
        rule["expr"] for file in (RULES, RECORDING) for group in file["groups"] for rule in group["rules"]
    ]
    panels = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
    variables = [variable["query"]["query"] for variable in BOARD["templating"]["list"]]
    return [*rules, *panels, *variables]


@pytest.mark.parametrize("expression", sorted(set(_expressions())))
def test_metrics_and_labels_of_dashboard_and_rules_exist(expression: str) -> None:
    recorded = re.findall(r"budget:[\w:]+", expression)
    assert set(recorded) <= RECORDED
    scraped = re.sub(r"budget:[\w:]+", "", expression)
    for name, selector in re.findall(r"(veilstream_[a-z_]+)(?:\{([^}]*)\})?", scraped):
        assert name in _series(), name
        metric = re.sub("_(total|bucket|sum|count)$", "", name.removeprefix("veilstream_"))
        labels = METRICS[metric if metric in METRICS else name.removeprefix("veilstream_")].labels
        assert set(re.findall(r"([a-z]+)=", selector)) <= set(labels)
    jobs = {job["job_name"] for job in SCRAPES["scrape_configs"]}
    assert set(re.findall(r'job="([^"]+)"', expression)) <= jobs
    assert (
        recorded or "veilstream_" in scraped or "up{" in scraped or 'ALERTS{alertname=~"Veilstream' in scraped
    )


def test_every_public_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    text = " ".join(_expressions())
    public = [metric.name for metric in METRICS.values() if metric.audience == "public"]
    assert not [name for name in public if f"veilstream_{name}" not in text]


def test_the_dashboard_asks_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((DEPLOY / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    for panel in BOARD["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == source["uid"]
    identifiers = [panel["id"] for panel in BOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))
    (provider,) = yaml.safe_load((DEPLOY / "grafana/dashboards/veilstream.yml").read_text())["providers"]
    mounts = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts


def test_the_dashboard_is_as_its_description_makes_it() -> None:
    assert board.BOARD.read_text() == board.text(), "run: python config/deploy/grafana/board.py"


def test_the_dashboard_has_its_variables_and_draws_the_limits_that_ring() -> None:
    assert [variable["name"] for variable in BOARD["templating"]["list"]] == ["tenant", "budget"]
    drawn = {panel["title"]: _limits(panel) for panel in BOARD["panels"]}
    for long, alert in (("1h", "VeryFast"), ("6h", "Fast"), ("3d", "Steadily")):
        (limit,) = set(re.findall(r"> ([0-9.]+)", ALERTS[f"VeilstreamBudgetBurns{alert}"]["expr"]))
        (title,) = [title for title in drawn if title.startswith(f"Burn over {long} ")]
        assert drawn[title] == [float(limit)]
    shares = [
        float(ALERTS[f"VeilstreamBudget{name}"]["expr"].split(">=")[1])
        for name in ("HalfSpent", "NearlySpent", "AlmostExhausted")
    ]
    assert drawn["Share of the budget used"] == shares


def _limits(panel: dict[str, Any]) -> list[float]:
    steps = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", [])
    return [step["value"] for step in steps if step["value"] is not None]


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", ALERTS)
def test_every_prometheus_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"].values())
    path, anchor = rule["annotations"]["runbook_url"].split("#")
    sections = re.split(r"^### ", (ROOT / path).read_text(), flags=re.MULTILINE)
    (section,) = [text for text in sections if text.splitlines()[0] == anchor]
    assert f"`{name}`" in section


def test_alertmanager_knows_the_alerts_that_it_holds_back() -> None:
    own = {"budget-threshold", "budget-refused", "budget-burn-rate", "budget-projection", "budget-absence"}
    receivers = {receiver["name"] for receiver in ALERTMANAGER["receivers"]}
    routes = [ALERTMANAGER["route"], *ALERTMANAGER["route"]["routes"]]
    assert {route["receiver"] for route in routes} == receivers
    for rule in ALERTMANAGER["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, kind, value = re.fullmatch(r'(\w+)(=~?)"(.+)"', matcher).groups()  # type: ignore[union-attr]
            if label == "alertname":
                known = [name for name in {*ALERTS, *own} if re.fullmatch(value, name)]
                assert known if kind == "=~" else value in {*ALERTS, *own}, matcher


def test_the_table_of_alerts_in_the_document_is_that_of_the_rules() -> None:
    text = (ROOT / "docs/monitoring.md").read_text().split("\n## Alerts\n")[1]
    rows = [line for line in text.splitlines() if line.startswith("| `Veilstream")]
    assert rows == [_row(rule) for rule in ALERTS.values()]


def _row(rule: dict[str, Any]) -> str:
    """The alert, when it rings, how bad it is, its runbook."""
    expression = " ".join(rule["expr"].split()).replace("|", "\\|")
    lasting = f" for {rule['for']}" if "for" in rule else ""
    anchor = rule["annotations"]["runbook_url"].split("#")[1]
    runbook = f"[{anchor}](operations.md#{anchor})"
    return f"| `{rule['alert']}` | {rule['labels']['severity']} | `{expression}`{lasting} | {runbook} |"
