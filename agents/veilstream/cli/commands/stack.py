"""`up`, `down`, `doctor`: the broker and the store of one machine, and what is wrong with a set-up."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from veilstream.cli.wiring import Json, print_json, print_table, run, settings

Broker = Annotated[
    Literal["auto", "kafka", "tansu"],
    typer.Option(help="Kafka where Java is there, else Tansu (in memory); or say which."),
]


def up(broker: Broker = "auto", json: Json = False) -> None:
    """Start a broker and a store on loopback, in the data folder, and leave them running."""
    from dataclasses import asdict

    from rich.console import Console

    from veilstream.embedded import up as start

    current = settings()
    with Console(stderr=True).status("starting the broker and the store"):
        state = asdict(start(current.data_dir, broker))
        run(_prepare())
    if json:
        print_json(state)
    else:
        print_table(
            "running",
            ("what", "where"),
            [(state["broker"], state["bootstrap"]), ("store", state["store_url"])],
        )
        typer.echo(f"data: {current.data_dir}\nstop with: veilstream down")


async def _prepare() -> None:
    from veilstream.keys import FileKeyProvider
    from veilstream.transport import ensure_topics

    current = settings()  # again: `up` has written the endpoints
    FileKeyProvider(current.keys_folder).ensure(current.worker.tenant)
    await ensure_topics(current.kafka)


def down(json: Json = False) -> None:
    """Stop what `up` started; the data stays (Tansu keeps none)."""
    from veilstream.embedded import down as stop

    stopped = stop(settings().data_dir)
    if json:
        print_json({"stopped": stopped})
    else:
        typer.echo("stopped" if stopped else "nothing was running")


def doctor(json: Json = False) -> None:
    """Check extras, Java, broker, topics, store and keys; say what to do. Exits 1 if anything is wrong."""
    from veilstream.cli.checks import diagnose

    checks = run(diagnose(settings()))
    if json:
        result: dict[str, Any] = {"ok": all(c.ok for c in checks), "checks": [c.as_dict() for c in checks]}
        print_json(result)
    else:
        print_table(
            "doctor",
            ("", "check", "found", "what to do"),
            [("ok" if c.ok else "!!", c.name, c.found, c.advice) for c in checks],
        )
    if not all(c.ok for c in checks):
        raise typer.Exit(1)
