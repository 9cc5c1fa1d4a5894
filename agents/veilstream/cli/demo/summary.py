"""What a person is told at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from veilstream.cli.demo.result import Result

__all__ = ["print_summary"]

_BROKERS = {
    "kafka": "Apache Kafka 4, one node, on this machine",
    "tansu": "Tansu, in memory: no idempotent producer, nothing survives a restart",
}


def print_summary(result: Result) -> None:
    console = Console()
    if result.example:
        before, after = result.example
        console.print(Panel(_shorten(before), title="a record before", border_style="red"))
        console.print(Panel(_shorten(after), title="the same record, protected", border_style="green"))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    quarantined = (
        f", {result.records_quarantined} in quarantine (encrypted)" if result.records_quarantined else ""
    )
    table.add_row("protected", f"{result.records_protected} of {result.records_in} records{quarantined}")
    if result.leaked is not None:
        verdict = "none is left" if result.leaked == 0 else f"[red]{result.leaked} leaked[/red]"
        table.add_row("personal data", f"{result.planted} values planted; {verdict} outside the raw topic")
    _budget_rows(table, result)
    for alert in result.alerts:
        table.add_row("alert", f"[yellow]{escape(alert['severity'])}[/yellow]: {escape(alert['summary'])}")
    _model_rows(table, result)
    if result.restarts:
        table.add_row("restarts", f"{result.restarts} processes ended and were started again")
    table.add_row("broker", _BROKERS[result.broker])
    table.add_row("took", f"{result.seconds:.0f} s")
    console.print(Panel(table, title="veilstream demo", border_style="blue"))


def _budget_rows(table: Table, result: Result) -> None:
    if not result.budget_events:
        return
    last = result.budget_events[-1]
    left = max(0.0, last["epsilon"] - result.epsilon_max)
    table.add_row(
        "privacy budget",
        f"ε {result.epsilon_max:.2f} of {last['epsilon']:g} spent, {left:.2f} left (δ {last['delta']:g}), "
        f"in {len(result.releases)} releases",
    )
    table.add_row("", ProgressBar(total=1.0, completed=min(1.0, last["fraction"]), width=40))


def _model_rows(table: Table, result: Result) -> None:
    if not result.releases:
        return
    newest = result.releases[-1]
    folder = _short(result.data / "releases")
    table.add_row("model", f"{newest['model']}, release {newest['release']}, in {folder}")
    load = "from veilstream.client import load_release; print(load_release().card)"
    command = f"VEILSTREAM_DATA_DIR={_short(result.data)} {_short(Path(sys.executable))} -c {load!r}"
    table.add_row("load it", f"[dim]{escape(command)}[/dim]")


def _short(path: Path) -> Path:
    """Relative to where we are, where that is shorter."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _shorten(value: dict[str, Any]) -> str:
    """The first turns of a record, as a person reads them."""
    lines = []
    for message in value["messages"][:6]:
        for part in message["parts"]:
            if part["type"] == "text":
                what = part["content"]
            elif part["type"] == "tool_call":
                what = f"{part['name']}({part.get('arguments')})"
            else:
                what = f"{part.get('response', part)}"
            lines.append(f"[bold]{escape(message['role']):<10}[/bold] {escape(str(what)[:300])}")
    return "\n".join(lines)
