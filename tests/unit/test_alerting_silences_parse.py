"""Silences and inhibition rules that cannot be used: each says where, what, and what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alert_world import alert
from veilstream.alerting.silences import Silence, load_inhibitions, parse_inhibitions, parse_matchers
from veilstream.alerting.silences_topic import new_silence
from veilstream.errors import SettingInvalid, SilenceInvalid
from veilstream.settings import Settings

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "needs a matcher"),
        (["acme"], "FIELD=PATTERN"),
        (["colour=red"], "tenant, budget, rule, severity, fingerprint"),
        (["budget="], "1 to 200"),
        (["budget=" + "a" * 201], "1 to 200"),
        (["budget=a", "budget=b"], "twice"),
        (["severity=warn"], "info, warning, critical"),
    ],
)
def test_matchers_that_are_none(texts: list[str], said: str) -> None:
    with pytest.raises(SilenceInvalid, match=said):
        parse_matchers(texts)


def test_all_matchers_must_match_and_a_star_crosses_segments() -> None:
    matcher = parse_matchers(["budget=acme/*", "severity=warning"])
    assert matcher.matches(alert(budget="acme/support/tool-choice"))
    assert not matcher.matches(alert(budget="acme"))
    assert not matcher.matches(alert(budget="acme/support", severity="critical"))
    assert not parse_matchers(["budget=acme"]).matches(alert(budget="acme/support")), "the whole text"
    assert parse_matchers(["budget=acme/[ab]=?"]).matches(alert(budget="acme/a=x"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"seconds": 0.0}, "above 0"),
        ({"seconds": -5.0}, "above 0"),
        ({"seconds": float("nan")}, "above 0"),
        ({"seconds": 1e12}, "10000"),
        ({"comment": " "}, "comment"),
        ({"comment": "c" * 501}, "comment"),
        ({"by": "b" * 201}, "by"),
    ],
)
def test_a_silence_that_cannot_be_made(more: dict[str, Any], said: str) -> None:
    options = {"starts": NOW, "seconds": 60.0, "by": "me", "comment": "why", **more}
    with pytest.raises(SilenceInvalid, match=said):
        new_silence(parse_matchers(["budget=*"]), **options)


def test_two_silences_made_at_once_have_ids_of_their_own() -> None:
    made = [
        new_silence(parse_matchers(["budget=*"]), starts=NOW, seconds=60.0, by="me", comment="why")
        for _ in range(2)
    ]
    assert made[0].id != made[1].id
    assert made[0].id.startswith("20270115-080000-")


def test_a_silence_whose_time_is_none_is_refused() -> None:
    value = {
        "id": "s",
        "matchers": {"budget": "*"},
        "starts": "soon",
        "ends": "2026-11-24T10:00:00Z",
        "by": "me",
        "comment": "why",
    }
    with pytest.raises(SilenceInvalid, match="RFC 3339"):
        Silence.from_value(value)


RULE = 'name = "a"\nsource = { severity = "critical" }\ntarget = { severity = ["info", "warning"] }\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[inhibit]\n", "is not TOML"),
        ("colour = 1\n", "nothing else"),
        ("inhibit = 1\n", "nothing else"),
        ("[[inhibit]]\n", "rule 1: name"),
        ("[[inhibit]]\nname = 3\n", "rule 1: name"),
        (f'[[inhibit]]\n{RULE}equal = "budget"\n', "rule 1 \\('a'\\): equal"),
        (f'[[inhibit]]\n{RULE}equal = ["colour"]\n', "equal: it takes a list of fields"),
        (f"[[inhibit]]\n{RULE}equals = []\n", "'equals': no such key"),
        ('[[inhibit]]\nname = "a"\nsource = {}\n', "source: it takes a table"),
        ('[[inhibit]]\nname = "a"\nsource = { colour = "x" }\n', "source: 'colour': no such field"),
        ('[[inhibit]]\nname = "a"\nsource = { budget = [] }\n', "source: budget: it takes a pattern"),
        ('[[inhibit]]\nname = "a"\nsource = { budget = "*" }\ntarget = { rule = [1] }\n', "target: rule"),
        (f"[[inhibit]]\n{RULE}[[inhibit]]\n{RULE}", "two rules have the name 'a'"),
    ],
)
def test_inhibition_rules_that_cannot_be_used(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SettingInvalid, match=said) as caught:
        load_inhibitions(path)
    assert "alerting.inhibitions" in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"nowhere\.toml cannot be read"):
        load_inhibitions(tmp_path / "nowhere.toml")


def test_a_file_of_ones_own_replaces_the_built_in_rules(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[[inhibit]]\n{RULE}equal = ["tenant"]\n')
    (rule,) = load_inhibitions(path)
    assert (rule.name, rule.equal) == ("a", ("tenant",))
    assert rule.target.matches(alert(severity="info"))
    assert parse_inhibitions("", "nothing") == ()
    current = Settings.model_validate({"alerting": {"inhibitions": str(path)}})
    assert current.alerting.inhibitions == path
