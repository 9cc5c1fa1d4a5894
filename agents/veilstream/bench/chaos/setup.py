"""From options to settings: one file that every role reads, and what stands before any of them runs."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from veilstream.accounting import plan as plan_noise
from veilstream.bench.chaos.cluster import Cluster
from veilstream.bench.chaos.options import Delivery, Options
from veilstream.bench.chaos.records import TENANT
from veilstream.errors import BrokerUnavailable, TopicMismatch
from veilstream.keys import FileKeyProvider
from veilstream.settings import KafkaSettings, ProcessorSettings, Settings, load_settings
from veilstream.transport import ensure_topics

__all__ = ["BUDGET", "DELTA", "EPSILON", "environment", "make_topics", "orders", "setting_of", "settings"]

BUDGET = "chaos"
EPSILON, DELTA = 8.0, 1e-5
SESSION_SECONDS = 6.0
_WINDOW_SECONDS = 10.0
_SAMPLING_RATE, _STEPS = 0.2, 10


def setting_of(wanted: Delivery | None) -> Delivery | None:
    """The delivery to ask for: the wanted one, else `exactly_once`; None where there is no such setting."""
    return (wanted or "exactly_once") if "delivery" in ProcessorSettings.model_fields else None


def _windows(options: Options) -> int:
    """More than the run can train, attempts that were killed included: the budget shall last."""
    return 40 + int(2 * 60 * options.minutes / _WINDOW_SECONDS)


def orders(options: Options) -> tuple[tuple[int, ...], float]:
    """The budget's orders, and the noise multiplier under which it lasts."""
    noise = plan_noise(
        epsilon=EPSILON, delta=DELTA, sampling_rate=_SAMPLING_RATE, steps=_STEPS, windows=_windows(options)
    )
    return noise.orders, noise.noise_multiplier


def environment(folder: Path, options: Options) -> Mapping[str, str]:
    """What each role gets: the run's settings, and nothing of the caller's."""
    for name in [name for name in os.environ if name.startswith("VEILSTREAM_")]:
        del os.environ[name]
    found = {
        "VEILSTREAM_DATA_DIR": str(folder / "data"),
        "VEILSTREAM_CONFIG": str(folder / "veilstream.toml"),
        **options.extra,
    }
    delivery = setting_of(options.delivery)
    if delivery is not None:
        found["VEILSTREAM_PROCESSOR__DELIVERY"] = delivery
    return found


def settings(
    folder: Path, cluster: Cluster, noise_multiplier: float, environment: Mapping[str, str]
) -> Settings:
    """Write `veilstream.toml` and read it."""
    thresholds = ", ".join(f"{step / 50:g}" for step in range(1, 51))
    (folder / "data").mkdir(mode=0o700)
    (folder / "veilstream.toml").write_text(
        f"""# Written by `veilstream chaos`.
[kafka]
bootstrap = "{cluster.bootstrap}"
partitions = 4
replication_factor = 3
min_insync_replicas = 2
max_record_bytes = 50000
request_timeout_seconds = 10.0

[store]
url = "{cluster.store.url}"
timeout_seconds = 3.0

[processor]
session_seconds = {SESSION_SECONDS}
batch_records = 100

[worker]
tenant = "{TENANT}"
budget = "{BUDGET}"
window_seconds = {_WINDOW_SECONDS}
window_origin_seconds = {time.time()}
grace_seconds = 1.0
publish_seconds = 3.0
max_attempts = 100000
population = 40
sampling_rate = {_SAMPLING_RATE}
noise_multiplier = {noise_multiplier!r}
steps = {_STEPS}

[alerting]
thresholds = [{thresholds}]
"""
    )
    os.environ.update(environment)
    current = load_settings()
    FileKeyProvider(current.keys_folder).ensure(TENANT)
    return current


async def make_topics(kafka: KafkaSettings, seconds: float) -> None:
    """The catalogue, as soon as the cluster has its nodes together.

    Raises:
        BrokerUnavailable, TopicMismatch: not after so long.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            await ensure_topics(kafka)
            return
        except (BrokerUnavailable, TopicMismatch) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            print(f"chaos: the cluster is not ready ({type(error).__name__})", file=sys.stderr)
            await asyncio.sleep(0.5)
