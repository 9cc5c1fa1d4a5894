"""The benchmark in its shortest form, on a real store and a real broker: its figures agree."""

from pathlib import Path
from typing import Any

import pytest

from veilstream.bench.ledger.ground import Ground
from veilstream.bench.ledger.growth import growth
from veilstream.bench.ledger.measure import measure
from veilstream.bench.ledger.options import Options
from veilstream.bench.ledger.rebuilding import rebuilding
from veilstream.keys import FileKeyProvider
from veilstream.settings import KafkaSettings


@pytest.fixture
def ground(kafka: KafkaSettings, store_url: str, tmp_path: Path) -> Ground:
    provider = FileKeyProvider(tmp_path / "keys")
    provider.create_ledger()
    provider.create_operator()
    return Ground(Options(concurrency=3).quick(), tmp_path, kafka.bootstrap, store_url, {})


async def test_every_figure_is_there_and_they_agree(ground: Ground) -> None:
    said: list[str] = []
    told = await measure(ground, said.append)
    options = ground.options
    for part, orders in ((told["one_order"], 1), (told["eight_orders"], 8)):
        # Everybody once, then runs, then one model alone; and the budget's creation.
        windows = options.people // options.window + part["windows"] + options.alone_windows
        assert part["entries_verified"] == windows + 1
        assert part["charges_per_s_all"] == [part["charges_per_s"]]
        assert part["ratio_to_hincrby"] == pytest.approx(part["charges_per_s"] / part["hincrby_per_s"])
        assert 0 < part["reservation_p50_ms"] <= part["reservation_p99_ms"] <= part["acknowledged_p99_ms"]
        assert 0 < part["reservation_alone_p50_ms"] <= part["acknowledged_alone_p50_ms"]
        assert part["charges_per_s_new_people"] > 0
        assert part["cpu_ms_per_window"].keys() == {"relay", "models"}
        # A token of 15 bytes and the units, in one hash each here, for there are fewer people than hashes.
        assert 15 + orders < part["bytes_per_person"] < 1000
    assert told["charges_per_s"] == told["one_order"]["charges_per_s"]
    assert told["reservation_p99_ms"] == told["one_order"]["reservation_alone_p99_ms"]
    assert told["longest_script_ms"] > 0
    assert said


async def test_growth_has_a_row_for_each_size_that_fits(ground: Ground) -> None:
    told = await growth(ground, lambda line: None)
    rows: list[dict[str, Any]] = told["growth"]
    assert [(row["orders"], row["people"], row["window"]) for row in rows] == [
        (orders, people, window)
        for orders in (1, 8)
        for people in ground.options.growth_people
        for window in ground.options.growth_windows
        if window <= people
    ]
    for row in rows:
        assert row["charges_per_s"] > 0
        assert row["windows"] > 0
        assert 0 < row["longest_script_ms"] <= told["longest_script_ms"]


async def test_a_journal_of_so_many_entries_is_made_a_store_and_verified(ground: Ground) -> None:
    told = await rebuilding(ground, 1200, lambda line: None)
    assert told["entries"] == 1200
    assert told["rebuild_s"] > 0 < told["verify_s"]
    assert told["entries_per_s"] == pytest.approx(1200 / told["rebuild_s"])
