"""The ledger's part of the verdict: the same check as `veilstream ledger verify`, and spent ≥ released."""

from __future__ import annotations

import asyncio

from veilstream.errors import BrokerUnavailable, JournalBroken, LedgerDiffers, StoreUnavailable
from veilstream.events.codec import loads
from veilstream.events.topics import topic_name
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger, Relay, verify
from veilstream.settings import Settings
from veilstream.transport import KafkaJournal, read_to_end

__all__ = ["drained", "unpaid", "verified"]

_TRIES = 10


async def verified(settings: Settings, ledger: Ledger) -> bool:
    """Whether journal, chains and store agree now; may run beside the worker. Waits for broker and store."""
    for attempt in range(_TRIES):
        try:
            await verify(ledger, KafkaJournal(settings.kafka), FileKeyProvider(settings.keys_folder))
            return True
        except (JournalBroken, LedgerDiffers):
            return False
        except (BrokerUnavailable, StoreUnavailable):
            if attempt == _TRIES - 1:
                raise
            await asyncio.sleep(1.0)
    return False


async def drained(relay: Relay) -> bool:
    """Move what the outbox still holds; False where it cannot be moved."""
    try:
        await relay.drain(timeout=30.0)
    except (BrokerUnavailable, StoreUnavailable):
        return False
    return True


async def unpaid(settings: Settings) -> tuple[int, int]:
    """Releases, and how many of them have no charge or no commit of their own in the public events."""
    events: dict[tuple[str, int], dict[str, object]] = {}
    async for record in read_to_end(settings.kafka, topic_name(settings.kafka, "budget.events")):
        event = loads(record.value)
        events.setdefault((event["budget"], event["seq"]), event)
    committed = {event["release"] for event in events.values() if event["event"] == "committed"}
    released: dict[str, tuple[str, int]] = {}
    async for record in read_to_end(settings.kafka, topic_name(settings.kafka, "models.releases")):
        if record.value is not None:
            value = loads(record.value)
            released[value["release"]] = (value["card"]["budget"], value["card"]["seq"])
    charges = [place for place in released.values() if events.get(place, {}).get("event") == "charged"]
    missing = len(released) - len(set(charges)) + sum(release not in committed for release in released)
    return len(released), missing
