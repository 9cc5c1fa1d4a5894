"""`produce`: send a file of logs to the raw topic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from veilstream.cli.wiring import Json, LogFile, LogFormat, print_json, run, settings


def produce(
    file: LogFile = None,
    format: LogFormat = "jsonl",
    tenant: Annotated[str | None, typer.Option(help="Tenant; the setting worker.tenant by default.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="The person whom all of these records are about.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many lines.")] = None,
    json: Json = False,
) -> None:
    """Send logs to Kafka, each acknowledged. A line that is wrong is named by its number and not sent."""
    result = run(_produce(file, format, tenant, subject, limit))
    if json:
        print_json(result)
    else:
        typer.echo(f"sent {result['sent']}, refused {result['refused']}")
    if result["refused"]:
        raise typer.Exit(1)


async def _produce(
    file: Path | None, format: str, tenant: str | None, subject: str | None, limit: int | None
) -> dict[str, int]:
    from rich.console import Console
    from rich.progress import Progress

    from veilstream.cli.lines import read_lines
    from veilstream.client import LogProducer
    from veilstream.errors import RecordInvalid
    from veilstream.events.adapters import ADAPTERS
    from veilstream.events.codec import loads

    current = settings()
    tenant = tenant or current.worker.tenant
    adapter = ADAPTERS[format]
    sent = refused = 0
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("sending", total=limit)
        async with LogProducer(tenant=tenant, settings=current) as logs:
            for number, line in enumerate(read_lines(file, limit), start=1):
                try:
                    events = adapter.read(loads(line), tenant=tenant, subject=subject)
                    for event in events:
                        await logs.send_event(event)
                    sent += len(events)
                except RecordInvalid as error:
                    refused += 1
                    print(f"veilstream: line {number}: {error}", file=sys.stderr)
                progress.advance(task)
    return {"sent": sent, "refused": refused}
