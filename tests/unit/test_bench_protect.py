"""The benchmark measures what it says: shape and sense of its figures, not their size."""

from __future__ import annotations

from veilstream.bench.protect import measure
from veilstream.cli.demo.records import demo_records


def test_figures_belong_together() -> None:
    records = [value for value, _ in demo_records(None, 4, seed=1, tenant="bench")]
    result = measure(records, repeat=2)
    assert result["records"] == 4
    assert result["mb_per_s"] > 0
    assert result["decode_mb_per_s"] > result["mb_per_s"]
    assert result["ratio_to_presidio_least"] <= result["ratio_to_presidio"]
    assert result["ratio_to_presidio"] <= result["ratio_to_presidio_greatest"]
