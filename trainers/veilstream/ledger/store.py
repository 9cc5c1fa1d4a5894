"""The store, seen from the ledger: the names of its keys, its errors, reading it, and whether it forgets.

`<root>` is the first name of a budget's path, and the hash tag: one slot of a cluster for a whole tree.

veil:ledger:budgets                        set of names (a hint: a budget is there when its meta is)
veil:ledger:{<root>}:tree                  hash: positions of the last outbox entry and of the last relayed;
                                           where the journal ended then
veil:ledger:{<root>}:outbox                stream: entries, id <position>-0, until the journal has them
veil:ledger:{<root>}:pending               hash: a charge under way that one script was too short for
veil:ledger:{<root>}:pending-people        its people, packed
veil:ledger:{<root>}:meta:<budget>         hash: parameters, odometer, seq, acked, heads of the chains
veil:ledger:{<root>}:people:<budget>:<period>:<n>  hash: token (15 bytes) → units, at one order a number, at
                                           several 5 bytes each, big-endian
veil:ledger:{<root>}:reservation:<id>      hash: an attempt
veil:ledger:{<root>}:attempts:<budget>     hash: model|start|end → charges so far
veil:ledger:{<root>}:open:<budget>:<model> set of reservations neither committed nor abandoned
veil:ledger:{<root>}:models:<budget>       hash: model → state at its last commit (JSON)
veil:ledger:{<root>}:refusals:<budget>     hash: digest of a refused charge's public part → raises then
veil:ledger:{<root>}:lease:<budget>:<name> hash: epoch, owner, until
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from veilstream.accounting import INFINITE
from veilstream.errors import BudgetUnknown, LedgerDiffers, StoreUnavailable
from veilstream.ledger.budget import PERSON_MOST, Budget, root_of
from veilstream.ledger.manifest import TOKEN_BYTES
from veilstream.ledger.state import Attempt, State

__all__ = [
    "BUDGETS",
    "LAYOUT",
    "UNITS_BYTES",
    "Durability",
    "Keys",
    "attempt_field",
    "budget_of",
    "durability",
    "members",
    "meta_of",
    "moved_to",
    "pack_units",
    "read_attempt",
    "read_meta",
    "read_outbox",
    "read_path",
    "read_reservations",
    "read_state",
    "refuse_old_layout",
    "store_errors",
    "unpack_units",
    "wait_for",
]

BUDGETS = "veil:ledger:budgets"


LAYOUT = "2"
UNITS_BYTES = 5  # 8 orders and a token stay under 64 bytes, and within what a listpack holds as one value


class Keys:
    """Names of a budget's keys. The braces are the hash tag."""

    def __init__(self, budget: str) -> None:
        self.budget = budget
        self.prefix = f"veil:ledger:{{{root_of(budget)}}}:"
        self.tree = self.prefix + "tree"
        self.outbox = self.prefix + "outbox"
        self.pending = self.prefix + "pending"
        self.pending_people = self.prefix + "pending-people"
        self.meta = f"{self.prefix}meta:{budget}"
        self.attempts = f"{self.prefix}attempts:{budget}"
        self.models = f"{self.prefix}models:{budget}"
        self.refusals = f"{self.prefix}refusals:{budget}"

    def people(self, period: int) -> str:
        return f"{self.prefix}people:{self.budget}:{period}:"

    def reservation(self, reservation: str) -> str:
        return f"{self.prefix}reservation:{reservation}"

    def open(self, model: str) -> str:
        return f"{self.prefix}open:{self.budget}:{model}"

    def lease(self, name: str) -> str:
        return f"{self.prefix}lease:{self.budget}:{name}"


def pack_units(units: Sequence[int]) -> bytes:
    """What a person has spent, as the store holds it."""
    if len(units) == 1:
        return b"%d" % units[0]
    return b"".join(min(value, PERSON_MOST).to_bytes(UNITS_BYTES, "big") for value in units)


def unpack_units(held: bytes, orders: int) -> tuple[int, ...]:
    """The units that a value of the store says; -1 at each order where the ledger cannot have written it."""
    if orders == 1:
        return (int(held) if held.isdigit() else -1,)
    if len(held) != UNITS_BYTES * orders:
        return (-1,) * orders
    values = (int.from_bytes(held[at : at + UNITS_BYTES], "big") for at in range(0, len(held), UNITS_BYTES))
    return tuple(INFINITE if value >= PERSON_MOST else value for value in values)


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
        "layout": LAYOUT,
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
        "frozen": "1" if budget.frozen else "0",
        "refresh": repr(budget.refresh_seconds) if budget.refresh_seconds is not None else "",
        "period": str(budget.period),
        "corrected": _joined(budget.corrected),
        "block": repr(budget.block_seconds) if budget.block_seconds is not None else "",
        "buckets": str(buckets),
    }


def budget_of(name: str, meta: Mapping[str, str]) -> Budget:
    """A meta hash as the budget that it describes."""
    return Budget(
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
        frozen=meta["frozen"] == "1",
        refresh_seconds=float(meta["refresh"]) if meta["refresh"] else None,
        period=int(meta["period"]),
        corrected=_numbers(meta["corrected"]),
        block_seconds=float(meta["block"]) if meta["block"] else None,
    )


def moved_to(path: Sequence[Budget], answer: Sequence[Any]) -> list[Budget]:
    """The path's budgets as a script that answered `moved` has seen them: their metas, field and value."""
    metas = (dict(zip(meta[::2], meta[1::2], strict=True)) for meta in answer)
    return [budget_of(budget.name, _text(meta)) for budget, meta in zip(path, metas, strict=True)]


async def read_meta(client: Redis, name: str) -> tuple[Budget, dict[str, str]]:
    """A budget and its raw meta hash.

    Raises:
        BudgetUnknown, StoreUnavailable.
        LedgerDiffers: the store is of an earlier version's layout.
    """
    return (await read_path(client, (name,)))[0]


async def refuse_old_layout(client: Redis, name: str) -> None:
    """Raises LedgerDiffers where the store holds this budget as an earlier version kept it."""
    with store_errors():
        if not await client.exists(f"veil:ledger:{{{name}}}:meta"):
            return
    raise LedgerDiffers(
        "the store was written by an earlier version of veilstream, and is kept otherwise today",
        hint="stop what runs, and make it again: `veilstream ledger rebuild --force --unsigned`",
    )


async def read_path(client: Redis, names: Sequence[str]) -> list[tuple[Budget, dict[str, str]]]:
    """Several budgets of one tree, as `read_meta`, in one round trip; not of one moment."""
    with store_errors():
        async with client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hgetall(Keys(name).meta)
            found = [_text(answer) for answer in await pipeline.execute()]
    for name, meta in zip(names, found, strict=True):
        if not meta:
            await refuse_old_layout(client, name)
            raise BudgetUnknown(
                f"there is no budget {name}", hint="`veilstream budget list` names those there are"
            )
    return [(budget_of(name, meta), meta) for name, meta in zip(names, found, strict=True)]


async def read_outbox(
    client: Redis, root: str, after: int, count: int | None = None
) -> list[tuple[int, dict[str, bytes]]]:
    """A tree's outbox after a position, in order, as the scripts wrote it: position and fields."""
    with store_errors():
        found: Any = await client.xrange(Keys(root).outbox, min=f"{after + 1}-0", count=count)
    return [
        (int(entry_id.split(b"-")[0]), {_str(key): value for key, value in values.items()})
        for entry_id, values in found
    ]


async def read_reservations(client: Redis, root: str) -> dict[str, Attempt]:
    """Every reservation of a tree, by id."""
    keys = Keys(root)
    found: dict[str, Attempt] = {}
    with store_errors():
        identities = [key.rsplit(":", 1)[1] async for key in _scan(client, keys.reservation("*"))]
        for first in range(0, len(identities), 1000):
            async with client.pipeline(transaction=False) as pipeline:
                for identity in identities[first : first + 1000]:
                    pipeline.hgetall(keys.reservation(identity))
                answers = await pipeline.execute()
            for identity, answer in zip(identities[first : first + 1000], answers, strict=True):
                attempt = _attempt(answer)
                if attempt is not None:
                    found[identity] = attempt
    return found


async def read_state(client: Redis, name: str, reservations: Mapping[str, Attempt] | None = None) -> State:
    """Everything of a budget. Not one moment's: the caller compares `seq` and `relayed` before and after.

    `reservations` are those of its tree, where the caller has read them.
    """
    if reservations is None:
        reservations = await read_reservations(client, root_of(name))
    budget, meta = await read_meta(client, name)
    keys = Keys(name)
    state = State(
        budget=budget,
        buckets=int(meta["buckets"]),
        relayed=int(meta["acked"]),
        entry_head=meta["entry_head"],
        public_head=meta["public_head"],
        unsigned=meta.get("unsigned") == "1",
        reservations={key: attempt for key, attempt in reservations.items() if attempt.budget == name},
    )
    with store_errors():
        prefix = keys.people(budget.period)
        for first in range(0, state.buckets, 1024):
            async with client.pipeline(transaction=False) as pipeline:
                for bucket in range(first, min(first + 1024, state.buckets)):
                    pipeline.hgetall(f"{prefix}{bucket}")
                for found in await pipeline.execute():
                    _gather(found, state)
        state.attempts = {k: int(v) for k, v in _text(await client.hgetall(keys.attempts)).items()}
        for model in {field.split("|")[0] for field in state.attempts}:
            state.open |= await members(client, keys.open(model))
        state.refusals = {k: int(v) for k, v in _text(await client.hgetall(keys.refusals)).items()}
        state.models = {k: orjson.loads(v) for k, v in _text(await client.hgetall(keys.models)).items()}
    return state


async def read_attempt(client: Redis, key: str) -> Attempt | None:
    """A reservation by its key; None where there is none."""
    with store_errors():
        return _attempt(await client.hgetall(key))


def _attempt(answer: Any) -> Attempt | None:
    if not answer:
        return None
    fields = {_str(field): value for field, value in answer.items()}
    return Attempt(
        budget=_str(fields["budget"]),
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
    for packed, held in found.items():
        if len(packed) != TOKEN_BYTES:  # not written by the ledger: agrees with no journal
            state.people[packed[:TOKEN_BYTES].ljust(TOKEN_BYTES, b"\0")] = (-1,) * orders
            continue
        state.people[packed] = unpack_units(held, orders)


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
    return tuple(int(word) for word in text.split(",")) if text else ()
