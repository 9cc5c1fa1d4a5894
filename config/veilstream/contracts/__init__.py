"""Every extension point's Protocol, on one page.

A pure core asks for these; the shells at the rim provide them. Later rooms (an HSM, another engine, other
sinks, another journal) implement one of these and change nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

__all__ = [
    "AlertSink",
    "Allocator",
    "BudgetBlock",
    "Demand",
    "Detector",
    "Finding",
    "Journal",
    "JournalRecord",
    "KeyProvider",
    "PersonKeyStore",
    "RootKey",
]


@dataclass(frozen=True, slots=True)
class RootKey:
    """A 256-bit root key. Everything else is derived from it (HKDF-SHA256, RFC 5869)."""

    id: str  # "tenant/acme", "operator", "ledger"
    version: int
    material: bytes

    def __repr__(self) -> str:
        return f"RootKey(id={self.id!r}, version={self.version})"


@runtime_checkable
class KeyProvider(Protocol):
    """Gives root keys by owner. Raises `KeyMissing` where there is none."""

    def tenant(self, tenant: str) -> RootKey: ...
    def operator(self) -> RootKey: ...
    def ledger(self) -> RootKey: ...
    def by_id(self, key_id: str, version: int) -> RootKey: ...


class PersonKeyStore(Protocol):
    """Durable map from a person's index to their sealed salt."""

    async def get_or_create(self, proposals: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Store each proposed sealed salt whose index is new; return what is stored for every index.

        Atomic for each index, and durable when it returns: two processes that propose for the same
        person get the same answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data in a text: `text[start:end]`, in code points."""

    start: int
    end: int
    kind: str
    score: float


class Detector(Protocol):
    """Finds personal data in one text. Pure: same text, same findings."""

    @property
    def version(self) -> str: ...
    def find(self, text: str) -> Sequence[Finding]: ...


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What one entry of the ledger becomes outside: the entry, its public projection, and a release."""

    budget: str
    entry: dict[str, Any]  # ai.veilstream.ledger.entry.v1, inside the boundary
    public: dict[str, Any] | None  # ai.veilstream.budget.event.v1; None for a part that is not the last
    release: dict[str, Any] | None  # ai.veilstream.release.v1


class Journal(Protocol):
    """The ledger's durable record (`ledger.journal`), its public projection, and the releases."""

    async def claim(self, tree: str) -> None:
        """From now on nobody who claimed a tree of budgets before can append for it."""
        ...

    async def release(self, tree: str) -> None:
        """Give a claim up; what was not claimed is let be."""
        ...

    async def append(self, records: Sequence[JournalRecord]) -> int:
        """Write in order; return when every one is acknowledged by the broker: the place after the last."""
        ...

    async def end(self) -> int:
        """The place after the journal's last entry: where a later `read` may start."""
        ...

    def read(self, budget: str | None = None, *, start: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the journal's entries so far, in order for each budget, and stop. May repeat entries.

        Raises JournalBroken where the journal ends before `start`, which it had reached once.
        """
        ...


class AlertSink(Protocol):
    """Somewhere an alert goes.

    To bring one: an entry point of the group `veilstream.alert_sinks`, a callable from `Settings` to a sink.
    Delivery calls `deliver` again and again until it returns; `SinkRefused` says never, `SinkFailed` may say
    when, any other error is tried again. It must be fit for being told the same alert twice.

    Optional attributes:
        audience: "operator" for a sink inside the boundary, which also gets operators' alerts; set from
            `alerting.operator_sinks`.
        resend_seconds: a sink that forgets is told what still fires so often.
    """

    name: str

    async def deliver(self, alert: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class BudgetBlock:
    """A part of a privacy budget that demands compete for: a whole budget, or the block of a span of time.

    Everything in it is public. Units are the ledger's: Rényi divergence in integers of 1e-9 nats.
    """

    id: str
    capacity: tuple[int, ...]  # cap of each order; an order whose cap is not above 0 never has room
    spent: tuple[int, ...]  # so far, at each order
    arrivals: int = 0  # demands that have asked for it so far, granted or not
    created: float = 0.0  # Unix seconds
    spent_by: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of `spent`, by model


@dataclass(frozen=True, slots=True)
class Demand:
    """What a run asks for: all of it or nothing. Public parameters only."""

    id: str
    model: str
    arrival: float  # Unix seconds
    charges: Mapping[str, tuple[int, ...]]  # block id to units at each of its orders
    weight: float = 1.0  # what granting it is worth
    deadline: float = float("inf")  # Unix seconds; from then on it is not granted


class Allocator(Protocol):
    """Says which waiting demands are granted now, in the order in which they are to be charged.

    Pure: same blocks, demands and time, same answer. It proposes; the ledger's filter decides on each charge.
    """

    @property
    def name(self) -> str: ...
    def allocate(
        self, blocks: Sequence[BudgetBlock], demands: Sequence[Demand], now: float
    ) -> tuple[Demand, ...]: ...
