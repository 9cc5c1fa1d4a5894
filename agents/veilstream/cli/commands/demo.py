"""`demo`: the whole path on this machine, from an agent's log line to a model under budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from veilstream.cli.wiring import Json, print_json, run


def demo(
    input: Annotated[
        Path | None,
        typer.Option(
            help="Dialogues (JSONL, .gz too), each a person; seeded conversations by default.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many dialogues.")] = 600,
    json: Json = False,
    dump: Annotated[
        Path | None, typer.Option(help="Folder for what was planted and what topics hold.")
    ] = None,
    broker: Annotated[
        Literal["auto", "kafka", "tansu"],
        typer.Option(help="Kafka where Java is there, else Tansu; or say which."),
    ] = "auto",
    data: Annotated[Path, typer.Option(help="Folder of broker, keys and models; emptied first.")] = Path(
        ".veilstream/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of our own conversations.")] = 1,
    processors: Annotated[int, typer.Option(min=1, max=4, help="Processor processes.")] = 2,
    windows: Annotated[int, typer.Option(min=1, max=20, help="Training windows.")] = 3,
    window_seconds: Annotated[float, typer.Option(min=5.0, help="Length of a window, in seconds.")] = 15.0,
) -> None:
    """Run everything once: protect a stream, learn from it under a budget, see an alert."""
    from veilstream.cli.demo.plan import Plan
    from veilstream.cli.demo.show import show
    from veilstream.cli.demo.summary import print_summary

    plan = Plan(
        input=input, limit=limit, dump=dump, broker=broker, data=data, seed=seed,
        processors=processors, windows=windows, window_seconds=window_seconds,
    )  # fmt: skip
    result = run(show(plan, quiet=json))
    if json:
        print_json(result.figures())
    else:
        print_summary(result)
    if result.leaked:
        raise typer.Exit(1)
