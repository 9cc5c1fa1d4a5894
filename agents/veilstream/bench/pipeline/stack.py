"""A broker and a store of the benchmark's own, in a temporary folder; or those that it is given."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from veilstream.bench.pipeline.options import Options, Place
from veilstream.embedded.kafka import LocalKafka
from veilstream.embedded.valkey import LocalValkey
from veilstream.keys import FileKeyProvider
from veilstream.transport import ensure_topics

__all__ = ["Ground", "ground"]

_KAFKA = {
    # What was read can go from the disk while a run goes on.
    "log.segment.bytes": "67108864",
    "log.retention.check.interval.ms": "10000",
    "log.segment.delete.delay.ms": "1000",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What runs, and where. `broker` and `store` are None where they are not ours."""

    options: Options
    folder: Path
    bootstrap: str
    store_url: str
    broker: LocalKafka | None
    store: LocalValkey | None

    async def place(self, partitions: int) -> Place:
        """A new prefix with the whole catalogue under it."""
        place = Place(
            bootstrap=self.bootstrap,
            store_url=self.store_url,
            keys_folder=str(self.folder / "keys"),
            topic_prefix=f"bench{token_hex(5)}.",
            partitions=partitions,
            delivery=self.options.delivery,
            compression=self.options.compression,
            engine=self.options.engine,
        )
        await ensure_topics(place.settings().kafka)
        return place


@contextmanager
def ground(options: Options) -> Iterator[Ground]:
    """Start what is not given, make keys, and take everything down at the end. In the main thread."""
    folder = Path(tempfile.mkdtemp(prefix="veilstream-bench-"))
    try:
        with ExitStack() as running:
            broker = store = None
            bootstrap, store_url = options.bootstrap, options.store_url
            if bootstrap is None:
                broker = running.enter_context(LocalKafka(folder / "kafka", settings=_KAFKA))
                bootstrap = broker.bootstrap
            if store_url is None:
                store = running.enter_context(LocalValkey(folder / "valkey"))
                store_url = store.url
            FileKeyProvider(folder / "keys").ensure("bench")
            yield Ground(options, folder, bootstrap, store_url, broker, store)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
