"""Broker and store together, in one data folder.

    <data_dir>/kafka/          Kafka's records, settings and log (Tansu: its output only)
    <data_dir>/valkey/         the store's append-only file
    <data_dir>/endpoints.toml  where they listen; `veilstream.settings` reads it, so every command finds them
    <data_dir>/run.json        which processes run, with what tells each from a later one of the same pid

A `Stack` belongs to the command that starts it and ends with it. `up` leaves one running, `down` ends it. One
data folder has one stack at a time: a second store on the same file would destroy it.

With Tansu the topics are gone when it stops, the journal too; the store, which knows what was spent, stays.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import orjson

from veilstream.embedded.kafka import LocalKafka, kafka_available
from veilstream.embedded.processes import end, identity, is_running
from veilstream.embedded.service import Broker, Service
from veilstream.embedded.tansu import LocalTansu
from veilstream.embedded.valkey import LocalValkey
from veilstream.errors import SettingInvalid

__all__ = ["BrokerChoice", "Stack", "StackStatus", "down", "status", "up"]

BrokerChoice = Literal["auto", "kafka", "tansu"]
Kind = Literal["kafka", "tansu"]


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What runs in a data folder."""

    broker: Kind
    bootstrap: str
    idempotence: bool
    store_url: str
    broker_running: bool
    store_running: bool
    left_by_up: bool  # else it belongs to a command
    owned: bool  # that command still runs

    @property
    def running(self) -> bool:
        """Both run."""
        return self.broker_running and self.store_running

    @property
    def anything_running(self) -> bool:
        return self.broker_running or self.store_running


class Stack:
    """A broker and a store, as a context manager or with `start` and `stop`. Start it in the main thread."""

    def __init__(
        self,
        data_dir: Path,
        broker: BrokerChoice = "auto",
        *,
        detached: bool = False,
        cache_dir: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.kind: Kind = _choose(broker, cache_dir)
        self._detached = detached
        self._broker: Broker = (
            LocalKafka(self.data_dir / "kafka", cache_dir=cache_dir, detached=detached)
            if self.kind == "kafka"
            else LocalTansu(self.data_dir / "tansu", detached=detached)
        )
        self._store = LocalValkey(self.data_dir / "valkey", detached=detached)

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    @property
    def idempotence(self) -> bool:
        return self._broker.idempotence

    @property
    def store_url(self) -> str:
        return self._store.url

    def start(self) -> Self:
        """Start both, wait until both answer, and write where they listen.

        Raises:
            SettingInvalid: a stack runs in this folder already.
            BrokerUnavailable, StoreUnavailable, MissingExtra: say what is missing; nothing is left running.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.data_dir):
            now = status(self.data_dir)
            if now is not None and now.anything_running:
                if now.owned or now.left_by_up:
                    raise SettingInvalid(
                        f"a stack runs in {self.data_dir} already",
                        hint="use it, end it with `veilstream down`, or set data_dir to another folder",
                    )
                # Its command was killed, and where there is no PR_SET_PDEATHSIG, it stayed.
                down(self.data_dir)
            try:
                self._store.launch()
                self._broker.launch()
                self._remember()  # before they answer: a crash of ours must not hide them from `down`
                self._store.wait_ready()
                self._broker.wait_ready()
                _write(self.data_dir / "endpoints.toml", self._endpoints())
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """End both and forget where they were. Nothing where they do not run."""
        (self.data_dir / "endpoints.toml").unlink(missing_ok=True)
        try:
            self._broker.stop()
        finally:
            self._store.stop()
        (self.data_dir / "run.json").unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _remember(self) -> None:
        described = {
            "kind": self.kind,
            "idempotence": self.idempotence,
            "owner": None if self._detached else {"pid": os.getpid(), "known_as": identity(os.getpid())},
            "broker": _describe(self._broker, self._broker.bootstrap),
            "store": _describe(self._store, self._store.url),
        }
        _write(self.data_dir / "run.json", orjson.dumps(described, option=orjson.OPT_INDENT_2).decode())

    def _endpoints(self) -> str:
        return (
            "# Written by veilstream while its own broker and store run.\n"
            f'[kafka]\nbootstrap = "{self.bootstrap}"\nidempotence = {str(self.idempotence).lower()}\n\n'
            f'[store]\nurl = "{self.store_url}"\n'
        )


def up(data_dir: Path, broker: BrokerChoice = "auto", *, cache_dir: Path | None = None) -> StackStatus:
    """Start a stack and leave it running; where one runs already, change nothing.

    What is left of one that half died is ended first.

    Raises:
        SettingInvalid: one with another broker runs, or one that belongs to another command.
        BrokerUnavailable, StoreUnavailable, MissingExtra: as `Stack.start`.
    """
    now = status(data_dir)
    if now is not None and now.running and (now.owned or now.left_by_up):
        if now.owned or broker not in ("auto", now.broker):
            raise SettingInvalid(
                f"a stack with {now.broker} runs in {data_dir} already",
                hint="end it first (`veilstream down`), or set data_dir to another folder",
            )
        return now
    down(data_dir)
    Stack(data_dir, broker, detached=True, cache_dir=cache_dir).start()
    started = status(data_dir)
    if started is None:
        raise SettingInvalid(f"{data_dir / 'run.json'} is gone", hint="another process removed it: try again")
    return started


def down(data_dir: Path) -> bool:
    """End what `up` left running: those very processes, and no other that has their pid now.

    True where something was ended. A stack that belongs to a running command is left alone; what is left of
    one whose command was killed is ended too, and its files are removed.
    """
    remembered = _remembered(data_dir)
    if remembered is None or _owned(remembered):
        return False
    (data_dir / "endpoints.toml").unlink(missing_ok=True)
    ended = False
    for part, grace_seconds in (("broker", LocalKafka.grace_seconds), ("store", LocalValkey.grace_seconds)):
        process = remembered[part]
        ended = is_running(process["pid"], process["known_as"]) or ended
        end(process["pid"], process["known_as"], grace_seconds)
    (data_dir / "run.json").unlink(missing_ok=True)
    return ended


def status(data_dir: Path) -> StackStatus | None:
    """What runs in a data folder; None where nothing was started."""
    remembered = _remembered(data_dir)
    if remembered is None:
        return None
    broker, store = remembered["broker"], remembered["store"]
    return StackStatus(
        broker=remembered["kind"],
        bootstrap=broker["address"],
        idempotence=remembered["idempotence"],
        store_url=store["address"],
        broker_running=is_running(broker["pid"], broker["known_as"]),
        store_running=is_running(store["pid"], store["known_as"]),
        left_by_up=remembered["owner"] is None,
        owned=_owned(remembered),
    )


def _choose(broker: BrokerChoice, cache_dir: Path | None) -> Kind:
    if broker == "auto":
        return "kafka" if kafka_available(cache_dir) else "tansu"
    return broker


def _describe(service: Service, address: str) -> dict[str, Any]:
    return {"pid": service.pid, "known_as": service.known_as, "address": address}


def _remembered(data_dir: Path) -> dict[str, Any] | None:
    try:
        loaded: dict[str, Any] = orjson.loads((data_dir / "run.json").read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise SettingInvalid(
            f"{data_dir / 'run.json'} cannot be read",
            hint="end what it names by hand, then remove the file",
        ) from None
    return loaded


def _owned(remembered: dict[str, Any]) -> bool:
    owner = remembered["owner"]
    return owner is not None and is_running(owner["pid"], owner["known_as"])


def _write(path: Path, text: str) -> None:
    """All of it or nothing, for its owner only."""
    new = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    new.rename(path)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """One starts at a time."""
    with (data_dir / "run.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
