"""`alerts`: watch alerts, list what is open, silence what is known, test the sinks."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veilstream.cli.durations import seconds
from veilstream.cli.wiring import Json, print_json, print_table, run, settings

if TYPE_CHECKING:
    from veilstream.alerting.silences import Silence
    from veilstream.contracts import AlertSink

app = typer.Typer(no_args_is_help=True, help="Alerts about budgets.")

_COLOURS = {"info": "cyan", "warning": "yellow", "critical": "red"}

Tenants = Annotated[list[str] | None, typer.Option("--tenant", help="Only this tenant's; repeatable.")]
Severities = Annotated[
    list[str] | None, typer.Option("--severity", help="Only info, warning or critical; repeatable.")
]
Least = Annotated[str | None, typer.Option("--min-severity", help="Only these and worse.")]
Budgets = Annotated[
    list[str] | None, typer.Option("--budget", help="Only budgets like this, `acme/*` say; repeatable.")
]


@app.command()
def tail(
    tenant: Tenants = None,
    severity: Severities = None,
    min_severity: Least = None,
    budget: Budgets = None,
    group: Annotated[str | None, typer.Option(help="Go on where the last one of this name stopped.")] = None,
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the first alert that is kept.")
    ] = False,
    count: Annotated[int | None, typer.Option("-n", min=1, help="Stop after so many.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print alerts as they come, until Ctrl-C."""
    wanted = {
        "tenant": tenant or None,
        "severity": severity or None,
        "min_severity": min_severity,
        "budget": budget or None,
        "group": group,
        "from_beginning": beginning,
    }
    run(_tail(wanted, count, json))


async def _tail(wanted: dict[str, Any], count: int | None, json: bool) -> None:
    from contextlib import aclosing

    import orjson

    from veilstream.client import AlertSubscriber

    seen = 0
    # Closed before the event loop is, so that a group hears that its member has left, and how far it came.
    async with aclosing(aiter(AlertSubscriber(**wanted, settings=settings()))) as alerts:
        async for alert in alerts:
            if json:
                found = {name: value for name, value in asdict(alert).items() if value is not None}
                typer.echo(orjson.dumps(found))
            else:
                severity = typer.style(f"{alert.severity:<8}", fg=_COLOURS[alert.severity])
                typer.echo(f"{alert.time}  {severity}  {alert.state:<8}  {alert.summary}")
            seen += 1
            if count is not None and seen >= count:
                return


@app.command("list")
def list_(
    everything: Annotated[
        bool, typer.Option("--all", help="Those that have ended too, as far as the topic keeps them.")
    ] = False,
    tenant: Tenants = None,
    severity: Severities = None,
    min_severity: Least = None,
    budget: Budgets = None,
    json: Json = False,
) -> None:
    """What is open: firing alerts, and whether sinks are told of them."""
    from veilstream.client import AlertSubscriber

    # The subscriber's own filter, so that both choose alike, and refuse alike.
    choice = AlertSubscriber(
        tenant=tenant or None,
        severity=severity or None,
        min_severity=min_severity,
        budget=budget or None,
        settings=settings(),
    )
    found = [row for row in run(_list(everything)) if choice.wants(row)]
    if json:
        print_json({"alerts": found})
        return
    if not found:
        typer.echo("No alert is open." if not everything else "No alert is kept.")
        return
    _print_alerts(found)


async def _list(everything: bool) -> list[dict[str, Any]]:
    from veilstream.alerting.silences_topic import last_alerts, read_board

    current = settings()
    board = await read_board(current)
    alerts = await last_alerts(current.kafka) if everything else [k.alert for k in board.firing.values()]
    now = time.time()
    rows = []
    for alert in alerts:
        held = board.verdict(alert, now) if alert["state"] == "firing" else None
        rows.append({**alert, "held_back": held})
    return rows


def _print_alerts(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for column in ("severity", "state", "time", "budget", "summary", "fingerprint"):
        table.add_column(column, overflow="fold", no_wrap=column in ("severity", "budget"))
    worst = {"critical": 0, "warning": 1, "info": 2}
    for alert in sorted(found, key=lambda a: (a["state"] != "firing", worst[a["severity"]], a["time"])):
        colour = _COLOURS[alert["severity"]] if alert["state"] == "firing" else "green"
        state = alert["held_back"] or alert["state"]
        table.add_row(
            Text(alert["severity"], style=colour),
            *(Text(str(cell)) for cell in (state, alert["time"], alert["budget"], alert["summary"])),
            Text(alert["fingerprint"][:12], style="dim"),
        )
    Console().print(table)


@app.command()
def silence(
    matcher: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MATCHER...",
            help="FIELD=PATTERN of tenant, budget, rule, severity or fingerprint; all must match.",
        ),
    ] = None,
    duration: Annotated[
        float, typer.Option("--for", parser=seconds, metavar="DURATION", help="How long: 90s, 15m, 2h, 1d.")
    ] = 3600.0,
    comment: Annotated[str, typer.Option(help="Why; anyone who may read alerts can read it.")] = "",
    by: Annotated[str | None, typer.Option(help="Who; your login by default.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the silences that are or will be.")] = False,
    expire: Annotated[str | None, typer.Option(metavar="ID", help="End a silence now.")] = None,
    json: Json = False,
) -> None:
    """Keep sinks from being told of alerts for a while: `silence budget='acme/*' --for 2h --comment known`.

    The topic has them all the same. What still fires at the end is told then.
    """
    asked = [bool(matcher), show, expire is not None]
    if sum(asked) != 1:
        raise typer.BadParameter("takes matchers, or --list, or --expire ID: one of them")
    if show:
        _show_silences(json)
    elif expire is not None:
        _say_silence(run(_expire(expire)), "ends now", json)
    else:
        _say_silence(run(_silence(matcher or [], duration, comment, by)), "begins now", json)


async def _silence(matchers: list[str], duration: float, comment: str, by: str | None) -> Silence:
    from veilstream.alerting.silences import parse_matchers
    from veilstream.alerting.silences_topic import new_silence, write_silence

    made = new_silence(
        parse_matchers(matchers),
        starts=time.time(),
        seconds=duration,
        by=by or _login(),
        comment=comment,
    )
    await write_silence(settings().kafka, made)
    return made


async def _expire(silence_id: str) -> Silence:
    from veilstream.alerting.silences_topic import expire_silence

    return await expire_silence(settings(), silence_id, time.time())


def _say_silence(made: Silence, what: str, json: bool) -> None:
    value = made.to_value()
    if json:
        print_json(value)
        return
    matchers = " ".join(f"{field}={glob}" for field, glob in value["matchers"].items())
    typer.echo(f"Silence {made.id} {what} ({matchers}), until {value['ends']}.")


def _show_silences(json: bool) -> None:
    from veilstream.alerting.silences_topic import read_board

    board, now = run(read_board(settings())), time.time()
    found = sorted((s for s in board.silences.values() if s.ends > now), key=lambda s: s.ends)
    values = [
        {**s.to_value(), "alerts": sum(s.matcher.matches(known.alert) for known in board.firing.values())}
        for s in found
    ]
    if json:
        print_json({"silences": values})
    elif not values:
        typer.echo("Nothing is silenced.")
    else:
        rows = [
            (
                value["id"],
                " ".join(f"{field}={glob}" for field, glob in value["matchers"].items()),
                value["ends"],
                value["alerts"],
                value["by"],
                value["comment"],
            )
            for value in values
        ]
        print_table("Silences", ("id", "matchers", "ends", "open alerts", "by", "comment"), rows)


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "unknown"


@app.command("test")
def try_sinks(
    sink: Annotated[
        str | None, typer.Argument(help="Name of a sink; all that the settings name by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Send an alert that is marked as a test, and its end, straight to the sinks; exit 1 if one fails.

    Nothing is written to the topics.
    """
    from veilstream.alerting.sinks.registry import build_sinks
    from veilstream.errors import SettingInvalid

    sinks = build_sinks(settings())
    chosen = [one for one in sinks if sink in (None, one.name)]
    if not chosen:
        names = ", ".join(one.name for one in sinks)
        raise SettingInvalid(f"sink: got {sink!r:.40}; the settings name {names or 'none'}")
    results = run(_test(chosen))
    if json:
        print_json({"sinks": results})
    else:
        for row in results:
            mark = typer.style("taken", fg="green") if row["taken"] else typer.style("not taken", fg="red")
            typer.echo(f"{row['sink']:<14}{mark}  {row['error'] or ''}".rstrip())
    if not all(row["taken"] for row in results):
        raise typer.Exit(1)


async def _test(sinks: list[AlertSink]) -> list[dict[str, Any]]:
    import asyncio

    from veilstream.alerting.sinks.trial import trial

    return list(await asyncio.gather(*(trial(sink, time.time()) for sink in sinks)))
