"""A processor's pipeline with real keys and detection, and a store in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from veilstream.detection import PatternEngine
from veilstream.keys import FileKeyProvider, PersonKeys
from veilstream.processors.pipeline import Pipeline
from veilstream.protection import Protector, load_policy


class MemoryStore:
    """`keys.PersonKeyStore`, kept for as long as it lives."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    async def get_or_create(self, proposals: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return {index: self.kept.setdefault(index, sealed) for index, sealed in proposals.items()}


def pipeline_of(*tenants: str, limit_bytes: int = 100_000) -> tuple[FileKeyProvider, Pipeline]:
    """Keys for these tenants, in a folder of their own, and a pipeline that uses them."""
    provider = FileKeyProvider(Path(tempfile.mkdtemp(prefix="veilstream-keys-")))
    provider.ensure(*tenants)
    pipeline = Pipeline(
        protector=Protector(PatternEngine(), load_policy("strict")),
        provider=provider,
        people=PersonKeys(provider, MemoryStore()),
        topic="veil.interactions.raw",
        incarnation="abc",
        limit_bytes=limit_bytes,
        quarantine_limit_bytes=4 * limit_bytes,
    )
    return provider, pipeline
