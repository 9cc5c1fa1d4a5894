"""What is measured, and how children are told: plain values that travel as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from veilstream.settings import KafkaSettings, ProcessorSettings, Settings, load_settings

__all__ = ["Delivery", "Engine", "Options", "Place", "Workload", "supported"]

Engine = Literal["present", "none", "presidio"]
Workload = Literal["fresh", "replayed"]
Delivery = Literal["exactly_once", "at_least_once"]
Compression = Literal["none", "gzip", "lz4", "zstd"]


@dataclass(frozen=True, slots=True)
class Options:
    """One benchmark. Times in seconds, sizes in MB of 10⁶ bytes."""

    engine: Engine = "present"
    workloads: tuple[Workload, ...] = ("fresh", "replayed")
    workers: tuple[int, ...] = (1, 2)
    partitions: int = 4
    repeat: int = 3
    seconds: float = 6.0  # a timed run, after its warm-up
    warm_up_seconds: float = 1.5
    latency_seconds: float = 12.0
    backlog_mb: float = 400.0
    sizes_kb: tuple[int, ...] = (1, 4, 16)
    record_kb: int | None = None  # fixed size of fresh records; None: 2 KB median
    batch: int = 1  # interactions in a record
    delivery: Delivery = "exactly_once"
    both_deliveries: bool = True  # latency under either
    compression: Compression = "none"
    seed: int = 1
    data: Path = Path("../shared/data")
    bootstrap: str | None = None
    store_url: str | None = None

    def told(self) -> dict[str, Any]:
        """As the report repeats it: addresses left out."""
        told = asdict(self)
        for name in ("data", "bootstrap", "store_url"):
            del told[name]
        return told


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: the broker, the store, the keys, a prefix of its own."""

    bootstrap: str
    store_url: str
    keys_folder: str
    topic_prefix: str
    partitions: int
    delivery: Delivery
    compression: Compression
    engine: Engine
    telemetry_port: int = 0
    idempotence: bool = True

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def with_(self, **changes: Any) -> Place:
        return replace(self, **changes)

    def settings(self) -> Settings:
        """The settings tree of a process at this place; what the user's files say of other things stands."""
        kafka: dict[str, Any] = {
            "bootstrap": self.bootstrap,
            "topic_prefix": self.topic_prefix,
            "partitions": self.partitions,
            "idempotence": self.idempotence,
        }
        processor: dict[str, Any] = {}
        if supported("compression"):
            kafka["compression"] = self.compression
        if supported("delivery"):
            processor["delivery"] = self.delivery
        return load_settings(
            kafka=kafka,
            processor=processor,
            store={"url": self.store_url},
            keys={"folder": self.keys_folder},
            telemetry={"port": self.telemetry_port, "log_level": "WARNING"},
        )


def supported(name: Literal["delivery", "compression"]) -> bool:
    """Whether the settings have it."""
    section = ProcessorSettings if name == "delivery" else KafkaSettings
    return name in section.model_fields
