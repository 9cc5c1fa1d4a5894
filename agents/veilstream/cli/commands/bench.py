"""`bench`: one command a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilstream.cli.wiring import Json, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Benchmarks, each against its peer in the same run.")


@app.callback()
def root() -> None:
    pass


@app.command()
def protect(
    input: Annotated[
        Path | None,
        typer.Option(
            help="Dialogues (JSONL, .gz too); seeded conversations by default.", exists=True, dir_okay=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Records to protect.")] = 200,
    repeat: Annotated[int, typer.Option(min=2, help="Repetitions, for the spread.")] = 5,
    json: Json = False,
) -> None:
    """Protect records on one core, against stock Presidio patterns and against decoding alone."""
    from veilstream.bench.protect import measure
    from veilstream.cli.demo.records import demo_records

    records = [value for value, _ in demo_records(input, limit, seed=1, tenant="bench")]
    result = measure(records, repeat)
    if json:
        print_json(result)
    else:
        print_table("protect", ("", ""), [(key, value) for key, value in result.items()])
