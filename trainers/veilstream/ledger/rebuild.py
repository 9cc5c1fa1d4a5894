"""The store again from the journal, and the store against the journal.

`rebuild` folds the journal and writes the state that it says into a store that holds nothing of the ledger.
`verify` folds the journal and what the outbox still holds, and compares. `dump` is the canonical state: two
stores hold the same exactly when their dumps are the same bytes.

What only the lost store knew is gone after a rebuild, and handled on the safe side: leases (new epochs have
new random owners, so no old process gets in), and whether an attempt that the journal shows as charged had
started (it cannot be started any more: it is abandoned, and a new one is charged).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from redis.asyncio import Redis

from veilstream.contracts import Journal, KeyProvider
from veilstream.errors import BudgetUnknown, JournalBroken, KeyMissing, LedgerDiffers
from veilstream.keys import open_envelope
from veilstream.ledger.assemble import assemble
from veilstream.ledger.chain import canonical
from veilstream.ledger.fold import Fold
from veilstream.ledger.ledger import PEOPLE_PATH, PEOPLE_TOPIC, Ledger
from veilstream.ledger.manifest import reservation_id
from veilstream.ledger.state import State, bucket_of, document, first_difference
from veilstream.ledger.store import BUDGETS, Keys, meta_of, read_meta, read_outbox, read_state, store_errors

__all__ = ["LedgerOpener", "dump", "rebuild", "verify"]

_SNAPSHOTS = 50


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


async def dump(client: Redis, budget: str) -> bytes:
    """Canonical JSON of all that the store holds of a budget, leases aside.

    **Inside the boundary**: it has people's ledger tokens and what each has spent.

    Raises:
        BudgetUnknown, StoreUnavailable.
    """
    return canonical(document(await read_state(client, budget)))


async def rebuild(
    ledger: Ledger, journal: Journal, provider: KeyProvider | None = None, *, force: bool = False
) -> dict[str, int]:
    """Make the store's ledger from the journal. Returns `budgets` and (different) `entries`.

    `force` first removes every budget that the store holds, and with it what its outbox has not told the
    journal: charges whose training cannot have started, since that waits for the journal.

    A budget counts as there only when its last key is written, so a rebuild that was cut short is seen (the
    budget is unknown), and is done again with `force`.

    Raises:
        LedgerDiffers: the store holds something of a ledger already, and `force` was not given.
        JournalBroken: nothing was changed.
        StoreUnavailable, BrokerUnavailable, KeyMissing.
    """
    folded = await _folded(journal, LedgerOpener(_provider(ledger, provider)))
    client = ledger.client
    with store_errors():
        present = [key async for key in client.scan_iter(match="veil:ledger:*", count=1000)]
    if present and not force:
        raise LedgerDiffers(
            "the store holds a ledger already",
            hint="`--force` replaces it; whatever the journal does not have is lost",
        )
    with store_errors():
        # A budget's meta goes first: without it nothing can be charged while the rest is taken away.
        for key in sorted(present, key=lambda key: not key.endswith(b":meta")):
            await client.delete(key)
        for state in folded.states.values():
            await _write(client, state)
    return {"budgets": len(folded.states), "entries": folded.entries}


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
    wanted = [budget] if budget is not None else names
    snapshots = {name: await _snapshot(ledger.client, name) for name in wanted}
    folded = Fold(opener)
    async for entry in journal.read(budget):
        if not _later(entry, snapshots):
            folded.add(entry)
    for name, (held, waiting) in snapshots.items():
        told = folded.states.get(name)
        ends = told.relayed if told else 0
        if ends < held.relayed:
            raise JournalBroken(
                f"budget {name}, entry {ends + 1}: the journal ends before it, though it had acknowledged "
                f"up to {held.relayed}",
                hint="the topic lost records: see its retention, and restore it from a replica",
            )
        relayed = (
            (ends, told.entry_head, told.public_head) if told else (0, held.entry_head, held.public_head)
        )
        entry_head, public_head = relayed[1], relayed[2]
        for _seq, fields in waiting:
            record = assemble(name, fields, entry_head, public_head)
            folded.add(record.entry)
            entry_head, public_head = record.entry["hash"], record.public["hash"]
        total = folded.states.get(name)
        if total is None:
            raise LedgerDiffers(f"budget {name} is in the store and not in the journal")
        total.relayed, total.entry_head, total.public_head = relayed
        difference = first_difference(total, held)
        if difference is not None:
            raise LedgerDiffers(
                f"budget {difference.budget}, {difference.field}, at entry {difference.seq}: "
                f"{difference.detail}",
                hint="stop the workers; `veilstream ledger rebuild --force` makes the store from the journal",
            )
    if budget is None:
        present = await ledger.budgets()
        for name in folded.states:
            if name not in present:
                raise LedgerDiffers(
                    f"budget {name} is in the journal and not in the store",
                    hint="`veilstream ledger rebuild --force`",
                )
    return {"budgets": len(wanted), "entries": folded.entries}


def _provider(ledger: Ledger, provider: KeyProvider | None) -> KeyProvider:
    found = provider or ledger.provider
    if found is None:
        raise KeyMissing("reading the journal's people needs the ledger's keys", hint="give a key provider")
    return found


async def _folded(journal: Journal, opener: LedgerOpener) -> Fold:
    folded = Fold(opener)
    async for entry in journal.read():
        folded.add(entry)
    return folded


def _later(entry: Mapping[str, Any], snapshots: Mapping[str, tuple[State, Any]]) -> bool:
    """Whether an entry came after the snapshot: appended since, or about to be acknowledged."""
    public = entry.get("public")
    if not isinstance(public, dict) or public.get("budget") not in snapshots:
        return False
    seq = public.get("seq")
    return isinstance(seq, int) and seq > snapshots[public["budget"]][0].relayed


async def _snapshot(client: Redis, name: str) -> tuple[State, list[tuple[int, dict[str, bytes]]]]:
    """State and outbox of one moment: read again when an event came in between."""
    for _ in range(_SNAPSHOTS):
        state = await read_state(client, name)
        waiting = await read_outbox(client, name, state.relayed)
        budget, meta = await read_meta(client, name)
        if (budget.seq, int(meta["acked"])) == (state.budget.seq, state.relayed):
            return state, waiting
    raise LedgerDiffers(
        f"budget {name} changes faster than it can be read", hint="verify when fewer workers run"
    )


async def _write(client: Redis, state: State) -> None:
    """A folded state into an empty store; the meta hash last."""
    name = state.budget.name
    keys = Keys(name)
    async with client.pipeline(transaction=False) as pipeline:
        for waiting, (packed, units) in enumerate(state.people.items()):
            mapping = {packed + bytes([order]): spent for order, spent in enumerate(units)}
            pipeline.hset(f"{keys.people}{bucket_of(packed, state.buckets)}", mapping=mapping)  # type: ignore[arg-type]
            if waiting % 5000 == 4999:
                await pipeline.execute()
        await pipeline.execute()
    async with client.pipeline(transaction=False) as pipeline:
        for identity, attempt in state.reservations.items():
            pipeline.hset(
                keys.reservation(identity),
                mapping={
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
        for key, values in ((keys.attempts, state.attempts), (keys.refusals, state.refusals)):
            if values:
                pipeline.hset(key, mapping=values)  # type: ignore[arg-type]
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
    }
    await client.sadd(BUDGETS, name)
    await client.hset(keys.meta, mapping=meta)  # type: ignore[arg-type]
