"""`models`: what was released, and getting it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilstream.cli.wiring import Json, print_json, print_table, run, settings

app = typer.Typer(no_args_is_help=True, help="Released models and their cards.")


@app.command("list")
def list_(json: Json = False) -> None:
    """Every release on the releases topic."""
    from veilstream.client import list_releases

    releases = run(list_releases(settings()))
    if json:
        print_json(releases)
        return
    print_table(
        "releases",
        ("release", "tenant", "model", "created", "ε spent", "δ"),
        [
            (r["release"], r["tenant"], r["model"], r["created"],
             f"{r['card']['epsilon_spent']:.3f}", f"{r['card']['delta']:g}")
            for r in releases
        ],
    )  # fmt: skip


@app.command()
def pull(
    release: Annotated[str, typer.Argument(help="Id of the release.")],
    destination: Annotated[Path, typer.Argument(help="Folder to write model.safetensors and card.json to.")],
    json: Json = False,
) -> None:
    """Check, decrypt and write a release."""
    from veilstream.client import pull_release

    path = pull_release(release, destination, settings=settings())
    print_json({"written": str(path)}) if json else typer.echo(f"written: {path}")
