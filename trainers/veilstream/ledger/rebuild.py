"""The store again from the journal, and the store against the journal.

`rebuild` folds the journal and writes the state that it says into a store that holds nothing of the ledger.
`verify` folds the journal and what the outbox still holds, and compares. `dump` is the canonical state: two
stores hold the same exactly when their dumps are the same bytes.

What only the lost store knew is gone after a rebuild, and handled on the safe side: leases (new epochs have
new random owners, so no old process gets in), and whether an attempt that the journal shows as charged had
started (it cannot be started any more: it is abandoned, and a new one is charged).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from veilstream.contracts import Journal, KeyProvider, RootKey
from veilstream.errors import BudgetUnknown, JournalBroken, KeyMissing, LedgerDiffers, StoreUnavailable
from veilstream.keys import open_envelope
from veilstream.ledger.applying import admit
from veilstream.ledger.assemble import assemble, seal_of
from veilstream.ledger.authority import holds
from veilstream.ledger.budget import ancestors, root_of
from veilstream.ledger.chain import canonical
from veilstream.ledger.fold import Fold
from veilstream.ledger.forgotten import entry_key, forgot, is_whole
from veilstream.ledger.ledger import PEOPLE_PATH, PEOPLE_TOPIC, Ledger
from veilstream.ledger.manifest import reservation_id
from veilstream.ledger.state import State, bucket_of, document, first_difference
from veilstream.ledger.store import (
    BUDGETS,
    Keys,
    meta_of,
    pack_units,
    read_outbox,
    read_reservations,
    read_state,
    store_errors,
)

__all__ = ["LedgerOpener", "dump", "rebuild", "verify"]

_SNAPSHOTS = 50
_OPERATOR = "operator"


class LedgerOpener:
    """`fold.Opener` with the ledger's key from a provider."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider

    def people(self, sealed: bytes) -> bytes:
        return open_envelope(self._provider, sealed, tenant=None, topic=PEOPLE_TOPIC, path=PEOPLE_PATH)

    def identity(
        self, budget: str, tenant: str, public: dict[str, Any], state: Mapping[str, Any], people: bytes
    ) -> str:
        root = self._provider.by_id(self._provider.ledger().id, int(state["key_version"]))
        return reservation_id(root, budget, tenant, public, state["parent"], people)

    def signed(self, entry: Mapping[str, Any]) -> bool:
        root = self._provider.by_id(self._provider.ledger().id, int(entry["key_version"]))
        return hmac.compare_digest(seal_of(root, entry), str(entry["mac"]))

    def authorised(self, told: Mapping[str, Any], public: Mapping[str, Any]) -> bool:
        return holds(self._provider.by_id(_OPERATOR, int(told["key_version"])), told, public)


async def dump(client: Redis, budget: str) -> bytes:
    """Canonical JSON of all that the store holds of a budget, leases aside.

    **Inside the boundary**: it has people's ledger tokens and what each has spent.

    Raises:
        BudgetUnknown, StoreUnavailable.
    """
    return canonical(document(await read_state(client, budget)))


async def rebuild(
    ledger: Ledger,
    journal: Journal,
    provider: KeyProvider | None = None,
    *,
    force: bool = False,
    unsigned: bool = False,
) -> dict[str, int]:
    """Make the store's ledger from the journal. Returns `budgets` and (different) `entries`.

    `force` first removes every budget that the store holds, and with it what its outbox has not told the
    journal: charges whose training cannot have started, since that waits for the journal. `unsigned` believes
    budgets of the first version, whose entries carry no HMAC.

    Relays of before are fenced at the broker, so that none of them can write a number that the new store
    gives to another charge. Where the broker has no transactions, stop workers and relays first, and wait for
    `kafka.request_timeout_seconds`: such a journal could not be read any more. (Nothing is overspent by it.)

    A budget counts as there only when its last key is written, so a rebuild that was cut short is seen (the
    budget is unknown), and is done again with `force`.

    Raises:
        LedgerDiffers: the store holds something of a ledger already, and `force` was not given; or the
            journal grew meanwhile, and it must be done again.
        JournalBroken: nothing was changed.
        StoreUnavailable, BrokerUnavailable, KeyMissing.
    """
    client = ledger.client
    folded = Fold(LedgerOpener(_provider(ledger, provider)), unsigned=unsigned)
    end = await journal.end()
    async for entry in journal.read():
        folded.add(entry)
    with store_errors():
        present = [key async for key in client.scan_iter(match="veil:ledger:*", count=1000)]
    if present and not force:
        raise LedgerDiffers(
            "the store holds a ledger already",
            hint="`--force` replaces it; whatever the journal does not have is lost",
        )
    with store_errors():
        # The budgets' metas go first, and what was written beside the first look with the rest: without metas
        # nothing can be charged, and without leases nothing relayed.
        await _remove(client, [key for key in present if b":meta" in key])
        await _remove(client, [key async for key in client.scan_iter(match="veil:ledger:*", count=1000)])
    claimed: set[str] = set()
    try:
        end = await _fence(journal, folded, end, claimed)
        with store_errors():
            for root in sorted(claimed):
                tree = [state for name, state in folded.states.items() if root_of(name) == root]
                # Positions of the outbox only rise; where they begin says nothing.
                position = sum(state.relayed for state in tree)
                await client.hset(
                    Keys(root).tree, mapping={"position": position, "acked": position, "journal": end}
                )
                for state in sorted(tree, key=lambda state: state.budget.name):
                    await _write(client, state)
        if await journal.end() != end:
            raise LedgerDiffers(
                "the journal was written to while the store was made", hint="stop what runs, and do it again"
            )
    finally:
        for root in claimed:
            await journal.release(root)
    return {"budgets": len(folded.states), "entries": folded.entries}


async def _fence(journal: Journal, folded: Fold, end: int, claimed: set[str]) -> int:
    """Claim every tree, and read on to an end that no relay of before can move; returns that end.

    A relay that slept since the store was lost would else write a number that the new store gives away again.
    """
    while True:
        new = {root_of(name) for name in folded.states} - claimed
        for root in sorted(new):
            await journal.claim(root)
            claimed.add(root)
        start, end = end, await journal.end()
        async for entry in journal.read(start=start):
            folded.add(entry)
        if not new and start == end:
            return end


async def verify(
    ledger: Ledger,
    journal: Journal,
    provider: KeyProvider | None = None,
    *,
    budget: str | None = None,
) -> dict[str, int]:
    """Check the journal, and that the store holds what journal and outbox say. Returns `budgets`, `entries`.

    May run beside workers and relays: of the journal, it reads up to what the store had acknowledged.

    Raises:
        JournalBroken: sequence, chain or content; says which entry. Also where the journal ends before what
            it had acknowledged.
        LedgerDiffers: the first difference: budget, field, seq; people by bucket and count, never by token.
        BudgetUnknown, StoreUnavailable, BrokerUnavailable, KeyMissing.
    """
    opener = LedgerOpener(_provider(ledger, provider))
    names = await ledger.budgets()
    if budget is not None and budget not in names:
        raise BudgetUnknown(f"there is no budget {budget}")
    roots = {root_of(budget)} if budget is not None else {root_of(name) for name in names}
    trees = {root: await _snapshot(ledger, root) for root in sorted(roots)}
    unsigned = {name for tree in trees.values() for name, held in tree.states.items() if held.unsigned}
    folded = Fold(opener, unsigned=unsigned)
    late: dict[tuple[str, int, int], str] = {}
    async for entry in journal.read():
        if _of_before(entry, trees, every=budget is None):
            folded.add(entry)
        elif is_whole(entry):
            late[entry_key(entry)] = entry["hash"]
    for name in sorted({name for name, _, _ in late if root_of(name) in trees}):
        # Numbers only rise: what came since the snapshot, the store knows of by now.
        last = max(seq for of, seq, _ in late if of == name)
        try:
            now = (await ledger.budget(name)).seq
        except BudgetUnknown:
            raise forgot(name, last) from None
        if last > now:
            raise forgot(name, now + 1)
    checked = 0
    for tree in trees.values():
        _compare(folded, tree, late, ledger.root)
        checked += len(tree.states)
    if budget is None:
        names = await ledger.budgets()  # a budget that was created meanwhile is no difference
        for name in folded.states:
            if name not in names:
                raise LedgerDiffers(
                    f"budget {name} is in the journal and not in the store",
                    hint="`veilstream ledger rebuild --force`",
                )
    return {"budgets": checked, "entries": folded.entries}


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree of budgets in the store, of one moment."""

    states: dict[str, State]
    waiting: list[tuple[int, dict[str, bytes]]]  # the outbox
    pending: tuple[dict[str, Any], tuple[int, ...], bytes] | None  # plan, charges, people charged so far


async def _remove(client: Redis, keys: list[bytes]) -> None:
    for first in range(0, len(keys), 1000):
        async with client.pipeline(transaction=False) as pipeline:
            for key in keys[first : first + 1000]:
                pipeline.execute_command("UNLINK", key)  # the cluster's pipeline knows no `unlink`
            await pipeline.execute()


def _compare(folded: Fold, tree: _Tree, late: Mapping[tuple[str, int, int], str], root_key: RootKey) -> None:
    """Raises JournalBroken, LedgerDiffers: the first difference between journal and outbox, and the store."""
    relayed: dict[str, tuple[int, str, str]] = {}
    for name, held in tree.states.items():
        told = folded.states.get(name)
        ends = told.relayed if told else 0
        if ends < held.relayed:
            raise JournalBroken(
                f"budget {name}, entry {ends + 1}: the journal ends before it, though it had acknowledged "
                f"up to {held.relayed}",
                hint="the topic lost records: see its retention, and restore it from a replica",
            )
        relayed[name] = (
            (ends, told.entry_head, told.public_head) if told else (0, held.entry_head, held.public_head)
        )
    heads = {name: (entry, public) for name, (_, entry, public) in relayed.items()}
    for _position, fields in tree.waiting:
        name = fields["budget"].decode()
        records = assemble(fields, *heads[name], root_key)
        for record in records:
            if late.get(entry_key(record.entry), record.entry["hash"]) != record.entry["hash"]:
                raise forgot(name, int(fields["seq"]))
            folded.add(record.entry)
        heads[name] = records[-1].entry["hash"], (records[-1].public or {})["hash"]
    if tree.pending is not None:
        plan, charges, people = tree.pending
        admit([folded.states[name] for name in ancestors(plan["budget"])], people, charges)
    for name, held in tree.states.items():
        total = folded.states.get(name)
        if total is None:
            raise LedgerDiffers(f"budget {name} is in the store and not in the journal")
        total.relayed, total.entry_head, total.public_head = relayed[name]
        difference = first_difference(total, held)
        if difference is not None:
            raise LedgerDiffers(
                f"budget {difference.budget}, {difference.field}, at entry {difference.seq}: "
                f"{difference.detail}",
                hint="stop the workers; `veilstream ledger rebuild --force` makes the store from the journal",
            )


def _provider(ledger: Ledger, provider: KeyProvider | None) -> KeyProvider:
    found = provider or ledger.provider
    if found is None:
        raise KeyMissing("reading the journal's people needs the ledger's keys", hint="give a key provider")
    return found


def _of_before(entry: Mapping[str, Any], trees: Mapping[str, _Tree], *, every: bool) -> bool:
    """Whether an entry is of these trees (or of any), and not from after the snapshot."""
    public = entry.get("public")
    name = public.get("budget") if isinstance(public, dict) else None
    seq = public.get("seq") if isinstance(public, dict) else None
    if not isinstance(name, str) or not isinstance(seq, int):
        return True  # not whole: the fold says so
    tree = trees.get(root_of(name))
    if tree is None:
        return every
    held = tree.states.get(name)
    return held is not None and seq <= held.relayed


async def _snapshot(ledger: Ledger, root: str) -> _Tree:
    """A tree of one moment: read again when something came in between."""
    client, keys = ledger.client, Keys(root)

    async def mark() -> list[Any]:
        with store_errors():
            return [
                await client.hmget(keys.tree, "position", "acked"),
                await client.hmget(keys.pending, "plan", "charges", "done"),
            ]

    for _ in range(_SNAPSHOTS):
        before = await mark()
        held = await read_reservations(client, root)
        states = {name: await read_state(client, name, held) for name in await ledger.budgets(root)}
        waiting = await read_outbox(client, root, int(before[0][1] or 0))
        plan, charges, done = before[1]
        with store_errors():
            people: Any = await client.get(keys.pending_people)
        if await mark() == before:
            pending = None
            if plan:
                pending = orjson.loads(plan), tuple(map(int, charges.split(b","))), people[: int(done)]
            return _Tree(states, waiting, pending)
    raise StoreUnavailable(
        f"the budgets of {root} change faster than they can be read", hint="verify when fewer workers run"
    )


async def _write(client: Redis, state: State) -> None:
    """A folded state into an empty store; the meta hash last."""
    name = state.budget.name
    keys = Keys(name)
    prefix = keys.people(state.budget.period)
    buckets: dict[int, dict[bytes, bytes]] = {}
    for packed, units in state.people.items():
        buckets.setdefault(bucket_of(packed, state.buckets), {})[packed] = pack_units(units)
    async with client.pipeline(transaction=False) as pipeline:
        for number, (bucket, mapping) in enumerate(buckets.items()):
            pipeline.hset(f"{prefix}{bucket}", mapping=mapping)  # type: ignore[arg-type]
            if number % 200 == 199:
                await pipeline.execute()
        await pipeline.execute()
    async with client.pipeline(transaction=False) as pipeline:
        for number, (identity, attempt) in enumerate(state.reservations.items()):
            pipeline.hset(
                keys.reservation(identity),
                mapping={
                    "budget": name,
                    "state": attempt.state,
                    "seq": attempt.seq,
                    "attempt": attempt.attempt,
                    "admitted": attempt.admitted,
                    "model": attempt.model,
                    "start": repr(float(attempt.window[0])),
                    "end": repr(float(attempt.window[1])),
                    "epsilon_spent": repr(float(attempt.epsilon_spent)),
                    "release": attempt.release or "",
                },
            )
            if identity in state.open:
                pipeline.sadd(keys.open(attempt.model), identity)
            if number % 1000 == 999:
                await pipeline.execute()
        for key, values in ((keys.attempts, state.attempts), (keys.refusals, state.refusals)):
            for first in range(0, len(values), 1000):
                pipeline.hset(key, mapping=dict(list(values.items())[first : first + 1000]))
        if state.models:
            models = {model: orjson.dumps(value) for model, value in state.models.items()}
            pipeline.hset(keys.models, mapping=models)  # type: ignore[arg-type]
        await pipeline.execute()
    meta = {
        **meta_of(state.budget, state.buckets),
        "acked": str(state.relayed),
        "rebuilt": str(state.relayed),
        "entry_head": state.entry_head,
        "public_head": state.public_head,
        "unsigned": "1" if state.unsigned else "0",
    }
    await client.sadd(BUDGETS, name)
    await client.hset(keys.meta, mapping=meta)  # type: ignore[arg-type]
