"""The store, seen from the ledger: the names of its keys, its errors, reading it, and whether it forgets.

veil:ledger:budgets                      set of names (a hint: a budget is there when its meta is)
veil:ledger:{<budget>}:meta              hash: parameters, odometer, seq, acked, heads of the chains
veil:ledger:{<budget>}:people:<n>        hash: token (15 bytes) and order's number (1 byte) → units
veil:ledger:{<budget>}:reservation:<id>  hash: an attempt
veil:ledger:{<budget>}:attempts          hash: model|start|end → charges so far
veil:ledger:{<budget>}:open:<model>      set of reservations neither committed nor abandoned
veil:ledger:{<budget>}:models            hash: model → state at its last commit (JSON)
veil:ledger:{<budget>}:refusals          hash: digest of a refused charge's public part → raises then
veil:ledger:{<budget>}:outbox            stream: entries with the id <seq>-0, until the journal has them
veil:ledger:{<budget>}:lease:<name>      hash: epoch, owner, until
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from veilstream.errors import BudgetUnknown, StoreUnavailable
from veilstream.ledger.budget import Budget
from veilstream.ledger.manifest import TOKEN_BYTES
from veilstream.ledger.state import Attempt, State

__all__ = [
    "BUDGETS",
    "Durability",
    "Keys",
    "attempt_field",
    "durability",
    "members",
    "meta_of",
    "read_attempt",
    "read_meta",
    "read_outbox",
    "read_state",
    "store_errors",
    "wait_for",
]

BUDGETS = "veil:ledger:budgets"


class Keys:
    """Names of a budget's keys. The braces are the hash tag: one slot of a cluster for all of them."""

    def __init__(self, budget: str) -> None:
        self.prefix = f"veil:ledger:{{{budget}}}:"
        self.meta = self.prefix + "meta"
        self.people = self.prefix + "people:"
        self.attempts = self.prefix + "attempts"
        self.models = self.prefix + "models"
        self.refusals = self.prefix + "refusals"
        self.outbox = self.prefix + "outbox"

    def reservation(self, reservation: str) -> str:
        return f"{self.prefix}reservation:{reservation}"

    def open(self, model: str) -> str:
        return f"{self.prefix}open:{model}"

    def lease(self, name: str) -> str:
        return f"{self.prefix}lease:{name}"


def attempt_field(model: str, window: tuple[float, float]) -> str:
    """Where the attempts at a window are counted."""
    return f"{model}|{float(window[0])!r}|{float(window[1])!r}"


@contextmanager
def store_errors() -> Iterator[None]:
    """The client's errors as `StoreUnavailable`, with one line of what to do; never the command."""
    try:
        yield
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise StoreUnavailable(
            f"the store takes no writes ({type(error).__name__})",
            hint="give it memory, or point store.url at the primary",
        ) from None
    except ResponseError as error:
        raise StoreUnavailable(
            f"the store refused a command ({type(error).__name__})",
            hint="it must be Valkey or Redis 7 or newer with scripts allowed; `veilstream doctor` looks",
        ) from None
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(
            f"the store does not answer ({type(error).__name__})",
            hint="start it with `veilstream up`, or correct store.url",
        ) from None


@dataclass(frozen=True, slots=True)
class Durability:
    """Whether what the store answered is still there after a crash. `advice` is empty when it is."""

    append_only: bool
    append_fsync: str  # "always", "everysec", "no", or "unknown"
    eviction: str  # must be "noeviction": an evicted person would come back with a fresh budget
    last_write_ok: bool
    advice: str

    @property
    def ok(self) -> bool:
        return not self.advice


async def durability(client: Redis) -> Durability:
    """Ask the server. Where it does not tell (a managed store), that is said in `advice`."""
    try:
        config = _text(await client.config_get("appendonly", "appendfsync", "maxmemory-policy"))
    except ResponseError:
        advice = "the store does not tell its settings: see that it has AOF with appendfsync always"
        return Durability(False, "unknown", "unknown", False, advice)
    except (RedisError, OSError, TimeoutError):
        with store_errors():
            raise
    with store_errors():
        status = str((await client.info("persistence")).get("aof_last_write_status", "unknown"))
    append_only = config.get("appendonly") == "yes"
    fsync, eviction = config.get("appendfsync", "unknown"), config.get("maxmemory-policy", "unknown")
    problems = []
    if not append_only:
        problems.append("set `appendonly yes`: a crash loses charges")
    elif fsync != "always":
        problems.append("set `appendfsync always`: a crash loses the last second's charges")
    if eviction != "noeviction":
        problems.append("set `maxmemory-policy noeviction`: an evicted person has a fresh budget")
    if append_only and status != "ok":
        problems.append("the last write to the append-only file failed: look at the disk")
    return Durability(append_only, fsync, eviction, status == "ok", "; ".join(problems))


def _text(answer: Any) -> dict[str, str]:
    """CONFIG GET's answer, whatever the client decodes."""
    return {_str(key): _str(value) for key, value in dict(answer).items()}


def _str(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def meta_of(budget: Budget, buckets: int) -> dict[str, str]:
    """The meta hash, as scripts write and read it."""
    return {
        "tenant": budget.tenant,
        "epsilon": repr(budget.epsilon),
        "created_epsilon": repr(budget.created_epsilon),
        "delta": repr(budget.delta),
        "orders": _joined(budget.orders),
        "mode": budget.mode,
        "caps": _joined(budget.caps),
        "spent": _joined(budget.spent),
        "seq": str(budget.seq),
        "raises": str(budget.raises),
        "exhausted": "1" if budget.exhausted else "0",
        "buckets": str(buckets),
    }


async def read_meta(client: Redis, name: str) -> tuple[Budget, dict[str, str]]:
    """A budget and its raw meta hash.

    Raises:
        BudgetUnknown, StoreUnavailable.
    """
    with store_errors():
        meta = _text(await client.hgetall(Keys(name).meta))
    if not meta:
        raise BudgetUnknown(
            f"there is no budget {name}", hint="`veilstream budget list` names those there are"
        )
    budget = Budget(
        name=name,
        tenant=meta["tenant"],
        epsilon=float(meta["epsilon"]),
        delta=float(meta["delta"]),
        orders=_numbers(meta["orders"]),
        mode="odometer" if meta["mode"] == "odometer" else "individual",
        caps=_numbers(meta["caps"]),
        spent=_numbers(meta["spent"]),
        created_epsilon=float(meta["created_epsilon"]),
        seq=int(meta["seq"]),
        raises=int(meta["raises"]),
        exhausted=meta["exhausted"] == "1",
    )
    return budget, meta


async def read_outbox(
    client: Redis, name: str, after: int, count: int | None = None
) -> list[tuple[int, dict[str, bytes]]]:
    """The outbox's entries after a sequence number, in order, as the scripts wrote them."""
    with store_errors():
        found: Any = await client.xrange(Keys(name).outbox, min=f"{after + 1}-0", count=count)
    return [
        (int(entry_id.split(b"-")[0]), {_str(key): value for key, value in values.items()})
        for entry_id, values in found
    ]


async def read_state(client: Redis, name: str) -> State:
    """Everything of a budget. Not one moment's: the caller compares `seq` and `relayed` before and after."""
    budget, meta = await read_meta(client, name)
    keys = Keys(name)
    state = State(
        budget=budget,
        buckets=int(meta["buckets"]),
        relayed=int(meta["acked"]),
        entry_head=meta["entry_head"],
        public_head=meta["public_head"],
    )
    with store_errors():
        for first in range(0, state.buckets, 1024):
            async with client.pipeline(transaction=False) as pipeline:
                for bucket in range(first, min(first + 1024, state.buckets)):
                    pipeline.hgetall(f"{keys.people}{bucket}")
                for found in await pipeline.execute():
                    _gather(found, state)
        async for key in _scan(client, keys.reservation("*")):
            attempt = await read_attempt(client, key)
            if attempt is not None:
                state.reservations[key.rsplit(":", 1)[1]] = attempt
        state.attempts = {k: int(v) for k, v in _text(await client.hgetall(keys.attempts)).items()}
        for model in {field.split("|")[0] for field in state.attempts}:
            state.open |= await members(client, keys.open(model))
        state.refusals = {k: int(v) for k, v in _text(await client.hgetall(keys.refusals)).items()}
        state.models = {k: orjson.loads(v) for k, v in _text(await client.hgetall(keys.models)).items()}
    return state


async def read_attempt(client: Redis, key: str) -> Attempt | None:
    """A reservation by its key; None where there is none."""
    with store_errors():
        answer: Any = await client.hgetall(key)
    if not answer:
        return None
    fields = {_str(field): value for field, value in answer.items()}
    return Attempt(
        state=_str(fields["state"]),
        seq=int(fields["seq"]),
        attempt=int(fields["attempt"]),
        model=_str(fields["model"]),
        window=(float(fields["start"]), float(fields["end"])),
        admitted=fields["admitted"],
        epsilon_spent=float(fields["epsilon_spent"]),
        release=_str(fields["release"]) or None,
    )


async def members(client: Redis, key: str) -> set[str]:
    """A set's members."""
    with store_errors():
        return {_str(member) for member in await client.smembers(key)}


async def wait_for(client: Redis, name: str, seq: int, seconds: float, poll_seconds: float) -> bool:
    """Whether the journal has acknowledged `seq` within so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        with store_errors():
            acked = await client.hget(Keys(name).meta, "acked")
        if acked is None:
            raise BudgetUnknown(f"there is no budget {name}")
        if int(acked) >= seq:
            return True
        if loop.time() >= end:
            return False
        await asyncio.sleep(poll_seconds)


def _gather(found: dict[bytes, bytes], state: State) -> None:
    """One bucket's people into the state."""
    orders = len(state.budget.orders)
    for field, units in found.items():
        packed, order = field[:-1], field[-1]
        if order >= orders or len(packed) != TOKEN_BYTES:  # not written by the ledger: agrees with no journal
            state.people[packed[:TOKEN_BYTES].ljust(TOKEN_BYTES, b"\0")] = (-1,) * orders
            continue
        spent = list(state.people.get(packed, (0,) * orders))
        spent[order] = int(units)
        state.people[packed] = tuple(spent)


async def _scan(client: Redis, pattern: str) -> AsyncIterator[str]:
    """Keys by pattern, each once (SCAN may repeat)."""
    seen: set[str] = set()
    async for key in client.scan_iter(match=pattern, count=1000):
        name = _str(key)
        if name not in seen:
            seen.add(name)
            yield name


def _joined(values: tuple[int, ...]) -> str:
    return ",".join(str(value) for value in values)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))
