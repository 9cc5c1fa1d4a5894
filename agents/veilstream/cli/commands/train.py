"""`train`: the continual training worker, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from veilstream.cli.wiring import Json, open_ledger, print_json, print_table, run, settings

if TYPE_CHECKING:
    from veilstream.settings import Settings


def train(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost and train nothing.")
    ] = False,
    windows: Annotated[int | None, typer.Option(min=1, help="Stop after so many windows.")] = None,
    json: Json = False,
) -> None:
    """Learn from the protected stream, a window at a time, each paid for before it is trained."""
    if json and not dry_run:
        raise typer.BadParameter("training prints its log; this goes with --dry-run", param_hint="--json")
    current = settings()
    if dry_run:
        _show_cost(run(_cost(current)), json)
        return
    from veilstream.telemetry import logs

    logs.configure(current.telemetry.log_level)
    if windows is not None:
        worker = current.worker.model_copy(update={"max_windows": windows})
        current = current.model_copy(update={"worker": worker})
    train_role(current)


def train_role(current: Settings) -> None:
    from veilstream.worker import run_worker

    run(run_worker(current))


async def _cost(current: Settings) -> dict[str, Any]:
    from veilstream.worker.dry_run import dry_run

    async with open_ledger(current) as (ledger, _):
        return await dry_run(current, ledger)


def _show_cost(cost: dict[str, Any], json: bool) -> None:
    if json:
        print_json(cost)
    else:
        print_table("what training would cost", ("", ""), list(cost.items()))
