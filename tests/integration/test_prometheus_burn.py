"""Debian's Prometheus and Alertmanager, our metrics, the shipped rules: a burn fires, and resolves.

The rules' durations are divided by `prometheus_world.HASTE`, their expressions are the shipped ones. The
odometer burns through the real metrics code, served by the real page of a role.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml  # type: ignore[import-untyped]

from monitoring import PROMETHEUS
from prometheus_world import HASTE, Receiver, alertmanager, ask, hastened, prometheus, tell, until
from veilstream.alerting.sinks.alertmanager import AlertmanagerSink
from veilstream.events.cloudevents import now
from veilstream.telemetry import metrics
from veilstream.telemetry.health import Health

BUDGET = "burning/support"
FAST = "VeilstreamBudgetBurnsVeryFast"


class Odometer:
    """A budget that charges spend, as alerting shows it."""

    def __init__(self, budget: str) -> None:
        self._budget = budget
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._burn, daemon=True)
        metrics.gauge("budget_epsilon", budget=budget).set(8)
        metrics.gauge("budget_info", budget=budget, tenant="burning", parent="burning", mode="odometer").set(
            1
        )
        metrics.counter(
            "budget_burned", budget=budget
        )  # 0 from the beginning, so that the first charge shows
        self._show(0.1)

    def _show(self, fraction: float) -> None:
        self.fraction = fraction
        metrics.gauge("budget_fraction", budget=self._budget).set(fraction)
        metrics.gauge("budget_epsilon_spent", budget=self._budget).set(8 * fraction)

    def burn(self) -> None:
        """A charge of 1/2000 of the budget five times a second, from now on."""
        self._thread.start()

    def _burn(self) -> None:
        while not self._stop.wait(0.2):
            metrics.counter("budget_burned", budget=self._budget).inc(0.0005)
            metrics.counter("budget_events", budget=self._budget, event="charged").inc()
            self._show(self.fraction + 0.0005)

    def rest(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def jump(self, fraction: float) -> None:
        """A raise or a correction: the share is another, and nothing is charged."""
        self._show(fraction)

    def close(self) -> None:
        self.rest()
        for name in ("budget_epsilon", "budget_epsilon_spent", "budget_fraction"):
            metrics.gauge(name).remove(self._budget)
        metrics.gauge("budget_info").clear()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def alertmanager_url(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[str]:
    with alertmanager(tmp_path_factory.mktemp("monitoring") / "alertmanager", receiver) as url:
        yield url


@pytest.fixture
def odometer() -> Iterator[Odometer]:
    made = Odometer(BUDGET)
    yield made
    made.close()


@pytest.fixture
def prometheus_url(tmp_path: Path, alertmanager_url: str, odometer: Odometer) -> Iterator[str]:
    health = Health("alerting")
    port = health.serve("127.0.0.1", 0)
    with prometheus(tmp_path / "prometheus", {"veilstream-alerting": port}, alertmanager_url) as url:
        yield url
    health.close()


def _alerts(url: str, **labels: str) -> list[dict[str, Any]]:
    """What Alertmanager holds with these labels, inhibited ones among them."""
    filters = [("filter", f'{name}="{value}"') for name, value in labels.items()]
    found: list[dict[str, Any]] = ask(f"{url}/api/v2/alerts?{urlencode(filters)}")
    return found


def test_haste_changes_durations_and_nothing_else() -> None:
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    (lag,) = [r for g in hastened(rules)["groups"] for r in g["rules"] if r.get("alert") == "VeilstreamLag"]
    assert lag["for"] == "5000ms"
    assert lag["expr"] == "sum by (topic) (veilstream_consumer_lag) > 10000"
    recording = yaml.safe_load((PROMETHEUS / "recording.yml").read_text())
    (pace,) = [r for r in hastened(recording)["groups"][0]["rules"] if r["record"].endswith(":rate5m")]
    assert (
        pace["expr"].split("*")[0].strip() == "sum by (budget) (rate(veilstream_budget_burned_total[2500ms]))"
    )
    assert HASTE == 120


async def test_a_burn_fires_in_alertmanager_and_resolves(
    prometheus_url: str, alertmanager_url: str, receiver: Receiver, odometer: Odometer
) -> None:
    at_work = f"{prometheus_url}/api/v1/query?query=budget:veilstream_budget_burn:rate1h"
    until(lambda: ask(at_work)["data"]["result"], "the pace is recorded", seconds=15)
    assert receiver.statuses(budget=BUDGET) == []

    odometer.burn()
    until(lambda: "firing" in receiver.statuses(alertname=FAST, budget=BUDGET), "it fires", seconds=20)
    (alert,) = _alerts(alertmanager_url, alertname=FAST, budget=BUDGET)
    assert alert["status"]["state"] == "active"
    assert alert["labels"]["severity"] == "critical"
    assert alert["annotations"]["runbook_url"] == "docs/operations.md#budget-burn-rate"
    # The slower burn is true as well, and held back.
    (slower,) = _alerts(alertmanager_url, alertname="VeilstreamBudgetBurnsFast", budget=BUDGET)
    assert slower["status"]["inhibitedBy"]

    odometer.rest()
    until(lambda: "resolved" in receiver.statuses(alertname=FAST, budget=BUDGET), "it resolves", seconds=20)
    until(lambda: not _alerts(alertmanager_url, alertname=FAST, budget=BUDGET), "it is gone", seconds=10)
    assert receiver.statuses(alertname=FAST, budget=BUDGET)[0] == "firing"
    burned = ask(f'{prometheus_url}/api/v1/query?query=veilstream_budget_fraction{{budget="{BUDGET}"}}')
    assert float(burned["data"]["result"][0]["value"][1]) > 0.1

    # A raise, or a refresh: the odometer goes back, and that is no burn.
    odometer.jump(0.01)
    share = f"{prometheus_url}/api/v1/query?" + urlencode({"query": "budget:veilstream_budget_fraction:max"})
    until(lambda: _value(ask(share)) == 0.01, "the raise is seen", seconds=10)
    pace = ask(f"{prometheus_url}/api/v1/query?query=budget:veilstream_budget_burn:rate5m")
    assert _value(pace) == 0
    assert _alerts(alertmanager_url, alertname=FAST, budget=BUDGET) == []


def _value(answer: dict[str, Any]) -> float | None:
    """The value for our budget in an answer of Prometheus."""
    for series in answer["data"]["result"]:
        if series["metric"]["budget"] == BUDGET:
            return float(series["value"][1])
    return None


async def test_our_sink_tells_alertmanager_and_takes_it_back(
    alertmanager_url: str, receiver: Receiver
) -> None:
    sink = AlertmanagerSink(alertmanager_url)
    labels = {"alertname": "budget-threshold", "tenant": "acme", "budget": "acme/support"}

    await sink.deliver(_alert("firing"))
    (alert,) = _alerts(alertmanager_url, **labels)
    assert alert["status"]["state"] == "active"
    assert alert["labels"]["severity"] == "warning"
    assert alert["labels"]["fingerprint"] == "f" * 32
    assert alert["annotations"]["summary"] == "Budget acme/support: 80 % is used"
    until(lambda: receiver.statuses(**labels) == ["firing"], "a person is told", seconds=15)

    await sink.deliver(_alert("resolved"))
    until(lambda: not _alerts(alertmanager_url, **labels), "it is gone", seconds=15)
    until(lambda: receiver.statuses(**labels) == ["firing", "resolved"], "a person is told", seconds=15)


async def test_what_our_alerting_says_need_not_be_said_by_prometheus_too(alertmanager_url: str) -> None:
    """Held back while ours fires, if it is as severe and of the same budget, else not."""
    for budget, alertname, severity in (
        ("acme/support", "VeilstreamBudgetNearlySpent", "warning"),
        ("acme/tools", "VeilstreamBudgetAlmostExhausted", "critical"),
        ("acme/sales", "VeilstreamBudgetNearlySpent", "warning"),
    ):
        tell(alertmanager_url, {"alertname": alertname, "severity": severity, "budget": budget})
    sink = AlertmanagerSink(alertmanager_url)
    for budget in ("acme/tools", "acme/support"):
        await sink.deliver({**_alert("firing"), "budget": budget, "fingerprint": budget})
    until(lambda: _inhibited(alertmanager_url, "acme/support"), "it is held back", seconds=10)
    assert not _inhibited(alertmanager_url, "acme/tools")
    assert not _inhibited(alertmanager_url, "acme/sales")


def _inhibited(url: str, budget: str) -> bool:
    (alert,) = [
        alert
        for alert in _alerts(url, budget=budget)
        if alert["labels"]["alertname"].startswith("Veilstream")
    ]
    ours = {alert["fingerprint"] for alert in _alerts(url, budget=budget, alertname="budget-threshold")}
    return bool(ours & set(alert["status"]["inhibitedBy"]))


def _alert(state: str) -> dict[str, Any]:
    return {
        "fingerprint": "f" * 32,
        "rule": "budget-threshold",
        "severity": "warning",
        "state": state,
        "tenant": "acme",
        "budget": "acme/support",
        "seq": 7,
        "time": now(),
        "summary": "Budget acme/support: 80 % is used",
        "description": "What it means.",
        "runbook": "docs/operations.md#budget-threshold",
        "epsilon": 8.0,
        "epsilon_spent": 6.4,
        "fraction": 0.8,
        "threshold": 0.8,
    }
