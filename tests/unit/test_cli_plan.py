"""`veilstream plan`: what it says, what it draws, what it refuses. No store and no broker is there."""

from __future__ import annotations

import builtins
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from veilstream.accounting import PLD_LABEL, caps, cost, odometer_epsilon, window_charges
from veilstream.cli import app as module
from veilstream.cli.commands import plan as command
from veilstream.errors import BudgetUnknown

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ask(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(module.app, ["plan", *words, "--json"])
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = orjson.loads(done.stdout)
    return answer


def test_a_plan_lasts_as_long_as_it_says() -> None:
    made = ask("--epsilon", "4", "--delta", "1e-7", "--people", "5000", "--window", "86400", "--steps", "30",
               "--windows", "90", "--batch", "250")  # fmt: skip
    assert made["sampling_rate"] == 0.05
    assert made["expected_batch"] == 250
    assert made["windows"] >= 90
    assert made["seconds_until_exhausted"] == made["windows"] * 86400
    noise, orders = made["noise_multiplier"], made["orders"]
    assert cost(4.0, 1e-7, orders, 0.05, noise, 30).windows == made["windows"]
    assert cost(4.0, 1e-7, orders, 0.05, noise - 1e-4, 30).windows < 90
    assert made["noise_of_mean"] == pytest.approx(noise / 250)
    last = made["curve"][-1]
    assert last["epsilon"] <= 4.0
    assert made["pld"]["epsilon"] <= last["epsilon"]
    assert made["pld"]["label"] == PLD_LABEL
    assert [mark["fraction"] for mark in made["thresholds"]][:3] == [0.5, 0.8, 0.95]
    for point in made["curve"]:
        assert point["pld"] is None or point["pld"] <= point["epsilon"]
    for other in made["alternatives"]:
        again = cost(4.0, 1e-7, orders, other["sampling_rate"], other["noise_multiplier"], 30)
        assert again.windows <= 90 * 1.2
    assert {other["sampling_rate"] for other in made["alternatives"]} == {0.025, 0.1, 1.0}


def test_noise_that_is_given_says_how_many_windows() -> None:
    made = ask("--noise", "3", "--epsilon", "8")
    (order,) = made["orders"]
    assert made["windows"] == cost(8.0, 1e-6, (order,), 0.1, 3.0, 60).windows > 0
    assert made["alternatives"] == []
    more = ask("--noise", "6", "--epsilon", "8")
    assert more["windows"] > made["windows"]


def test_more_orders_cost_some_noise() -> None:
    words = ("--windows", "3", "--steps", "5")
    one, three = ask(*words), ask(*words, "--orders", "3")
    assert len(three["orders"]) == 3
    assert three["noise_multiplier"] >= one["noise_multiplier"]


def test_a_second_model_halves_it_or_takes_more_noise() -> None:
    made = ask("--noise", "3", "--second-model")
    second = made["second_model"]
    assert second["windows"] == made["windows"] // 2
    assert second["share"] == 0.5
    assert second["noise_multiplier"] > 3.0
    assert second["curve"][-1]["window"] == second["windows"]
    small = ask("--noise", "3", "--second-steps", "5")["second_model"]
    assert small["share"] < 0.5
    assert small["windows"] > second["windows"]
    assert ask("--noise", "3")["second_model"] is None


def test_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEILSTREAM_WORKER__STEPS", "7")
    monkeypatch.setenv("VEILSTREAM_WORKER__POPULATION", "400")
    monkeypatch.setenv("VEILSTREAM_WORKER__SAMPLING_RATE", "0.25")
    monkeypatch.setenv("VEILSTREAM_WORKER__WINDOW_SECONDS", "7200")
    made = ask("--noise", "4")
    assert (made["steps"], made["people"], made["expected_batch"], made["window_seconds"]) == (
        7,
        400,
        100,
        7200,
    )
    assert made["windows_asked"] == 360


def test_the_table_says_the_same() -> None:
    done = CliRunner().invoke(module.app, ["plan", "--noise", "3", "--second-model"], env={"COLUMNS": "160"})
    assert done.exit_code == 0
    made = ask("--noise", "3", "--second-model")
    assert f"{made['windows']} of 60 minutes" in done.stdout
    assert f"{made['pld']['epsilon']:.3f}" in done.stdout
    assert f"{made['second_model']['windows']} windows in place of {made['windows']}" in done.stdout
    assert "3.0000" in done.stdout


def test_a_plot_is_drawn_as_png_and_svg_and_is_the_same_again(tmp_path: Path) -> None:
    words = ["plan", "--noise", "3", "--second-model"]
    files = [tmp_path / name for name in ("plan.png", "plan.svg", "again.svg")]
    done = CliRunner().invoke(module.app, [*words, *(w for f in files for w in ("--plot", str(f)))])
    assert done.exit_code == 0, done.output
    assert files[0].read_bytes().startswith(PNG)
    root = ElementTree.fromstring(files[1].read_bytes())  # noqa: S314  (our own file)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert files[1].read_bytes() == files[2].read_bytes()
    text = files[1].read_text()
    for label in ("windows of 3600 seconds", "ε spent on one person", "days", "cap: ε = 8", "second model"):
        assert label in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--plot", "plan.pdf"), ".png or .svg"),
        (("--plot", "no/such/plan.png"), "folder"),
        (("--batch", "10", "--sampling-rate", "0.1"), "--batch"),
        (("--noise", "3", "--orders", "2"), "--orders"),
        (("--budget", "acme", "--epsilon", "3"), "--budget"),
        (("--window", "0"), "--window"),
        (("--window", "nan"), "--window"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(module.app, ["plan", *words], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize(
    "words",
    [
        ("--epsilon", "0.00001"), ("--epsilon", "-1"), ("--epsilon", "nan"), ("--delta", "1"),
        ("--noise", "-1"), ("--noise", "nan"), ("--sampling-rate", "1.5"), ("--batch", "5000"),
    ],
)  # fmt: skip
def test_what_is_outside_its_domain_is_one_line(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["veilstream", "plan", *words])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_leaves_no_room_says_so() -> None:
    made = ask("--noise", "0.1")
    assert made["windows"] == 0
    assert made["pld"] is None
    assert any("no window fits" in line for line in made["warnings"])
    assert any("one over the people" in line for line in ask("--noise", "3", "--delta", "0.01")["warnings"])
    few = ask("--noise", "3", "--batch", "0.5")
    assert any("fewer than one" in line for line in few["warnings"])
    assert any("ten million steps" in line for line in few["warnings"])


def test_a_missing_plot_library_is_one_line_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("sys.argv", ["veilstream", "plan", "--noise", "3", "--plot", "plan.png"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "veilstream[plots]" in line


def test_without_dp_accounting_there_is_no_pld_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "dp_accounting":
            raise ModuleNotFoundError("No module named 'dp_accounting'", name="dp_accounting")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    made = ask("--noise", "3")
    assert made["pld"] is None
    assert any("veilstream[trainers]" in line for line in made["warnings"])


class Held:
    """A budget as the ledger has it."""

    def __init__(self, name: str, epsilon: float, spent_windows: int) -> None:
        self.name, self.epsilon, self.delta, self.orders = name, epsilon, 1e-6, (4, 9)
        self.frozen, self.refresh_seconds = name == "lab", 3600.0 if name == "lab" else None
        self.spent = tuple(spent_windows * c for c in window_charges(self.orders, 0.1, 3.0, 60))


class Books:
    held = (Held("acme", 8.0, 20), Held("acme/support", 6.0, 3), Held("lab", 8.0, 0))

    async def path(self, name: str) -> list[Held]:
        """The budget, and those above it."""
        found = [each for each in self.held if f"{name}/".startswith(f"{each.name}/")]
        if not any(each.name == name for each in found):
            raise BudgetUnknown("no budget of that name")
        return found[::-1]


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[tuple[Books, None]]:
        yield Books(), None

    monkeypatch.setattr(command, "open_ledger", opened)


@pytest.mark.usefixtures("books")
def test_a_budget_goes_on_from_its_spend_and_its_parent_may_end_it() -> None:
    made = ask("--budget", "acme/support", "--noise", "3")
    parent, child, _ = Books.held
    rest = [cost(b.epsilon, 1e-6, (4, 9), 0.1, 3.0, 60, spent=b.spent).windows for b in (parent, child)]
    assert made["windows"] == min(rest)
    assert made["full_first"] == ("acme" if rest[0] < rest[1] else "acme/support")
    assert made["budget"] == "acme/support"
    assert made["epsilon_spent"] == round(odometer_epsilon(child.spent, (4, 9), 1e-6), 6)
    limits = caps(6.0, 1e-6, (4, 9))
    assert made["fraction_spent"] == round(min(s / c for s, c in zip(child.spent, limits, strict=True)), 6)
    assert made["pld"] is None  # what was spent before is not a run whose parameters are known
    assert not any("PLD" in line for line in made["warnings"])


@pytest.mark.usefixtures("books")
def test_a_budget_says_which_noise_makes_the_rest_last() -> None:
    made = ask("--budget", "acme", "--windows", "300")
    assert made["windows"] >= 300
    assert made["noise_multiplier"] > 3.0
    assert made["alternatives"]


@pytest.mark.usefixtures("books")
def test_a_frozen_or_refreshing_budget_is_said() -> None:
    first, second = ask("--budget", "lab", "--noise", "3")["warnings"]
    assert "lab is frozen" in first
    assert "60 minutes" in second


@pytest.mark.usefixtures("books")
def test_an_unknown_budget_is_said() -> None:
    done = CliRunner().invoke(module.app, ["plan", "--budget", "acme/other"])
    assert isinstance(done.exception, BudgetUnknown)


def test_planning_loads_no_torch_and_no_store() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from typer.testing import CliRunner; from veilstream.cli.app import app;"
        "r = CliRunner().invoke(app, ['plan', '--noise', '3', '--json']); assert r.exit_code == 0, r.output;"
        "print([m for m in ('torch', 'redis', 'aiokafka', 'faust', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
