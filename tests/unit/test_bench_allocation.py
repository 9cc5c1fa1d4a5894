"""The simulation: seeded, the filter never refuses, figures that belong together, and the command."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from veilstream.bench.allocation.dpack import ORDERS, dpack, zoo
from veilstream.bench.allocation.figures import jain, over_seeds, run_figures
from veilstream.bench.allocation.measure import POLICIES, measure, policies
from veilstream.bench.allocation.plot import draw
from veilstream.bench.allocation.privatekube import privatekube
from veilstream.bench.allocation.simulate import simulate
from veilstream.bench.allocation.workload import Workload
from veilstream.cli.app import app
from veilstream.errors import MissingExtra, SettingInvalid

SMALL = [privatekube(3, scale=0.1), dpack(3, sigma_blocks=3.0, sigma_alpha=4.0, demands=60)]


@pytest.mark.parametrize("workload", SMALL, ids=lambda workload: workload.name)
def test_every_policy_stays_within_the_filter_and_repeats_itself(workload: Workload) -> None:
    for name, policy in policies(workload).items():
        outcome = simulate(workload, policy)
        assert outcome.refused == 0
        assert 0 < len(outcome.granted) < len(workload.demands)
        assert simulate(workload, policy).granted == outcome.granted
        for block in outcome.blocks:  # some order is within its cap, and the models' parts make the whole
            assert any(spent <= cap for spent, cap in zip(block.spent, block.capacity, strict=True))
            for order, spent in enumerate(block.spent):
                assert spent == sum(by[order] for by in block.spent_by.values())
        arrivals = {demand.id: demand for demand in workload.demands}
        for demand_id, at in outcome.granted.items():
            assert arrivals[demand_id].arrival <= at < arrivals[demand_id].deadline
        figures = run_figures(workload, outcome)
        assert figures["granted"] == sum(figures["by_kind"].values()) == sum(figures["by_model"].values())
        assert sum(figures["budget_by_model"].values()) == pytest.approx(1.0)
        assert 1 / 3 <= figures["jain"] <= 1
        assert name in POLICIES


def test_dominant_share_keeps_its_promise_and_first_come_does_not() -> None:
    workload = privatekube(5, scale=0.3)
    told = {name: run_figures(workload, simulate(workload, p)) for name, p in policies(workload).items()}
    assert told["dominant_share"]["promised_demands"] > 100
    assert told["dominant_share"]["promised_granted"] == 1.0
    assert told["first_come"]["promised_granted"] < 0.8
    mice = "mouse, 1 block"
    assert (
        told["dominant_share"]["by_kind"][mice]
        > told["weighted"]["by_kind"][mice]
        > told["first_come"]["by_kind"][mice]
    )
    assert told["weighted"]["jain"] > max(told[p]["jain"] for p in POLICIES if p != "weighted")


def test_the_published_parameters() -> None:
    workload = privatekube(1)
    assert len(workload.blocks) == 11 + 29
    assert (
        3840 - 6 * 62 < len(workload.demands) < 3840 + 6 * 62
    )  # Poisson, 300 s / 0.078125 s, six deviations
    kinds = Counter(workload.kinds.values())
    mice = kinds["mouse, 1 block"] + kinds["mouse, 10 blocks"]
    assert mice / len(workload.demands) == pytest.approx(0.75, abs=0.05)
    for demand in workload.demands:
        latest = max(b.created for b in workload.blocks if b.id in demand.charges)
        assert latest <= demand.arrival < latest + 10 or latest == 0.0
        assert len(demand.charges) in (1, 10)


def test_dpack_varies_what_it_says_it_varies() -> None:
    alike = dpack(1, sigma_blocks=0.0, sigma_alpha=0.0, demands=200)
    assert {len(demand.charges) for demand in alike.demands} == {10}
    limits = alike.blocks[0].capacity

    def best_orders(workload: Workload) -> set[int]:
        found = set()
        for demand in workload.demands:
            price = next(iter(demand.charges.values()))
            parts = [u / c if c > 0 else float("inf") for u, c in zip(price, limits, strict=True)]
            assert min(parts) == pytest.approx(0.02, rel=1e-6)
            found.add(ORDERS[parts.index(min(parts))])
        return found

    assert best_orders(alike) == {5}
    mixed = dpack(1, sigma_blocks=3.0, sigma_alpha=4.0, demands=200)
    assert len(best_orders(mixed)) >= 5
    assert len({len(demand.charges) for demand in mixed.demands}) >= 5
    assert sum(map(len, zoo().values())) > 100
    at_once = dpack(1, sigma_blocks=0.0, sigma_alpha=0.0, demands=50, offline=True)
    assert {demand.arrival for demand in at_once.demands} == {0.0}


def test_jain() -> None:
    assert jain([1, 1, 1]) == 1
    assert jain([1, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 1


def test_spread_over_seeds() -> None:
    told = over_seeds([{"x": 1, "by": {"a": 1.0}}, {"x": 3, "by": {"a": 0.0}}])
    assert told == {
        "x": {"mean": 2, "least": 1, "greatest": 3},
        "by": {"a": {"mean": 0.5, "least": 0.0, "greatest": 1.0}},
    }


def command(*words: str) -> Any:
    result = CliRunner().invoke(app, ["bench", "allocation", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("workload", ["privatekube", "dpack"])
def test_command_prints_one_object_or_tables(workload: str) -> None:
    words = ("--workload", workload, "--seeds", "2", "--scale", "0.05")
    told = orjson.loads(command(*words, "--json"))
    assert told["workload"] == workload
    assert set(told["policies"]) == set(POLICIES)
    assert (
        told["policies"]["packing"]["granted"]["least"] <= told["policies"]["packing"]["granted"]["greatest"]
    )
    assert ("heterogeneity" in told) == (workload == "dpack")
    text = command(*words)
    assert "packing (DPack)" in text
    assert "share of the budget spent" in text


def test_plots_are_written_and_another_suffix_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = measure("dpack", seed=1, seeds=1, scale=0.05)
    draw(result, tmp_path / "a.png")
    draw(measure("privatekube", seed=1, seeds=1, scale=0.05), tmp_path / "a.svg")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    for path in (tmp_path / "a.pdf", tmp_path / "not there" / "a.png"):
        with pytest.raises(SettingInvalid, match=r"png or \.svg"):
            command("--plot", str(path))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="plots"):
        draw(result, tmp_path / "b.png")
