"""`ledger`: what was spent on what, and whether store and journal agree."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from veilstream.cli.wiring import (
    Json,
    key_provider,
    open_ledger,
    open_store,
    print_json,
    print_table,
    run,
    settings,
)

app = typer.Typer(no_args_is_help=True, help="The ledger: what was paid, by whom, and the proof.")


@app.command()
def show(budget: Annotated[str, typer.Argument(help="Name of the budget.")], json: Json = False) -> None:
    """A budget's state and its public events."""
    state, events = run(_show(budget))
    if json:
        print_json({"budget": state, "events": events})
        return
    print_table(budget, ("", ""), [(key, value) for key, value in state.items()])
    print_table(
        "events",
        ("seq", "time", "event", "ε spent", "share", "what"),
        [
            (e["seq"], e["time"], e["event"], f"{e['epsilon_spent']:.3f}", f"{e['fraction']:.0%}",
             e.get("model", "") or e.get("reason", ""))
            for e in events
        ],
    )  # fmt: skip


async def _show(budget: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from veilstream.events.codec import loads
    from veilstream.events.topics import topic_name
    from veilstream.transport import read_to_end

    current = settings()
    async with open_ledger(current) as (ledger, _):
        state = await ledger.show(budget)
    events: dict[int, dict[str, Any]] = {}
    async for record in read_to_end(current.kafka, topic_name(current.kafka, "budget.events")):
        if record.key == budget.encode():
            event = loads(record.value)
            events.setdefault(event["seq"], event)
    return state, [events[seq] for seq in sorted(events)]


@app.command()
def verify(json: Json = False) -> None:
    """Check the journal's sequence and hash chain, and that the store holds what it says. Exits 1 if not."""
    report = run(_verify())
    print_json(report) if json else typer.echo(
        f"verified: {report['budgets']} budgets, {report['entries']} entries; store and journal agree"
    )


async def _verify() -> dict[str, Any]:
    from veilstream.ledger import verify as check
    from veilstream.transport import KafkaJournal

    current = settings()
    provider = key_provider(current)
    async with open_ledger(current) as (ledger, relay):
        await relay.drain()
        return await check(ledger, KafkaJournal(current.kafka), provider)


@app.command()
def rebuild(
    force: Annotated[
        bool, typer.Option("--force", help="Replace what the store holds of the ledger.")
    ] = False,
    json: Json = False,
) -> None:
    """Make the store's ledger again from the journal."""
    report = run(_rebuild(force))
    print_json(report) if json else typer.echo(
        f"rebuilt: {report['budgets']} budgets from {report['entries']} entries"
    )


async def _rebuild(force: bool) -> dict[str, Any]:
    from veilstream.ledger import Ledger
    from veilstream.ledger import rebuild as make_again
    from veilstream.transport import KafkaJournal

    current = settings()
    provider = key_provider(current)
    async with open_store(current) as store:
        ledger = Ledger(store, provider.ledger(), provider=provider)
        return await make_again(ledger, KafkaJournal(current.kafka), provider, force=force)
