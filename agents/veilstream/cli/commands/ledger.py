"""`ledger`: what was spent on what, and whether store and journal agree."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from veilstream.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The ledger: what was paid, by whom, and the proof.")


Unsigned = Annotated[
    bool,
    typer.Option("--unsigned", help="Believe budgets of the first version, whose entries nobody signed."),
]


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
    from veilstream.errors import JournalBroken, LedgerDiffers
    from veilstream.ledger import verify as check
    from veilstream.transport import KafkaJournal

    current = settings()
    provider = key_provider(current)
    async with open_ledger(current) as (ledger, relay):
        await relay.drain()
        try:
            report = await check(ledger, KafkaJournal(current.kafka), provider)
        except (LedgerDiffers, JournalBroken) as error:
            await _tell(current, {"signal": "ledger_differs", "detail": error.message[:500]})
            raise
        await _tell(current, {"signal": "ledger_verified"})
        return report


async def _tell(current: Settings, signal: dict[str, Any]) -> None:
    """To the operators' topic, which has an alert on it; the command's own answer does not depend on it."""
    from veilstream.errors import BrokerUnavailable
    from veilstream.transport import send_signals

    with suppress(BrokerUnavailable):
        await send_signals(current.kafka, "veilstream/ledger", signal)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not be there.", dir_okay=False)],
    unsigned: Unsigned = False,
    json: Json = False,
) -> None:
    """Write the journal to a file, checked. People stay encrypted: back up the key folder apart from it."""
    try:
        report = run(_backup(file, unsigned))
    except FileExistsError:
        raise typer.BadParameter("the file is there already: name another", param_hint="FILE") from None
    print_json(report) if json else typer.echo(
        f"written to {file}: {report['budgets']} budgets, {report['entries']} entries"
    )


async def _backup(file: Path, unsigned: bool) -> dict[str, Any]:
    from veilstream.ledger import LedgerOpener
    from veilstream.ledger import backup as write
    from veilstream.transport import KafkaJournal

    current = settings()
    async with open_ledger(current) as (_, relay):
        await relay.drain()
    return await write(
        KafkaJournal(current.kafka), file, LedgerOpener(key_provider(current)), unsigned=unsigned
    )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.", exists=True, dir_okay=False)],
    unsigned: Unsigned = False,
    json: Json = False,
) -> None:
    """Write a backup to a journal that is empty. `veilstream ledger rebuild` then makes the store from it."""
    report = run(_restore(file, unsigned))
    print_json(report) if json else typer.echo(
        f"restored: {report['budgets']} budgets, {report['entries']} entries; now `veilstream ledger rebuild`"
    )


async def _restore(file: Path, unsigned: bool) -> dict[str, Any]:
    from veilstream.ledger import LedgerOpener
    from veilstream.ledger import restore as write
    from veilstream.transport import KafkaJournal, ensure_topics

    current = settings()
    await ensure_topics(current.kafka)
    async with KafkaJournal(current.kafka) as journal:
        return await write(file, journal, LedgerOpener(key_provider(current)), unsigned=unsigned)


@app.command()
def rebuild(
    force: Annotated[
        bool, typer.Option("--force", help="Replace what the store holds of the ledger.")
    ] = False,
    unsigned: Unsigned = False,
    json: Json = False,
) -> None:
    """Make the store's ledger again from the journal."""
    report = run(_rebuild(force, unsigned))
    print_json(report) if json else typer.echo(
        f"rebuilt: {report['budgets']} budgets from {report['entries']} entries"
    )


async def _rebuild(force: bool, unsigned: bool) -> dict[str, Any]:
    from veilstream.ledger import Ledger
    from veilstream.ledger import rebuild as make_again
    from veilstream.transport import KafkaJournal

    current = settings()
    provider = key_provider(current)
    async with open_store(current) as store:
        ledger = Ledger(store, provider.ledger(), provider=provider)
        return await make_again(ledger, KafkaJournal(current.kafka), provider, force=force, unsigned=unsigned)
