"""What a fault may touch, and what the verdict needs to know of what was done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from veilstream.bench.chaos.cluster import Cluster
from veilstream.bench.chaos.load import Load
from veilstream.bench.chaos.network import Network
from veilstream.bench.chaos.options import Options
from veilstream.bench.chaos.oracle import Place, Raw
from veilstream.bench.chaos.readers import Follower
from veilstream.bench.chaos.roles import Roles
from veilstream.errors import BrokerUnavailable, TopicMismatch
from veilstream.events.topics import topic_name
from veilstream.settings import Settings
from veilstream.transport import end_offsets

if TYPE_CHECKING:
    from veilstream.ledger import Ledger

__all__ = ["World"]


@dataclass(slots=True)
class World:
    """One run's brokers, roles and load."""

    options: Options
    folder: Path
    settings: Settings
    cluster: Cluster
    network: Network | None
    roles: Roles
    load: Load
    follower: Follower
    ledger: Ledger
    incarnations: list[str]
    deleted: list[Raw] = field(default_factory=list)
    """What raw topics held that are no more."""
    optional: set[Place] = field(default_factory=set)
    """Places that went with a deleted topic before their output was seen."""

    async def raw_ends(self) -> dict[int, int]:
        """The raw topic's ends now; waits for the broker."""
        raw = topic_name(self.settings.kafka, "interactions.raw")
        while True:
            try:
                return await end_offsets(self.settings.kafka, raw)
            except (BrokerUnavailable, TopicMismatch):
                await asyncio.sleep(0.3)
