"""Every extension point's Protocol, on one page.

A pure core asks for these; the shells at the rim provide them. Later rooms (an HSM, another engine, other
sinks, another journal) implement one of these and change nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

__all__ = [
    "AlertSink",
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
    public: dict[str, Any]  # ai.veilstream.budget.event.v1
    release: dict[str, Any] | None  # ai.veilstream.release.v1


class Journal(Protocol):
    """The ledger's durable record (`ledger.journal`), its public projection, and the releases."""

    async def append(self, records: Sequence[JournalRecord]) -> None:
        """Write in order; return when every one is acknowledged by the broker."""
        ...

    def read(self, budget: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield the journal's entries so far, in order for each budget, and stop. May repeat entries."""
        ...


class AlertSink(Protocol):
    """Somewhere an alert goes. Raises when it was not delivered."""

    name: str

    async def deliver(self, alert: dict[str, Any]) -> None: ...
