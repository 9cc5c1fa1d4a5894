"""`topics`: the topic catalogue on the broker."""

from __future__ import annotations

import typer

from veilstream.cli.wiring import Json, print_json, print_table, run, settings

app = typer.Typer(no_args_is_help=True, help="The topic catalogue: create it, check it, list it.")


@app.command()
def create(json: Json = False) -> None:
    """Create the topics that are missing and check the rest."""
    _ensure(create=True, json=json)


@app.command()
def check(json: Json = False) -> None:
    """Check that every topic is there as the catalogue says; change nothing."""
    _ensure(create=False, json=json)


def _ensure(*, create: bool, json: bool) -> None:
    from veilstream.transport import ensure_topics

    report = run(ensure_topics(settings().kafka, create=create))
    if json:
        print_json(
            {
                "created": list(report.created),
                "verified": list(report.verified),
                "warnings": list(report.warnings),
            }
        )
        return
    typer.echo(f"created {len(report.created)}, verified {len(report.verified)}")
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command("list")
def list_(json: Json = False) -> None:
    """What the catalogue holds."""
    from veilstream.events.topics import CATALOGUE, topic_name

    kafka = settings().kafka
    rows = [
        (topic_name(kafka, t.short), t.key, t.cleanup, t.retention, t.readers) for t in CATALOGUE.values()
    ]
    names = ("topic", "key", "cleanup", "retention", "readers")
    if json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table("topics", names, rows)
