"""Each alert of Prometheus fires and resolves when it should; a rule with another number in it is noticed.

The stories are in `config/deploy/prometheus/tests/`, one file for each alert, and are told to `promtool`. The
mutants then put a fault into a rule (a threshold 2.5 % off, another `for`; the slow ones also a window twice
as long, `and` for `or`, another label, …) and see that its story does not hold any more: so no number in the
rules is there without a test that needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from monitoring import PROMETHEUS, Rule, alerts, outcome, program, records, reduced, run

ALERTS = alerts()
RECORDS = records()
STORIES = sorted((PROMETHEUS / "tests").glob("*.yml"))

NUMBER = re.compile(r"(?<![\w.\[:\"])\d+(?:\.\d+)?(?![\w.\]:\"])")
DURATION = re.compile(r"(?<=\[)\d+[mhd](?=\])|(?<=offset )\d+[mhd]")
MATCHER = re.compile(r'(?<=[=~])"[^"]+"')


def test_promtool_takes_the_rules_and_the_configuration() -> None:
    for what, file in (("config", "prometheus.yml"), ("rules", "rules.yml"), ("rules", "recording.yml")):
        done = run(program("promtool"), "check", what, PROMETHEUS / file)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_loads_every_rule_file() -> None:
    loaded = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["rule_files"]
    assert sorted(loaded) == ["recording.yml", "rules.yml"]


def test_every_alert_has_its_story() -> None:
    names = {story.stem for story in STORIES}
    assert names == {*ALERTS, "recording", "recording-windows"}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: str(story.stem))
def test_the_story_holds(story: Path) -> None:
    done = run(program("promtool"), "test", "rules", story)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_the_story_sees_the_alert_fire_and_resolve(name: str) -> None:
    """In one scene at least: silent, then firing, then silent, in the order of time."""
    story = yaml.safe_load((PROMETHEUS / "tests" / f"{name}.yml").read_text())
    scenes = []
    for scene in story["tests"]:
        moments = sorted((_minutes(x["eval_time"]), bool(x["exp_alerts"])) for x in scene["alert_rule_test"])
        assert all(x["alertname"] == name for x in scene["alert_rule_test"])
        scenes.append("".join("!" if firing else "." for _, firing in moments))
    assert any(re.search(r"\.!+\.", scene) for scene in scenes), scenes


def _minutes(text: str) -> float:
    units = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))


def _changed(expression: str, match: re.Match[str], text: str) -> str:
    return expression[: match.start()] + text + expression[match.end() :]


def _numbers(expression: str) -> Iterator[str]:
    """2.5 % more, 2.5 % less; where events are counted one more, one less; 2 for a zero."""
    for match in NUMBER.finditer(expression):
        number = float(match[0])
        if number == 0:
            others = [2.0]
        elif "increase(" in expression and number > 1:
            others = [number + 1, number - 1]
        else:
            others = [number * 1.025, number * 0.975]
        for other in others:
            yield _changed(expression, match, f"{other:.10g}")


def _durations(expression: str) -> Iterator[str]:
    for match in DURATION.finditer(expression):
        minutes = _minutes(match[0])
        for other in (2 * minutes, minutes / 2):
            yield _changed(expression, match, f"{round(other * 60)}s")


def _words(expression: str) -> Iterator[str]:
    """Another set operation, another comparison, another series."""
    opposite = {"and": "or", "or": "and", "unless": "and", ">": "<", ">=": "<", "<": ">", "==": "!="}
    for match in re.finditer(r"\b(?:and|or|unless)\b|>=|==|[<>]", expression):
        yield _changed(expression, match, opposite[match[0]])
    for match in MATCHER.finditer(expression):
        yield _changed(expression, match, '"nothing"')


def _times(rule: Rule) -> Iterator[Rule]:
    if "for" in rule:
        yield {key: value for key, value in rule.items() if key != "for"}
        yield rule | {"for": f"{round(2 * _minutes(rule['for']))}m"}
    else:
        yield rule | {"for": "1h"}


def _figures(rule: Rule) -> Iterator[Rule]:
    """Another threshold, another `for`."""
    for expression in _numbers(rule["expr"]):
        yield rule | {"expr": expression}
    yield from _times(rule)


def _others(rule: Rule) -> Iterator[Rule]:
    """Another window, another word, another severity."""
    for expression in (*_durations(rule["expr"]), *_words(rule["expr"])):
        yield rule | {"expr": expression}
    yield rule | {"labels": {"severity": "other"}}


def _survivors(folder: Path, rule: Rule, mutants: Iterator[Rule]) -> list[dict[str, Any]]:
    story = PROMETHEUS / "tests" / f"{rule['alert']}.yml"
    assert outcome(folder, reduced(rule), story).returncode == 0
    tried = list(mutants)
    assert tried
    return [
        {key: mutant[key] for key in ("expr", "for", "labels") if key in mutant}
        for mutant in tried
        if outcome(folder, reduced(mutant), story).returncode == 0
    ]


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_with_another_figure_is_noticed(name: str, tmp_path: Path) -> None:
    assert not _survivors(tmp_path, ALERTS[name], _figures(ALERTS[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_with_another_fault_is_noticed(name: str, tmp_path: Path) -> None:
    assert not _survivors(tmp_path, ALERTS[name], _others(ALERTS[name]))


@pytest.mark.parametrize("name", RECORDS)
def test_a_recording_rule_with_a_fault_is_noticed(name: str, tmp_path: Path) -> None:
    stories = [PROMETHEUS / "tests" / f"recording{kind}.yml" for kind in ("", "-windows")]
    everything = [rule for rule in RECORDS.values() if rule["record"] != name]
    place = list(RECORDS).index(name)

    def told(rule: Rule) -> bool:
        rules = [*everything[:place], rule, *everything[place:]]
        return all(outcome(tmp_path, rules, story).returncode == 0 for story in stories)

    assert told(RECORDS[name])
    expression = RECORDS[name]["expr"]
    mutants = [*_numbers(expression), *_durations(expression), *_words(expression), f"1.025 * ({expression})"]
    assert not [mutant for mutant in mutants if told(RECORDS[name] | {"expr": mutant})]
