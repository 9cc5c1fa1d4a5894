"""Rules in TOML: what is read, and what is refused with file, rule, key and what the key takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alert_replay import THRESHOLDS, built_in, rules
from veilstream.alerting.ruleparse import load_rules
from veilstream.alerting.ruleset import KINDS, BurnRate, Projection, Threshold
from veilstream.alerting.run import rules_of, run_alerting
from veilstream.errors import SettingInvalid
from veilstream.settings import Settings

HOUR_MS = 3_600_000


def test_the_built_in_rules_are_those_of_the_documents() -> None:
    found = built_in()
    assert {rule.kind for rule in found.rules} == set(KINDS)
    assert [rule.name for rule in found.rules[:3]] == [
        "budget-threshold",
        "budget-exhausted",
        "budget-refused",
    ]
    burn = found.named("budget-burn-rate")
    assert isinstance(burn, BurnRate)
    windows = [(w.factor, w.long_ms / HOUR_MS, w.short_ms / HOUR_MS) for w in burn.windows]
    assert windows == [(14.4, 1, 1 / 12), (6.0, 6, 0.5), (1.0, 72, 6)]
    assert burn.period_ms == 30 * 24 * HOUR_MS
    assert found.reach_ms == (72 + 6) * HOUR_MS
    threshold = found.named("budget-threshold")
    assert isinstance(threshold, Threshold)
    assert threshold.at == THRESHOLDS
    assert threshold.runbook == "docs/operations.md#budget-threshold"


def test_durations_defaults_and_selectors() -> None:
    text = """
    [[rule]]
    name = "p"
    kind = "projection"
    within = "1.5h"
    over = "90m"
    severity = "info"
    budgets = ["acme/*"]
    labels = { team = "privacy" }
    """
    (rule,) = rules(text).rules
    assert isinstance(rule, Projection)
    assert rule.within_ms == rule.over_ms == 1.5 * HOUR_MS
    assert (rule.charges, rule.confidence, rule.severity) == (4, 0.9, "info")
    assert rule.selects("anyone", "acme/support/chat")
    assert not rule.selects("anyone", "acme")
    assert dict(rule.labels) == {"team": "privacy"}


def test_no_rules_at_all_is_a_choice() -> None:
    assert len(rules("")) == 0


BURN = 'name = "b"\nkind = "burn_rate"\nperiod = "30d"\n'
BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    "no TOML": ("[[rule]\n", ("is no TOML", "line 1")),
    "another table": ("[rules]\na = 1\n", ("`rules` is unknown", "[[rule]] tables")),
    "not a list": ("rule = 3\n", ("`rule` is 3", "[[rule]] tables")),
    "no name": ('[[rule]]\nkind = "frozen"\n', ("rule 1", "`name` is missing", "lower case")),
    "a bad name": ('[[rule]]\nname = "A b"\nkind = "frozen"\n', ("rule 1", "`name`", "lower case")),
    "no kind": ('[[rule]]\nname = "x"\n', ("rule 1 (x)", "`kind` is missing", "burn_rate")),
    "an unknown kind": ('[[rule]]\nname = "x"\nkind = "sold"\n', ("rule 1 (x)", "`kind`", "absence")),
    "twice the name": (
        '[[rule]]\nname = "x"\nkind = "frozen"\n[[rule]]\nname = "x"\nkind = "refused"\n',
        ("rule 2", "`name` is used twice"),
    ),
    "an unknown key": (
        '[[rule]]\nname = "x"\nkind = "frozen"\nexpected = "1d"\n',
        ("rule 1 (x)", "`expected` is unknown", "severity"),
    ),
    "a bad severity": (
        '[[rule]]\nname = "x"\nkind = "frozen"\nseverity = "page"\n',
        ("`severity`", "info, warning, critical"),
    ),
    "a threshold of nothing": (
        '[[rule]]\nname = "x"\nkind = "threshold"\nat = [0.5, 0]\n',
        ("`at`", "above 0 and at most 1"),
    ),
    "a threshold of nan": ('[[rule]]\nname = "x"\nkind = "threshold"\nat = [nan]\n', ("`at`",)),
    "a duration without a unit": (
        '[[rule]]\nname = "x"\nkind = "absence"\nexpected = "12"\n',
        ("`expected`", "s, m, h or d"),
    ),
    "a duration of nothing": ('[[rule]]\nname = "x"\nkind = "absence"\nexpected = "0h"\n', ("`expected`",)),
    "a number for a duration": (
        '[[rule]]\nname = "x"\nkind = "absence"\nexpected = 12\n',
        ("`expected` is 12",),
    ),
    "a missing duration": ('[[rule]]\nname = "x"\nkind = "absence"\n', ("`expected` is missing",)),
    "no windows": (f"[[rule]]\n{BURN}windows = []\n", ("`windows`", "factor, long, short")),
    "a window without a factor": (
        f'[[rule]]\n{BURN}windows = [{{ long = "1h", short = "5m" }}]\n',
        ("rule 1 (b), window 1", "`factor` is missing"),
    ),
    "a factor of infinity": (
        f'[[rule]]\n{BURN}windows = [{{ factor = inf, long = "1h", short = "5m" }}]\n',
        ("`factor`", "above 0"),
    ),
    "a factor of true": (
        f'[[rule]]\n{BURN}windows = [{{ factor = true, long = "1h", short = "5m" }}]\n',
        ("`factor` is a boolean",),
    ),
    "windows the wrong way round": (
        f'[[rule]]\n{BURN}windows = [{{ factor = 1, long = "5m", short = "1h" }}]\n',
        ("`short` is not shorter",),
    ),
    "a window twice": (
        f'[[rule]]\n{BURN}windows = [{{ factor = 1, long = "1h", short = "5m" }}, '
        '{ factor = 2, long = "1h", short = "1m" }]\n',
        ("`windows` have the same `long` twice",),
    ),
    "no whole number": (
        f'[[rule]]\n{BURN}charges = 1.5\nwindows = [{{ factor = 1, long = "1h", short = "5m" }}]\n',
        ("`charges` is 1.5", "whole number"),
    ),
    "a confidence that has no table": (
        '[[rule]]\nname = "x"\nkind = "projection"\nwithin = "1d"\nover = "1d"\nconfidence = 0.42\n',
        ("`confidence` is 0.42", "0.9"),
    ),
    "a share above one": (
        '[[rule]]\nname = "x"\nkind = "share"\nshare = 1.5\nover = "1d"\n',
        ("`share` is 1.5", "at most 1"),
    ),
    "globs that are none": (
        '[[rule]]\nname = "x"\nkind = "frozen"\nbudgets = "acme"\n',
        ("`budgets`", "a list of globs"),
    ),
    "labels that are no texts": (
        '[[rule]]\nname = "x"\nkind = "frozen"\nlabels = { team = 3 }\n',
        ("`labels`", "texts"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_rule_that_cannot_be_used_is_refused_with_where_and_what(name: str) -> None:
    text, words = BAD[name]
    with pytest.raises(SettingInvalid) as caught:
        rules(text)
    message = str(caught.value)
    assert message.startswith("alerting.rules: test.toml: ")
    for word in words:
        assert word in message


def test_a_text_in_the_file_is_never_quoted() -> None:
    """It may be an address with a password in it."""
    with pytest.raises(SettingInvalid) as caught:
        rules('[[rule]]\nname = "x"\nkind = "absence"\nexpected = "https://me:hunter2@x"\n')
    assert "hunter2" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, content in ((tmp_path / "none.toml", None), (tmp_path / "latin.toml", b"\xff\xfe")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingInvalid, match=path.name):
            load_rules(path, thresholds=THRESHOLDS, runbook_base="#")


async def test_the_role_does_not_start_with_a_rule_that_cannot_be_used(tmp_path: Path) -> None:
    """Before it connects to anything: there is no broker here."""
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nname = "x"\nkind = "sold"\n')
    given: dict[str, Any] = {"alerting": {"rules": path}, "kafka": {"bootstrap": "127.0.0.1:1"}}
    with pytest.raises(SettingInvalid, match=r"rule 1 \(x\)"):
        await run_alerting(Settings.model_validate(given), sinks=())


def test_the_setting_of_thresholds_reaches_rules_without_their_own(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        '[[rule]]\nname = "a"\nkind = "threshold"\n'
        '[[rule]]\nname = "b"\nkind = "threshold"\nat = [1, 0.9, 0.9]\n'
    )
    given: dict[str, Any] = {"alerting": {"rules": path, "thresholds": [0.7], "runbook_base": "wiki/"}}
    first, second = rules_of(Settings.model_validate(given)).rules
    assert isinstance(first, Threshold)
    assert isinstance(second, Threshold)
    assert (first.at, second.at) == ((0.7,), (0.9, 1.0))
    assert second.runbook == "wiki/b"
