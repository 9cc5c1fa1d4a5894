"""Policies: the preset, the format, errors that say where, and a version that changes with what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from veilstream.detection import KINDS
from veilstream.errors import PolicyInvalid
from veilstream.events.walker import Leaf
from veilstream.protection import load_policy
from veilstream.protection.policy import parse_policy, presets

HEAD = 'format = 1\nname = "mine"\n'


def test_strict_is_a_preset() -> None:
    policy = load_policy("strict")
    assert "strict" in presets()
    assert re.fullmatch(r"strict@[0-9a-f]{12}", policy.version)
    assert policy.version == load_policy("strict").version
    assert policy.propagate
    actions = {policy.action(kind) for kind in KINDS}
    assert actions == {"redact", "token"}  # strict keeps nothing
    assert policy.action("ACCOUNT") == "token"
    assert policy.action("SECRET") == policy.action("PERSON") == "redact"


def test_a_file_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + 'default = "token"\n[kinds]\nURL = "keep"\n')
    policy = load_policy(path)
    assert policy.version.startswith("mine@")
    assert (policy.action("URL"), policy.action("PERSON")) == ("keep", "token")
    assert load_policy(str(path)) == policy


def test_the_version_follows_the_content_and_nothing_else() -> None:
    base = parse_policy(HEAD).version
    assert parse_policy("# a comment\n" + HEAD + 'default = "redact"\nmin_score = 0.4').version == base
    changes = [
        'default = "token"',
        "min_score = 0.5",
        "propagate = false",
        '[kinds]\nURL = "keep"',
        '[[rules]]\npath = "a"\nkind = "URL"\naction = "redact"',
    ]
    versions = {parse_policy(HEAD + change).version for change in changes}
    assert len(versions | {base}) == len(changes) + 1


def test_another_engine_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_policy("strict").version
    monkeypatch.setattr("veilstream.protection.policy.engine_version", lambda: "patterns-99")
    assert load_policy("strict").version != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not toml [", "not TOML"),
        ('name = "x"', "format: got None; takes 1"),
        ('format = 2\nname = "x"', "format: got 2; takes 1"),
        ("format = 1", "name: got None"),
        ('format = 1\nname = "Über"', "name: got"),
        (HEAD + 'default = "erase"', "default: got 'erase'; takes redact | token | keep"),
        (HEAD + "min_score = 2", "min_score: got 2; takes a number from 0 to 1"),
        (HEAD + "min_score = true", "min_score"),
        (HEAD + "min_score = nan", "min_score"),
        (HEAD + "propagate = 1", "propagate: got 1; takes true or false"),
        (HEAD + 'surprise = "x"', "surprise: got 'x'; takes nothing"),
        (HEAD + 'kinds = "x"', "kinds: got 'x'"),
        (HEAD + '[kinds]\nEMAIL = "redact"', "kinds.EMAIL: .* takes one of the kinds ACCOUNT"),
        (HEAD + '[kinds]\nURL = "burn"', "kinds.URL: got 'burn'; takes redact"),
        (HEAD + "rules = [1]", r"rules\[0\]: got 1"),
        (HEAD + 'rules = "x"', "rules: got 'x'"),
        (HEAD + '[[rules]]\naction = "keep"', r"rules\[0\].path: got None"),
        (HEAD + '[[rules]]\npath = "a b"\naction = "keep"', r"rules\[0\].path: got 'a b'"),
        (HEAD + '[[rules]]\npath = "a"\nkind = "X"\naction = "keep"', r"rules\[0\].kind: got 'X'"),
        (HEAD + '[[rules]]\npath = "a"\naction = "x"', r"rules\[0\].action: got 'x'"),
        (HEAD + '[[rules]]\npath = "a"\nwhen = "x"\naction = "keep"', r"rules\[0\].when"),
    ],
)
def test_errors_say_where_what_and_what_it_takes(text: str, words: str) -> None:
    with pytest.raises(PolicyInvalid, match=re.compile(words.replace("|", r"\|"))) as caught:
        parse_policy(text)
    assert caught.value.exit_code == 2


def test_no_such_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyInvalid, match="presets: strict"):
        load_policy("nosuch")
    with pytest.raises(PolicyInvalid):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "path", "owner", "matches"),
    [
        ("messages[].parts[].uri", "messages[].parts[].uri", None, True),
        ("messages[].parts[].uri", "messages[].parts[].uri{json}", None, True),
        ("messages[].parts[].uri", "messages[].parts[].urix", None, False),
        ("messages[].*.uri", "messages[].a.uri", None, True),
        ("messages[].*.uri", "messages[].a.b.uri", None, False),
        ("**.uri", "uri", None, True),
        ("**.uri", "a[].b{json}.uri", None, True),
        ("**.uri", "a.curi", None, False),
        ("tools[].**", "tools[].a[].b", None, True),
        ("**.content?type=blob|audio", "m[].content", {"type": "audio"}, True),
        ("**.content?type=blob|audio", "m[].content", {"type": "text"}, False),
        ("**.content?type=blob|audio", "m[].content", {"type": ["blob"]}, False),
        ("**.content?type=blob|audio", "m[].content", None, False),
    ],
)
def test_paths(pattern: str, path: str, owner: dict[str, object] | None, matches: bool) -> None:
    policy = parse_policy(HEAD + f'[[rules]]\npath = "{pattern}"\naction = "redact"')
    assert (policy.rule(Leaf("x", path, (), owner=owner)) is not None) is matches


def test_the_package_data_is_documented_by_its_own_kinds() -> None:
    for name in presets():
        assert set(load_policy(name).kinds) <= set(KINDS)
