"""People, prices, windows and cards for the ledger's tests: small, and the same in each of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from veilstream.ledger import Charge, Ledger, Manifest, MemoryJournal, Relay, Reservation

DELTA = 1e-6


def people(*numbers: int) -> tuple[str, ...]:
    digests = (hashlib.sha256(f"person {n}".encode()).digest()[:15] for n in numbers)
    return tuple(base64.b32encode(digest).decode().lower() for digest in digests)


def price(orders: Sequence[int], noise: float = 2.5) -> Charge:
    return Charge.of(
        orders,
        sampling_rate=0.1,
        noise_multiplier=noise,
        steps=20,
        clip_norm=1.0,
        records_per_person=4,
        expected_batch=100.0,
    )


def manifest(
    window: int, who: Iterable[str], orders: Sequence[int] = (12,), *, budget: str = "b", **changes: Any
) -> Manifest:
    made = Manifest(budget, "acme", "m", (window * 60.0, window * 60.0 + 60.0), tuple(who), price(orders))
    return replace(made, **changes)


def card(reservation: Reservation, release: str = "r1", **changes: Any) -> dict[str, Any]:
    inner = {
        "unit": "subject",
        "epsilon_spent": reservation.epsilon_spent,
        "delta": DELTA,
        "budget": "b",
        "seq": reservation.seq,
        "mechanism": "poisson_subsampled_gaussian",
        "numerics": "real arithmetic",
        "encoder": {},
        "labels": [],
    }
    return {
        "release": release,
        "tenant": "acme",
        "model": "m",
        "created": "2026-11-24T00:00:00Z",
        "parent": None,
        "artifact": {"sha256": "0" * 64, "bytes": 1, "format": "safetensors", "location": "x"},
        "card": {**inner, **changes},
    }


async def events(ledger: Ledger, journal: MemoryJournal) -> list[dict[str, Any]]:
    await Relay(ledger, journal, "test").drain()
    return journal.events()
