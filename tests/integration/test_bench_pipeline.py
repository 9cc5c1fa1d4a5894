"""The benchmark on a real broker, in its shortest form: its figures are there and agree with each other."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from veilstream.bench.pipeline.filling import Backlog, fill
from veilstream.bench.pipeline.latency import latency
from veilstream.bench.pipeline.matrix import Brief, timed
from veilstream.bench.pipeline.options import Options
from veilstream.bench.pipeline.scan import reader
from veilstream.bench.pipeline.stack import Ground
from veilstream.bench.pipeline.workload import records, utterances
from veilstream.keys import FileKeyProvider
from veilstream.settings import KafkaSettings


@pytest.fixture
def ground(kafka: KafkaSettings, store_url: str, tmp_path: Path, data_folder: Path) -> Ground:
    FileKeyProvider(tmp_path / "keys").ensure("bench")
    options = Options(engine="none", partitions=2, latency_seconds=2.0, data=data_folder)
    return Ground(options, tmp_path, kafka.bootstrap, store_url, None, None)


async def test_every_loop_takes_the_same_records_through(ground: Ground) -> None:
    place = await ground.place(2)
    backlog = Backlog.empty(2)
    made = records(utterances(ground.options.data), "replayed", 3)
    await fill(place, islice(made, 10_000), backlog, 2.0)
    assert backlog.megabytes >= 2.0
    brief = Brief(warm_up_seconds=0.2, seconds=30.0)  # until everything is out
    async with reader(place) as out:
        runs = [await timed(ground, place, backlog, out, loop, 1, brief) for loop in ("plain_batch", "ours")]
    for run in runs:
        assert run.records == backlog.records
        assert (run.missing, run.duplicated, run.quarantined) == (0, 0, 0)
        assert run.mb_per_s > run.fresh_mb_per_s > 0
        assert run.rss_mb_end > 20


async def test_delays_are_matched_record_by_record(ground: Ground) -> None:
    told = await latency(ground, "exactly_once", "fresh", 1, 100.0)
    assert told["unseen"] == 0
    assert told["records"] > 100
    assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]
