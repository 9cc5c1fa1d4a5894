"""Who may spend what: the filter of record, the public odometer, the charge, the journal, the rebuild.

    ledger = Ledger(client, provider.ledger(), provider=provider)
    await ledger.create_budget("default", tenant="acme", epsilon=3.0, delta=1e-6, orders=[7])
    lease = await ledger.lease("default", "tool-choice", ttl_seconds=30)
    reservation = await ledger.charge(manifest, lease)     # one script: checks, people, spend, outbox
    await ledger.wait_acknowledged("default", reservation.seq)
    await ledger.start(reservation.id, lease)              # once, and never before the journal has it
    await ledger.commit(reservation.id, lease, state, release)

**Guarantees.**
* *Spent ≥ released*, after every crash and under every interleaving: what a charge changes, it changes in one
  atomic script; training can start only when the journal has acknowledged the charge; a release can be
  committed only by an attempt that started; nothing is ever refunded.
* A person is charged only while, at the budget and at every budget above it, for some order, their own sum
  stays within its cap (`accounting.caps`); who has no room is left out, and that is known inside the boundary
  alone.
* A budget event is a function of public parameters (and of time): never of people, nor of how many.
* Every entry has a sequence number without gaps and two hash chains; `rebuild` makes the store again from
  the journal, `verify` compares the two. Who changed a budget held the operator's key.
* No script holds the store for long: more people than one takes are charged run by run (`helping`).

**Does not.** Guard against who can write to the store *and* the journal *and* holds the ledger's key. See
that the noise was added: that is `veilstream.dp`. Survive a store that forgets: `durability` says whether it
may, `docs/durability.md` what then.

| file | question |
|---|---|
| `budget` | what a budget is; may this be charged? (pure) |
| `manifest` | what is charged, and its id |
| `planning` | what a charge will write (pure) |
| `projection` | what the outside sees of an event |
| `chain` | the hash chains |
| `authority` | who may change a budget |
| `fold`, `applying` | what a journal says the state is (pure; the oracle that the store must agree with) |
| `ledger`, `budgets`, `attempts`, `leasing` | the operations, each a script of `lua/` |
| `helping` | a charge too large for one script |
| `relay`, `assemble` | from the outbox to the journal |
| `rebuild`, `forgotten` | store from journal; store against journal |
| `backup` | journal to file, and back |
| `allocation` | who gets what, when models compete |
| `protocol_model` | the protocol, explored exhaustively |
| `memory` | a journal for tests |
| `store` | reading the store, its errors, its durability |
"""

from veilstream.ledger.attempts import OpenReservation
from veilstream.ledger.backup import backup, restore
from veilstream.ledger.budget import Budget
from veilstream.ledger.lease import Lease
from veilstream.ledger.ledger import Ledger, Reservation
from veilstream.ledger.manifest import Charge, Manifest
from veilstream.ledger.memory import MemoryJournal
from veilstream.ledger.rebuild import LedgerOpener, dump, rebuild, verify
from veilstream.ledger.relay import Relay
from veilstream.ledger.store import Durability, durability

__all__ = [
    "Budget",
    "Charge",
    "Durability",
    "Lease",
    "Ledger",
    "LedgerOpener",
    "Manifest",
    "MemoryJournal",
    "OpenReservation",
    "Relay",
    "Reservation",
    "backup",
    "dump",
    "durability",
    "rebuild",
    "restore",
    "verify",
]
