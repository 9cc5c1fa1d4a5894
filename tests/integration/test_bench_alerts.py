"""`bench alerts` from end to end, short: its keys and their sense, not their size."""

from __future__ import annotations

from veilstream.bench.alerts import measure
from veilstream.settings import KafkaSettings


def test_it_measures_on_a_real_kafka(kafka: KafkaSettings) -> None:
    result = measure(rate=100, seconds=2, budgets=4, repeat=1, bootstrap=kafka.bootstrap)
    assert 0 < result["p50_seconds"] <= result["p99_seconds"] == result["p99_seconds_greatest"]
    assert result["count"] > 20
    assert 50 < result["events_per_s"] <= 110
