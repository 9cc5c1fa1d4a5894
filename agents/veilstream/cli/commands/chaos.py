"""`chaos`: the whole path through every fault, on real brokers, and what it cost."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from veilstream.cli.wiring import Json, open_ledger, print_json, print_table, run


def chaos(
    seed: Annotated[int, typer.Option(help="Seed of the faults' order and of what each chooses.")] = 1,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long; the verdict comes after it.")] = 5.0,
    json: Json = False,
    faults: Annotated[str, typer.Option(help="Only these, comma-separated; `list` names them all.")] = "",
    delivery: Annotated[
        Literal["exactly_once", "at_least_once"] | None, typer.Option(help="Setting of the processors.")
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="Stop after so many faults; 0 goes by the minutes.")] = 0,
    rate: Annotated[float, typer.Option(min=1.0, help="Good records a second.")] = 120.0,
    keep: Annotated[Path | None, typer.Option(help="Folder for the logs of every process.")] = None,
    upgrade_from: Annotated[
        Path | None, typer.Option(help="Older checkout, to upgrade from in the middle.", exists=True)
    ] = None,
) -> None:
    """Kill, freeze, cut off and starve everything in turn; count what was lost, repeated or reordered.

    Exits 1 if a promise was broken.
    """
    from veilstream.bench.chaos import Options
    from veilstream.bench.chaos import run as make_chaos
    from veilstream.bench.chaos.faults import FAULTS

    if faults == "list":
        print_table(
            "faults",
            ("name", "what happens"),
            [(name, (fault.__doc__ or "").split("\n")[0]) for name, fault in FAULTS.items()],
        )
        return
    options = Options(
        seed=seed,
        minutes=minutes,
        faults=tuple(name.strip() for name in faults.split(",") if name.strip()),
        delivery=delivery,
        keep=keep.resolve() if keep else None,
        upgrade_from=upgrade_from,
        rate=rate,
        most_faults=most,
    )
    try:
        report = run(make_chaos(options, open_ledger, lambda line: print(line, file=sys.stderr, flush=True)))
    except asyncio.CancelledError:  # SIGTERM: all of it has been taken down
        raise SystemExit(143) from None
    figures = report.figures()
    if json:
        print_json(figures)
    else:
        print_table("chaos", ("", ""), [(key, value) for key, value in figures.items()])
    if not report.kept:
        raise typer.Exit(1)
