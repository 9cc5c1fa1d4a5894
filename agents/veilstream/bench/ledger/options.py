"""What is measured, and how children are told: plain values that travel as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from veilstream.ledger import Charge
from veilstream.settings import Settings, load_settings

__all__ = ["DELTA", "EIGHT", "EPSILON", "ONE", "TENANT", "Options", "Place", "price"]

TENANT = "bench"
DELTA = 1e-6
EPSILON = 1000.0
"""Never used up in a run. The charges, and so the size of a person's numbers, are an ordinary window's."""

ONE = (12,)
EIGHT = (4, 6, 8, 12, 16, 24, 32, 64)


def price(orders: tuple[int, ...]) -> Charge:
    """What a window costs: 20 steps at q = 0.02, σ = 3; 0.006 nats at order 12."""
    return Charge.of(
        orders,
        sampling_rate=0.02,
        noise_multiplier=3.0,
        steps=20,
        clip_norm=1.0,
        records_per_person=4,
        expected_batch=20.0,
    )


@dataclass(frozen=True, slots=True)
class Options:
    """One benchmark."""

    people: int = 1_000_000
    window: int = 1_000  # people in it
    concurrency: int = 8  # models that charge at once, under one budget
    processes: int = 2  # that these models are spread over
    seconds: float = 5.0  # a timed run
    repeat: int = 3
    alone_windows: int = 200  # charged by one model while nothing else runs
    growth_people: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    growth_windows: tuple[int, ...] = (10, 100, 1_000, 10_000, 100_000)
    seed: int = 1

    def quick(self) -> Options:
        """The same in some seconds, for CI: what it says of speed is worth nothing."""
        return replace(
            self,
            people=min(self.people, 2_000),
            window=min(self.window, 100),
            concurrency=min(self.concurrency, 4),
            seconds=min(self.seconds, 0.5),
            repeat=min(self.repeat, 1),
            alone_windows=min(self.alone_windows, 10),
            growth_people=(1_000,),
            growth_windows=(10, 1_000),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a child finds everything."""

    store_url: str
    bootstrap: str
    topic_prefix: str
    keys_folder: str

    def settings(self) -> Settings:
        """The settings tree of a process at this place."""
        return load_settings(
            kafka={"bootstrap": self.bootstrap, "topic_prefix": self.topic_prefix, "partitions": 1},
            store={"url": self.store_url},
            keys={"folder": self.keys_folder},
            telemetry={"log_level": "WARNING"},
        )

    def dump(self) -> dict[str, Any]:
        return asdict(self)
