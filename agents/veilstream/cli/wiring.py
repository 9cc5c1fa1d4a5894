"""How commands get what they need: settings, keys, the store, the ledger; and how they print."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import orjson
import typer

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from veilstream.keys import FileKeyProvider
    from veilstream.ledger import Ledger, Relay
    from veilstream.settings import Settings

__all__ = [
    "Json",
    "LogFile",
    "LogFormat",
    "key_provider",
    "open_ledger",
    "open_store",
    "print_json",
    "print_table",
    "run",
    "settings",
]

T = TypeVar("T")
LogFile = Annotated[
    Path | None,
    typer.Argument(help="File to read (.gz too); standard input by default.", exists=True, dir_okay=False),
]
LogFormat = Annotated[
    Literal["openai", "otel", "dialogue", "jsonl"],
    typer.Option(
        help="What a line is: OpenAI chat messages, OTLP JSON spans, a dialogue, or any JSON object."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")
]


def settings() -> Settings:
    # Imported here: the settings tree alone would be a third of the time that `--help` takes.
    from veilstream.settings import load_settings

    return load_settings()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C is the shell's 130, not a traceback."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)  # what a row is about can be copied
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))  # as it is: `veilstream[all]` is no markup
    Console().print(table)


def key_provider(current: Settings) -> FileKeyProvider:
    from veilstream.keys import FileKeyProvider

    return FileKeyProvider(current.keys_folder)


@asynccontextmanager
async def open_store(current: Settings) -> AsyncIterator[Redis]:
    """A store client that has answered; StoreUnavailable with one line of what to do if it does not."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    from veilstream.errors import StoreUnavailable

    client = Redis.from_url(
        current.store.url.get_secret_value(), socket_timeout=current.store.timeout_seconds
    )
    try:
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(
                f"the store does not answer ({type(error).__name__})",
                hint="start it with `veilstream up`, or set VEILSTREAM_STORE__URL",
            ) from None
        yield client
    finally:
        await client.aclose()


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user of this number
        return "unknown"


@asynccontextmanager
async def open_ledger(current: Settings, *, by: str | None = None) -> AsyncIterator[tuple[Ledger, Relay]]:
    """The ledger and a relay that moves its outbox to Kafka. `by` is who acts; the login by default."""
    from veilstream.ledger import Ledger, Relay
    from veilstream.transport import KafkaJournal

    provider = key_provider(current)
    async with open_store(current) as store:
        ledger = Ledger(
            store, provider.ledger(), provider=provider, by=by or _login(), replicas=current.store.replicas
        )
        yield ledger, Relay(ledger, KafkaJournal(current.kafka), owner="cli")
