"""`budget`: create, list and raise budgets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from veilstream.cli.wiring import Json, open_ledger, print_json, print_table, run, settings

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
    created = run(_create(name, tenant, epsilon, delta, order, mode))
    print_json(created) if json else typer.echo(
        f"budget {name}: ε {epsilon:g}, δ {delta:g}, orders {created['orders']}, mode {mode}"
    )


async def _create(
    name: str, tenant: str | None, epsilon: float, delta: float, orders: list[float] | None, mode: str
) -> dict[str, Any]:
    from veilstream.transport import ensure_topics

    current = settings()
    worker = current.worker
    chosen = orders or [
        _best_order(epsilon, delta, worker.sampling_rate, worker.noise_multiplier, worker.steps)
    ]
    await ensure_topics(current.kafka)
    async with open_ledger(current) as (ledger, relay):
        created = await ledger.create_budget(
            name, tenant=tenant or worker.tenant, epsilon=epsilon, delta=delta, orders=chosen, mode=mode
        )
        await relay.drain()
        return created


def _best_order(epsilon: float, delta: float, rate: float, noise_multiplier: float, steps: int) -> int:
    """The Rényi order at which most windows of these parameters fit."""
    from veilstream.accounting import MAX_ORDER, cost

    def windows(order: int) -> int:
        return cost(epsilon, delta, (order,), rate, noise_multiplier, steps, horizon=0).windows

    return max(range(2, MAX_ORDER + 1), key=windows)


@app.command("raise")
def raise_(name: Name, epsilon: Annotated[float, typer.Option(help="The new ε, above the old one.")]) -> None:
    """Raise a budget's ε: a journalled event that everyone sees."""
    run(_raise(name, epsilon))
    typer.echo(f"budget {name}: ε is now {epsilon:g}")


async def _raise(name: str, epsilon: float) -> None:
    async with open_ledger(settings()) as (ledger, relay):
        await ledger.raise_budget(name, epsilon)
        await relay.drain()


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
