"""The Grafana dashboard, described once.

    python config/deploy/grafana/board.py          write boards/veilstream.json
    python config/deploy/grafana/board.py --check  exit 1 where it differs

Where a row shows what only operators may know, its heading says so: Grafana stands inside the boundary of the
guarantee.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deploy.grafana.shapes import Panel, Query, Row, Step, panels, plot, variable

__all__ = ["BOARD", "ROWS", "build", "text"]

BOARD = Path(__file__).parent / "boards" / "veilstream.json"

_BUDGET = '{budget=~"$budget"}'
_GREEN, _YELLOW, _ORANGE, _RED = "green", "yellow", "orange", "red"

_SHARE: tuple[Step, ...] = ((None, _GREEN), (0.5, _YELLOW), (0.8, _ORANGE), (0.95, _RED))


def _burn(long: str, short: str, factor: float, what: str) -> Panel:
    return Panel(
        f"Burn over {long} and {short}",
        f"Multiples of the even pace; both above {factor:g} ring: {what} of a budget of 30 days in {long}. "
        "A raise, a refresh or a restart of alerting is no burn.",
        (
            Query(f"budget:veilstream_budget_burn:rate{long}{_BUDGET}", f"{{{{budget}}}} {long}"),
            Query(f"budget:veilstream_budget_burn:rate{short}{_BUDGET}", f"{{{{budget}}}} {short}"),
        ),
        steps=((None, _GREEN), (factor, _RED)),
    )


def _left(window: str) -> str:
    """Seconds until the odometer is full at the mean pace of the window; nothing where nothing burns."""
    return (
        f"(1 - budget:veilstream_budget_fraction:max{_BUDGET})"
        f" * budget:veilstream_budget_period:seconds{_BUDGET}"
        f" / (budget:veilstream_budget_burn:rate{window}{_BUDGET} > 0)"
    )


def _hourly(by: str, counter: str) -> tuple[str, str]:
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return f"sum by ({by}) (increase({counter}[1h]))", legend


def _each_second(by: str, counter: str) -> tuple[str, str]:
    return f"sum by ({by}) (rate({counter}[5m]))", f"{{{{{by}}}}}"


def _quantile(q: float, histogram: str, window: str, by: str = "") -> tuple[str, str]:
    labels = f"le, {by}" if by else "le"
    legend = f"p{100 * q:.0f}" + (f" {{{{{by}}}}}" if by else "")
    return f"histogram_quantile({q}, sum by ({labels}) (rate({histogram}_bucket[{window}])))", legend


_FRACTION = f"budget:veilstream_budget_fraction:max{_BUDGET}"
_SPENT = f"max by (budget) (veilstream_budget_epsilon_spent{_BUDGET})"
_EPSILON = f"max by (budget) (veilstream_budget_epsilon{_BUDGET})"

_TREE = Panel(
    "The tree of budgets",
    "Tenant, purpose, model: a budget below another spends that one's, too, so read down the paths. The last "
    "two columns are the ends of the spread: at the pace of three days, of one.",
    (
        Query('max by (budget, tenant, mode) (veilstream_budget_info{tenant=~"$tenant", budget=~"$budget"})'),
        Query(_FRACTION),
        Query(_SPENT),
        Query(_EPSILON),
        Query(f"max by (budget) (veilstream_budget_refresh_seconds{_BUDGET})"),
        Query(f"max by (budget) (veilstream_budget_frozen{_BUDGET})"),
        Query(f"budget:veilstream_budget_burn:rate1h{_BUDGET}"),
        Query(_left("3d")),
        Query(_left("1d")),
    ),
    kind="table",
    width=24,
    height=9,
    columns={
        "budget": "Budget",
        "tenant": "Tenant",
        "mode": "Mode",
        "Value #B": "Used",
        "Value #C": "ε spent",
        "Value #D": "ε",
        "Value #E": "Period",
        "Value #F": "Frozen",
        "Value #G": "Burn, 1 h",
        "Value #H": "Full in, pace of 3 d",
        "Value #I": "Full in, pace of 1 d",
    },
    units={
        "Used": "percentunit",
        "Period": "s",
        "Frozen": "bool_yes_no",
        "Full in, pace of 3 d": "s",
        "Full in, pace of 1 d": "s",
    },
    sort="Budget",
)

_OPEN = Panel(
    "Open now",
    "What Prometheus's rules say; Alertmanager shows these and veilstream's own.",
    (Query('ALERTS{alertname=~"Veilstream.*", alertstate="firing"}'),),
    kind="table",
    width=24,
    height=7,
    columns={
        "alertname": "Alert",
        "severity": "Severity",
        "budget": "Budget",
        "job": "Role",
        "instance": "Instance",
        "sink": "Sink",
    },
    sort="Severity",
)

_BUDGETS = Row(
    "Budgets (public odometer)",
    (
        _TREE,
        plot(
            "Share of the budget used",
            "What the thresholds stand on: the least over the Rényi orders of spent by cap.",
            (_FRACTION, "{{budget}}"),
            kind="bargauge",
            unit="percentunit",
            greatest=1,
            steps=_SHARE,
        ),
        plot(
            "Share used, over time",
            "Steps down are raises and refreshes.",
            (_FRACTION, "{{budget}}"),
            unit="percentunit",
            greatest=1,
            steps=_SHARE,
            stairs=True,
        ),
        plot(
            "ε spent and ε",
            "ε of the public odometer against the budget's ε. A step up of the limit is a raise.",
            (_SPENT, "spent {{budget}}"),
            (_EPSILON, "limit {{budget}}"),
            stairs=True,
        ),
        _burn("1h", "5m", 14.4, "2 %"),
        _burn("6h", "30m", 6, "5 %"),
        _burn("3d", "6h", 1, "10 %"),
        plot(
            "Projected in three days",
            "Share that will be used in three days, or at the end of the period where that is nearer: a line "
            "at the mean pace of a day, and of three. Both at 1 ring.",
            (f"budget:veilstream_budget_projected:rate3d{_BUDGET}", "{{budget}} 3d"),
            (f"budget:veilstream_budget_projected:rate1d{_BUDGET}", "{{budget}} 1d"),
            unit="percentunit",
            steps=((None, _GREEN), (1, _RED)),
        ),
        plot(
            "Charges, refusals and the rest",
            "Budget events, an hour each.",
            _hourly("event", f"veilstream_budget_events_total{_BUDGET}"),
        ),
        plot("Releases", "Models released, an hour each.", _hourly("model", "veilstream_releases_total")),
    ),
)

_ALERTS = Row(
    "Alerts",
    (
        _OPEN,
        plot(
            "Budget alerts fired and resolved",
            "By veilstream's own alerting, an hour each.",
            _hourly("rule, state", "veilstream_alerts_total"),
        ),
        plot(
            "Sinks: failed deliveries",
            "Deliveries that a sink refused, an hour each; they are tried again. Inside the boundary.",
            _hourly("sink", "veilstream_alert_delivery_failures_total"),
        ),
        plot(
            "Sinks: what they are not told",
            "Alerts that wait; that a silence or an inhibition holds back; that a sink will never take.",
            ("max by (sink) (veilstream_alert_delivery_waiting)", "{{sink}} waiting"),
            ("max by (sink) (veilstream_alert_delivery_held)", "{{sink}} held"),
            ("max by (sink) (veilstream_alert_delivery_refused)", "{{sink}} refused"),
        ),
    ),
)

_LEDGER = Row(
    "Ledger (inside the boundary)",
    (
        plot(
            "Charges by outcome",
            "An hour each.",
            _hourly("outcome", f"veilstream_ledger_charges_total{_BUDGET}"),
            width=12,
        ),
        plot(
            "Outbox",
            "Entries that the relay has not moved to the journal. No window starts before its own is there.",
            (f"max by (budget) (veilstream_ledger_outbox{_BUDGET})", "{{budget}}"),
            width=12,
        ),
    ),
)

_PROTECTION = Row(
    "Protection (inside the boundary)",
    (
        plot(
            "Records by outcome",
            "Records a second that left the processors.",
            _each_second("outcome", "veilstream_records_processed_total"),
            unit="reqps",
        ),
        plot(
            "Quarantine by kind",
            "Records a second sent to quarantine.",
            _each_second("kind", "veilstream_record_errors_total"),
            unit="reqps",
        ),
        plot(
            "Personal data found",
            "Findings a second, by kind.",
            _each_second("kind", "veilstream_findings_total"),
            unit="reqps",
        ),
        plot(
            "Lag",
            "Records of the raw topic that wait to be protected.",
            ("sum by (topic, partition) (veilstream_consumer_lag)", "{{topic}} {{partition}}"),
        ),
        plot(
            "Batch time",
            "From taking a batch to its acknowledgement.",
            _quantile(0.5, "veilstream_batch_seconds", "5m"),
            _quantile(0.95, "veilstream_batch_seconds", "5m"),
            unit="s",
        ),
        plot(
            "Roles",
            "1 where Prometheus reads the role's metrics.",
            ('up{job=~"veilstream-.*"}', "{{job}} {{instance}}"),
            greatest=1,
            stairs=True,
        ),
    ),
)

_LEARNING = Row(
    "Learning (inside the boundary)",
    (
        plot(
            "Training time",
            "Of a window, median.",
            _quantile(0.5, "veilstream_training_seconds", "1h", by="model"),
            unit="s",
        ),
        plot(
            "People and records in the last window",
            "Exact counts: for operators only.",
            ("veilstream_window_people", "people {{model}}"),
            _hourly("outcome", "veilstream_window_records_total"),
        ),
        plot(
            "Loss on private data",
            "For operators only: a decision taken on it is not covered by the guarantee.",
            ("veilstream_training_loss", "{{model}}"),
        ),
    ),
)

ROWS = (_BUDGETS, _ALERTS, _LEDGER, _PROTECTION, _LEARNING)


def build() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    return {
        "uid": "veilstream",
        "title": "veilstream",
        "tags": ["veilstream"],
        "timezone": "utc",
        "schemaVersion": 41,
        "version": 2,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                variable("tenant", "Tenant", "label_values(veilstream_budget_info, tenant)", ".*"),
                variable(
                    "budget", "Budget", 'label_values(veilstream_budget_info{tenant=~"$tenant"}, budget)'
                ),
            ]
        },
        "annotations": {"list": []},
        "panels": list(panels(ROWS)),
    }


def text() -> str:
    """`build()` as it stands in the file."""
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """0; or 1 where `--check` finds a difference."""
    if arguments == ["--check"]:
        same = BOARD.read_text() == text()
        print("as committed" if same else f"{BOARD.name} differs: run {Path(__file__).name}")
        return 0 if same else 1
    BOARD.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
