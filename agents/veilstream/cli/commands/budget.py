"""`budget`: create, list and raise budgets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from veilstream.cli.wiring import Json, key_provider, open_ledger, print_json, print_table, run, settings

app = typer.Typer(no_args_is_help=True, help="Privacy budgets: what may be learned, in ε and δ.")

Name = Annotated[str, typer.Argument(help="Name of the budget.")]


@app.command()
def create(
    name: Name,
    epsilon: Annotated[float, typer.Option(help="ε: the whole budget, for its whole life.")],
    delta: Annotated[float, typer.Option(help="δ: well below one over the number of people.")] = 1e-6,
    tenant: Annotated[str | None, typer.Option(help="Tenant; the setting worker.tenant by default.")] = None,
    order: Annotated[
        list[float] | None,
        typer.Option(help="Rényi order, up to 8 times; chosen for the worker's settings by default."),
    ] = None,
    mode: Annotated[
        Literal["odometer", "individual"],
        typer.Option(help="Stop when the public odometer is full, or go on for people who have room."),
    ] = "odometer",
    json: Json = False,
) -> None:
    """Create a budget. The same again changes nothing; other figures under the same name are refused."""
    created, windows = run(_create(name, tenant, epsilon, delta, order, mode))
    if json:
        print_json(created)
        return
    orders = ", ".join(map(str, created["orders"]))
    typer.echo(
        f"budget {name} of {created['tenant']}: ε {epsilon:g}, δ {delta:g}, order {orders}, mode {mode}"
    )
    typer.echo(
        f"windows of the present worker settings that fit: {windows} (`veilstream train --dry-run`)"
        if windows
        else "no window of the present worker settings fits: more noise or fewer steps make it cheaper"
    )


async def _create(
    name: str, tenant: str | None, epsilon: float, delta: float, orders: list[float] | None, mode: str
) -> tuple[dict[str, Any], int]:
    from veilstream.accounting import best_order, cost
    from veilstream.transport import ensure_topics

    current = settings()
    worker = current.worker
    owner = tenant or worker.tenant
    key_provider(current).tenant(owner)  # a budget is for ever: none for a name that nobody has
    window = (worker.sampling_rate, worker.noise_multiplier, worker.steps)
    chosen = orders or [best_order(epsilon, delta, *window)]
    await ensure_topics(current.kafka)
    async with open_ledger(current) as (ledger, relay):
        created = await ledger.create_budget(
            name, tenant=owner, epsilon=epsilon, delta=delta, orders=chosen, mode=mode
        )
        await relay.drain()
        budget = await ledger.budget(name)
        price = cost(epsilon, delta, budget.orders, *window, spent=budget.spent, horizon=0)
        return created, price.windows


@app.command("raise")
def raise_(
    name: Name,
    epsilon: Annotated[float, typer.Option(help="The new ε, above the old one.")],
    json: Json = False,
) -> None:
    """Raise a budget's ε: a journalled event that everyone sees."""
    raised = run(_raise(name, epsilon))
    print_json(raised) if json else typer.echo(f"budget {name}: ε is now {epsilon:g}")


async def _raise(name: str, epsilon: float) -> dict[str, Any]:
    async with open_ledger(settings()) as (ledger, relay):
        raised = await ledger.raise_budget(name, epsilon)
        await relay.drain()
        return raised


@app.command("list")
def list_(json: Json = False) -> None:
    """Every budget, with what is spent on the public odometer."""
    rows = run(_list())
    if json:
        print_json(rows)
        return
    print_table(
        "budgets",
        ("budget", "tenant", "ε", "spent", "share", "δ", "mode", "seq"),
        [
            (
                r["budget"], r["tenant"], f"{r['epsilon']:g}", f"{r['epsilon_spent']:.3f}",
                f"{r['fraction']:.0%}", f"{r['delta']:g}", r["mode"], r["seq"],
            )
            for r in rows
        ],
    )  # fmt: skip


async def _list() -> list[dict[str, Any]]:
    async with open_ledger(settings()) as (ledger, _):
        return [await ledger.show(name) for name in await ledger.budgets()]
