"""`redact`: a filter without Kafka."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from veilstream.cli.wiring import LogFile, LogFormat


def redact(
    file: LogFile = None,
    format: LogFormat = "jsonl",
    policy: Annotated[str, typer.Option(help="Policy preset, or path of a policy file.")] = "strict",
    tenant: Annotated[
        str | None, typer.Option(help="Use this tenant's key, so that pseudonyms are those of the stream.")
    ] = None,
) -> None:
    """Redact lines: a line out for a line in, same shape, same order.

    Without --tenant pseudonyms hold within this run only. A line that cannot be read becomes an error object
    that names where and why, never what; then the exit status is 1.
    """
    from veilstream.cli.lines import open_lines
    from veilstream.detection import PatternEngine
    from veilstream.protection import Protector, Tokens, load_policy, redact_lines

    protector = Protector(PatternEngine(), load_policy(policy))
    tokens = Tokens(_root(tenant))
    broken = 0
    with open_lines(file) as source:
        for line, ok in redact_lines(source, format=format, protector=protector, tokens=tokens):
            broken += not ok
            sys.stdout.buffer.write(line.rstrip(b"\n") + b"\n")
            sys.stdout.buffer.flush()
    if broken:
        typer.echo(
            f"veilstream: {broken} {'line' if broken == 1 else 'lines'} could not be read; "
            "see the error objects in the output",
            err=True,
        )
        raise typer.Exit(1)


def _root(tenant: str | None):  # type: ignore[no-untyped-def]
    import os

    from veilstream.cli.wiring import key_provider, settings
    from veilstream.contracts import RootKey

    if tenant is not None:
        return key_provider(settings()).tenant(tenant)
    return RootKey(id="tenant/this-run", version=1, material=os.urandom(32))
