"""The arithmetic behind the report, where the right answer is known."""

from __future__ import annotations

import math
from random import Random

import pytest

from veilstream.bench.pipeline.account import Account
from veilstream.bench.pipeline.figures import quantile, ratios, rounded, slope
from veilstream.bench.pipeline.growth import bottleneck
from veilstream.bench.pipeline.phases import plan
from veilstream.bench.pipeline.proc import Sample, between


def test_quantile_is_the_nearest_rank() -> None:
    values = [float(v) for v in range(1, 101)]
    assert quantile(values, 0.5) == 50
    assert quantile(values, 0.99) == 99
    assert quantile(values, 1.0) == 100
    assert quantile([3.0], 0.01) == 3.0
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_ratios_go_repetition_by_repetition() -> None:
    assert ratios([2.0, 3.0, 8.0], [1.0, 1.0, 2.0]) == {"median": 3.0, "least": 2.0, "greatest": 4.0}
    assert ratios([1.0], [0.0]) == {}


def test_slope_of_a_line_is_found_and_lies_in_its_interval() -> None:
    points = [(x / 100, 5 + 3 * x / 100 + (0.2 if x % 2 else -0.2)) for x in range(1000)]
    found = slope(points, 0.5)
    assert found.per_x == pytest.approx(3, abs=0.05)
    assert found.low <= 3 <= found.high
    assert found.high - found.low < 0.2


def test_a_flat_line_is_not_taken_for_a_rising_one() -> None:
    dice = Random(5)  # a fixed seed: no chance in this test
    points = [(x / 100, 100 + dice.gauss(0, 1)) for x in range(1000)]
    found = slope(points, 0.5)
    assert found.low <= 0 <= found.high


def test_a_slope_of_too_few_points_says_nothing() -> None:
    found = slope([(0.0, 1.0), (0.1, 2.0)], 1.0)
    assert found.low == -math.inf
    assert found.high == math.inf
    assert rounded(found.high) is None


def test_rounded_keeps_integers_and_shortens_the_rest() -> None:
    assert rounded({"a": [1.23456, 7, True], "b": {"c": 123456.7}}) == {
        "a": [1.235, 7, True],
        "b": {"c": 123500.0},
    }


def test_cpu_time_between_two_moments() -> None:
    samples = [Sample(float(at), 10 + at * 0.5, 100.0 + at) for at in range(10)]
    cpu, start, end = between(samples, 2.0, 6.0)
    assert cpu == pytest.approx(2.0)
    assert (start, end) == (102.0, 106.0)
    assert between(samples, -5.0, 50.0)[0] == pytest.approx(4.5)


def test_account_counts_what_is_lost_and_what_comes_twice() -> None:
    account = Account(2)
    for partition, offset in [(0, 0), (0, 1), (0, 3), (1, 0), (0, 1)]:
        account.mark(partition, offset)
    assert account.seen == 4
    assert account.duplicated == 1
    assert account.lost({0: 4, 1: 2}) == 2
    assert account.done_below(0) == 2
    account.mark(0, 2)
    assert account.done_below(0) == 4
    assert account.lost({0: 4, 1: 1}) == 0


def test_the_plan_fills_the_time_and_holds_every_fault() -> None:
    phases = plan(20)
    assert sum(phase.seconds for phase in phases) == pytest.approx(1200)
    assert {phase.fault for phase in phases} == {"none", "slow", "broker", "store", "hot"}
    assert max(phase.rate for phase in phases) == 10
    assert all(phase.fault_seconds <= phase.seconds for phase in phases)


def test_the_bottleneck_is_named() -> None:
    assert "worker's core" in bottleneck(0.97, 0.5, 1, 4, 2)
    assert "worker's core" in bottleneck(0.97, 0.5, 2, 1, 2)
    assert "machine" in bottleneck(1.2, 0.7, 2, 4, 2)
    assert "waiting" in bottleneck(0.4, 0.3, 1, 4, 2)
