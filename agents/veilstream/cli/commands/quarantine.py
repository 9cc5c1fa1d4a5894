"""`quarantine`: what could not be processed, and sending it again."""

from __future__ import annotations

from typing import Annotated

import typer

from veilstream.cli.wiring import Json, key_provider, print_json, print_table, run, settings

app = typer.Typer(no_args_is_help=True, help="Records that could not be processed: encrypted, none lost.")

Place = Annotated[str, typer.Argument(help="PARTITION:OFFSET in the quarantine topic, as `list` shows it.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """Where and why; nothing of the content."""
    from veilstream.processors.quarantine import list_quarantine

    rows = run(list_quarantine(settings()))
    if json:
        print_json(rows)
        return
    print_table(
        "quarantine",
        ("place", "tenant", "kind", "path", "time"),
        [(r["place"], r["tenant"] or "operator", r["kind"], r["path"], r["time"]) for r in rows],
    )


@app.command()
def show(place: Place) -> None:
    """Decrypt one record and print it. It holds personal data: for the tenant's officer."""
    from veilstream.processors.quarantine import show_quarantined

    print_json(run(show_quarantined(settings(), key_provider(settings()), place)))


@app.command()
def replay(
    place: Annotated[str | None, typer.Argument(help="PARTITION:OFFSET; all by default.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only errors of this kind.")] = None,
    json: Json = False,
) -> None:
    """Send quarantined records to the raw topic again, as they were; after a fix."""
    from veilstream.processors.quarantine import replay_quarantined

    count = run(replay_quarantined(settings(), key_provider(settings()), place=place, kind=kind))
    print_json({"replayed": count}) if json else typer.echo(f"replayed {count}")
