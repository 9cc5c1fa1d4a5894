"""`alerts`: watch the budget's alerts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from veilstream.cli.wiring import run, settings

app = typer.Typer(no_args_is_help=True, help="Alerts about budgets.")


@app.command()
def tail(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    severity: Annotated[str | None, typer.Option(help="Only info, warning or critical.")] = None,
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the first alert that is kept.")
    ] = False,
    count: Annotated[int | None, typer.Option("-n", min=1, help="Stop after so many.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print alerts as they come, until Ctrl-C."""
    run(_tail(tenant, severity, beginning, count, json))


async def _tail(
    tenant: str | None, severity: str | None, beginning: bool, count: int | None, json: bool
) -> None:
    import orjson

    from veilstream.client import AlertSubscriber

    seen = 0
    subscriber = AlertSubscriber(
        tenant=tenant, severity=severity, from_beginning=beginning, settings=settings()
    )
    async for alert in subscriber:
        if json:
            typer.echo(orjson.dumps(asdict(alert)))
        else:
            typer.echo(f"{alert.time}  {alert.severity:<8}  {alert.state:<8}  {alert.summary}")
        seen += 1
        if count is not None and seen >= count:
            return
