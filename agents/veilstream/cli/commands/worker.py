"""`worker`: run a role until it is told to stop."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from veilstream.cli.wiring import run, settings


def worker(
    role: Annotated[
        Literal["protect", "train", "alerting"],
        typer.Argument(
            help="protect: the stream processor; train: the training worker; alerting: budget alerts."
        ),
    ] = "protect",
) -> None:
    """Run a role in the foreground; SIGTERM stops it cleanly. Start more processes to share partitions."""
    from veilstream.telemetry import logs

    current = settings()
    logs.configure(current.telemetry.log_level)
    if role == "protect":
        from veilstream.processors.run import run_protect

        run_protect(current)
    elif role == "alerting":
        from veilstream.alerting import run_alerting

        run(run_alerting(current))
    else:
        from veilstream.cli.commands.train import train_role

        train_role(current)
