"""What a demo run is asked to do, and the settings that follow from it.

Every parameter of training is public: it follows from the command line, never from the records.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from veilstream.errors import SettingInvalid

__all__ = ["BUDGET", "TENANT", "Plan", "environment", "fresh_folder", "write_settings"]

TENANT = "demo"
BUDGET = "demo"
EPSILON = 8.0
DELTA = 1e-5
SPARE_WINDOWS = 1  # the budget has room for one more than is run: something is left at the end
SAMPLING_RATE = 0.15
STEPS = 40
PUBLISH_SHARE = 0.9  # of a window: how long after its end a release is seen
START_SECONDS = 14.0  # from writing the settings to the first window: roles need that long to be ready

_MARKER = ".veilstream-demo"


@dataclass(frozen=True, slots=True)
class Plan:
    """The command line."""

    input: Path | None
    limit: int
    dump: Path | None
    broker: Literal["auto", "kafka", "tansu"]
    data: Path
    seed: int
    processors: int
    windows: int
    window_seconds: float


def fresh_folder(data: Path) -> None:
    """Empty the demo's folder. One that a demo did not make is never touched."""
    if data.exists() and any(data.iterdir()):
        if not (data / _MARKER).exists():
            raise SettingInvalid(
                "--data: the folder is not empty and no demo made it", hint="name another folder"
            )
        shutil.rmtree(data)
    data.mkdir(parents=True, exist_ok=True)
    (data / _MARKER).touch()


def write_settings(plan: Plan, noise_multiplier: float) -> float:
    """Write `veilstream.toml` into the demo's folder; returns when the first window starts, Unix seconds."""
    origin = time.time() + START_SECONDS
    (plan.data / "veilstream.toml").write_text(
        f"""# Written by `veilstream demo`.
[kafka]
partitions = 4

[processor]
batch_records = 100

[worker]
tenant = "{TENANT}"
budget = "{BUDGET}"
window_seconds = {plan.window_seconds}
window_origin_seconds = {origin}
grace_seconds = 1.0
publish_seconds = {PUBLISH_SHARE * plan.window_seconds}
max_windows = {plan.windows}
population = {max(1, plan.limit // plan.windows)}
sampling_rate = {SAMPLING_RATE}
noise_multiplier = {noise_multiplier!r}
steps = {STEPS}
"""
    )
    return origin


def environment(plan: Plan) -> dict[str, str]:
    """The environment of every role: the demo's settings and nothing of the caller's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VEILSTREAM_")}
    return {
        **inherited,
        "VEILSTREAM_DATA_DIR": str(plan.data),
        "VEILSTREAM_CONFIG": str(plan.data / "veilstream.toml"),
    }
