"""`budget`: create, list, raise, correct, freeze and refresh budgets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from veilstream.cli.durations import duration, seconds
from veilstream.cli.wiring import Json, key_provider, open_ledger, print_json, print_table, run, settings

if TYPE_CHECKING:
    from veilstream.ledger import Ledger

app = typer.Typer(no_args_is_help=True, help="Privacy budgets: what may be learned, in ε and δ.")


def _names() -> list[str]:
    """For the shell's completion: nothing where the store does not answer."""
    try:
        return [row["budget"] for row in run(_list())]
    except Exception:
        return []


Name = Annotated[
    str,
    typer.Argument(
        help="Name of the budget: tenant, tenant/purpose or tenant/purpose/model.", autocompletion=_names
    ),
]
By = Annotated[
    str | None, typer.Option(help="Who does it, as the journal names them; your login by default.")
]


@app.command()
def create(
    name: Name,
    epsilon: Annotated[float, typer.Option(help="ε: the whole budget, for its life or for each period.")],
    delta: Annotated[
        float | None,
        typer.Option(help="δ: well below one over the number of people. The parent's, or 1e-6."),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Tenant; the parent's, or the setting worker.tenant.")
    ] = None,
    order: Annotated[
        list[float] | None,
        typer.Option(help="Rényi order, up to 8 times; the parent's, or chosen for the worker's settings."),
    ] = None,
    mode: Annotated[
        Literal["odometer", "individual"],
        typer.Option(help="Stop when the public odometer is full, or go on for people who have room."),
    ] = "odometer",
    refresh: Annotated[
        float | None,
        typer.Option(
            parser=seconds,
            metavar="DURATION",
            help="Length of a period (30d, 12h, …) after which nothing counts as spent: the guarantee is "
            "then one for each period, and k periods cost k times. A lifetime by default.",
        ),
    ] = None,
    block: Annotated[
        float | None,
        typer.Option(
            parser=seconds,
            metavar="DURATION",
            help="The unit is a record and not a person (weaker): windows are charged to blocks of time of "
            "this length.",
        ),
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """Create a budget. The same again changes nothing; other figures under the same name are refused.

    A name with a slash stands under the budget before the last slash, within that one's ε.
    """
    created, windows = run(_create(name, tenant, epsilon, delta, order, mode, refresh, block, by))
    if json:
        print_json(created)
        return
    orders = ", ".join(map(str, created["orders"]))
    typer.echo(
        f"budget {name} of {created['tenant']}: ε {epsilon:g}, δ {created['delta']:g}, order {orders}, "
        f"mode {mode}"
    )
    if created.get("parent"):
        typer.echo(f"under {created['parent']}: what is charged here is charged there too")
    if refresh:
        typer.echo(
            f"begins anew every {refresh:g} seconds: (ε, δ) for each period; k periods together are (kε, kδ)"
        )
    if block:
        typer.echo(
            "unit: one record. What many records of a person say together is not protected by this budget"
        )
    typer.echo(
        f"windows of the present worker settings that fit: {windows} (`veilstream train --dry-run`)"
        if windows
        else "no window of the present worker settings fits: more noise or fewer steps make it cheaper"
    )


async def _create(
    name: str,
    tenant: str | None,
    epsilon: float,
    delta: float | None,
    orders: list[float] | None,
    mode: str,
    refresh: float | None,
    block: float | None,
    by: str | None,
) -> tuple[dict[str, Any], int]:
    from veilstream.accounting import best_order, cost
    from veilstream.transport import ensure_topics

    current = settings()
    worker = current.worker
    window = (worker.sampling_rate, worker.noise_multiplier, worker.steps)
    await ensure_topics(current.kafka)
    async with open_ledger(current, by=by) as (ledger, relay):
        if "/" in name:
            parent = await ledger.budget(name.rpartition("/")[0])
            owner, share = tenant or parent.tenant, parent.delta if delta is None else delta
            chosen = list(orders or parent.orders)
            block = parent.block_seconds if block is None else block
        else:
            owner, share = tenant or worker.tenant, 1e-6 if delta is None else delta
            chosen = list(orders or [best_order(epsilon, share, *window)])
        key_provider(current).tenant(owner)  # a budget is for ever: none for a name that nobody has
        created = await ledger.create_budget(
            name, tenant=owner, epsilon=epsilon, delta=share, orders=chosen, mode=mode,
            refresh_seconds=refresh, block_seconds=block,
        )  # fmt: skip
        await relay.drain()
        path = await ledger.path(name)
        left = min(
            cost(b.epsilon, b.delta, b.orders, *window, spent=b.spent, horizon=0).windows for b in path
        )
        return created, left


@app.command("raise")
def raise_(
    name: Name,
    epsilon: Annotated[float, typer.Option(help="The new ε, above the old one, at most the parent's.")],
    by: By = None,
    json: Json = False,
) -> None:
    """Raise a budget's ε: a journalled event that everyone sees."""
    raised = run(_change(lambda ledger: ledger.raise_budget(name, epsilon), by))
    print_json(raised) if json else typer.echo(f"budget {name}: ε is now {epsilon:g}")


@app.command()
def freeze(name: Name, by: By = None, json: Json = False) -> None:
    """Freeze a budget: nothing is charged to it, nor to those below. What is paid for may be released."""
    frozen = run(_change(lambda ledger: ledger.freeze_budget(name), by))
    print_json(frozen) if json else typer.echo(f"budget {name}: frozen")


@app.command()
def unfreeze(name: Name, by: By = None, json: Json = False) -> None:
    """Let a frozen budget be charged again."""
    thawed = run(_change(lambda ledger: ledger.freeze_budget(name, False), by))
    print_json(thawed) if json else typer.echo(f"budget {name}: no longer frozen")


@app.command()
def correct(
    name: Name,
    noise_multiplier: Annotated[
        float, typer.Option(min=1e-6, help="σ of the release outside of the ledger.")
    ],
    steps: Annotated[int, typer.Option(min=1, help="Its steps.")] = 1,
    sampling_rate: Annotated[
        float, typer.Option(min=1e-9, max=1.0, help="Its Poisson rate; 1 without sampling.")
    ] = 1.0,
    by: By = None,
    json: Json = False,
) -> None:
    """Enter a release made outside of the ledger: everyone counts as having spent it, here and above."""
    corrected = run(_correct(name, sampling_rate, noise_multiplier, steps, by))
    print_json(corrected) if json else typer.echo(
        f"budget {name}: ε spent is now {corrected['epsilon_spent']:.3f} of {corrected['epsilon']:g}"
    )


async def _correct(name: str, q: float, noise: float, steps: int, by: str | None) -> dict[str, Any]:
    from veilstream.accounting import window_charges

    async def change(ledger: Ledger) -> dict[str, Any]:
        orders = (await ledger.budget(name)).orders
        return await ledger.correct_budget(name, window_charges(orders, q, noise, steps))

    return await _change(change, by)


@app.command()
def refresh(json: Json = False) -> None:
    """Begin the periods that are due. Relays and charges do it by themselves."""
    names = run(_refresh())
    print_json(names) if json else typer.echo(f"periods begun: {', '.join(names) or 'none was due'}")


async def _refresh() -> list[str]:
    async with open_ledger(settings()) as (ledger, relay):
        names = await ledger.refresh_due()
        await relay.drain()
        return names


async def _change(change: Callable[[Ledger], Awaitable[dict[str, Any]]], by: str | None) -> dict[str, Any]:
    async with open_ledger(settings(), by=by) as (ledger, relay):
        changed = await change(ledger)
        await relay.drain()
        return changed


@app.command("list")
def list_(json: Json = False) -> None:
    """Every budget, as a tree, with what is spent on the public odometer."""
    rows = run(_list())
    if json:
        print_json(rows)
        return
    print_table(
        "budgets",
        ("budget", "ε", "spent", "share", "δ", "mode", "period", "state"),
        [
            (
                r["budget"], f"{r['epsilon']:g}", f"{r['epsilon_spent']:.3f}", f"{r['fraction']:.0%}",
                f"{r['delta']:g}", r["mode"] + (", by record" if r.get("unit") == "record" else ""),
                duration(r["refresh_seconds"]) if "refresh_seconds" in r else "life",
                "frozen" if r.get("frozen") else "exhausted" if r["exhausted"] else "open",
            )
            for r in rows
        ],
    )  # fmt: skip


async def _list() -> list[dict[str, Any]]:
    async with open_ledger(settings()) as (ledger, _):
        return [await ledger.show(name) for name in await ledger.budgets()]
