"""`keys`: the root keys of tenants, operator and ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from veilstream.cli.wiring import Json, key_provider, print_json, print_table, settings

app = typer.Typer(
    no_args_is_help=True, help="Root keys: one a tenant, one for the operator, one for the ledger."
)


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Tenant id: lower case letters, digits, hyphens.")],
    json: Json = False,
) -> None:
    """Make a tenant's key (and the operator's and the ledger's, the first time). Never overwrites one."""
    current = settings()
    key_provider(current).ensure(tenant)
    if json:
        print_json({"tenant": tenant, "folder": str(current.keys_folder)})
    else:
        typer.echo(f"keys of {tenant}, operator and ledger are in {current.keys_folder}: back the folder up")


@app.command("list")
def list_(json: Json = False) -> None:
    """Whose keys there are; never the keys."""
    tenants = list(key_provider(settings()).tenants())
    if json:
        print_json({"tenants": tenants})
    else:
        print_table("keys", ("tenant",), [(tenant,) for tenant in tenants])
