"""Silences and inhibition: which alerts sinks are not told of, and until when. Pure; time is an argument.

The topic `budget.alerts` records every alert in any case: these decide only what people are told.

* A **silence** names alerts by patterns (`budget=acme/*`), for a span of time. It stands on `budget.alerts`
  itself, as a record of type `ai.veilstream.alert.silence.v1` with the key `silence/<id>`, so whoever has the
  alerts has the silences, and a restart forgets none. It is public like the alerts: no secret belongs in it.
* An **inhibition** is a rule: while a *source* alert fires, *target* alerts that are equal to it in some
  fields are not told. As in Alertmanager, a source inhibits although it is itself silenced, and an alert that
  is both source and target is not inhibited by another of that kind (nor by itself).

Both hold back the firing of an alert that was not told yet. Who was told of an alert is told of its end.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from veilstream.alerting.ruleparse import SEVERITIES
from veilstream.errors import SettingInvalid, SilenceInvalid
from veilstream.events import types
from veilstream.events.codec import check

__all__ = [
    "FIELDS",
    "Inhibition",
    "Matcher",
    "Silence",
    "load_inhibitions",
    "parse_inhibitions",
    "parse_matchers",
    "rfc3339",
]

FIELDS = ("tenant", "budget", "rule", "severity", "fingerprint")
"""What a silence or an inhibition can ask of an alert."""

_LONGEST_PATTERN = 200


def rfc3339(unix_seconds: float) -> str:
    """UTC, milliseconds."""
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Matcher:
    """Patterns that an alert's fields must all match: for each field, any one of its patterns.

    `*` is any text (a `/` too: `acme/*` is everything below acme), `?` one character, `[ab]` one of them.
    Without patterns it matches every alert.
    """

    patterns: tuple[tuple[str, tuple[str, ...]], ...]

    @cached_property
    def _compiled(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        return tuple(
            (field, re.compile("|".join(fnmatch.translate(one) for one in globs)))
            for field, globs in self.patterns
        )

    def matches(self, alert: Mapping[str, Any]) -> bool:
        """A field that the alert does not have is matched as an empty text."""
        return all(pattern.match(str(alert.get(field, ""))) for field, pattern in self._compiled)


@dataclass(frozen=True)
class Silence:
    """A silence; `starts` and `ends` are Unix seconds. In force from `starts` until before `ends`."""

    id: str
    matcher: Matcher
    starts: float
    ends: float
    by: str
    comment: str

    def active(self, now: float) -> bool:
        return self.starts <= now < self.ends

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> Silence:
        """Of a checked `ai.veilstream.alert.silence.v1`.

        Raises:
            SilenceInvalid: a time is none.
        """
        return cls(
            value["id"],
            Matcher(tuple((field, (glob,)) for field, glob in value["matchers"].items())),
            _unix(value["starts"]),
            _unix(value["ends"]),
            value["by"],
            value["comment"],
        )

    def to_value(self) -> dict[str, Any]:
        """The record's value, checked.

        Raises:
            RecordInvalid: it breaks the schema (too long a comment, say).
        """
        value = {
            "id": self.id,
            "matchers": {field: globs[0] for field, globs in self.matcher.patterns},
            "starts": rfc3339(self.starts),
            "ends": rfc3339(self.ends),
            "by": self.by,
            "comment": self.comment,
        }
        check(types.ALERT_SILENCE, value)
        return value


def _unix(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise SilenceInvalid("a silence's time is not RFC 3339") from None


def parse_matchers(texts: Sequence[str]) -> Matcher:
    """`["budget=acme/*", "severity=warning"]` as a matcher.

    Raises:
        SilenceInvalid: none at all (that would silence everything), an unknown field, a field twice, or a
            pattern that is empty or too long.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        field, equals, glob = text.partition("=")
        if not equals or field not in FIELDS:
            raise SilenceInvalid(
                f"got {text!r:.60}; a matcher is FIELD=PATTERN, and FIELD one of {', '.join(FIELDS)}"
            )
        if field in found:
            raise SilenceInvalid(f"{field} is matched twice", hint="make two silences for two patterns")
        if not 1 <= len(glob) <= _LONGEST_PATTERN:
            raise SilenceInvalid(f"{field}: a pattern has 1 to {_LONGEST_PATTERN} characters")
        if field == "severity" and not any(fnmatch.fnmatchcase(one, glob) for one in SEVERITIES):
            raise SilenceInvalid(f"severity: got {glob!r:.40}; takes {', '.join(SEVERITIES)}, or a pattern")
        found[field] = (glob,)
    if not found:
        raise SilenceInvalid("a silence needs a matcher: budget='*' silences everything, if that is meant")
    return Matcher(tuple(found.items()))


@dataclass(frozen=True)
class Inhibition:
    """While an alert of `source` fires, those of `target` with the same `equal` fields are not told."""

    name: str
    source: Matcher
    target: Matcher
    equal: tuple[str, ...]

    def key(self, alert: Mapping[str, Any]) -> tuple[str, ...]:
        """What source and target must have in common."""
        return tuple(str(alert.get(field, "")) for field in self.equal)


def load_inhibitions(path: Path | None) -> tuple[Inhibition, ...]:
    """The rules of a file; the built-in ones without a path.

    Raises:
        SettingInvalid: it cannot be read, or a rule cannot be used; names file, rule and key.
    """
    if path is None:
        text = files("veilstream.alerting").joinpath("silences_inhibitions.toml").read_text()
        return parse_inhibitions(text, "the built-in rules")
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"alerting.inhibitions: {path} cannot be read ({type(error).__name__})"
        ) from None
    return parse_inhibitions(text, str(path))


def parse_inhibitions(text: str, where: str) -> tuple[Inhibition, ...]:
    """Rules in TOML: tables `[[inhibit]]` with `name`, `source`, `target` and `equal`.

    Raises:
        SettingInvalid: names `where`, rule and key, and what it takes. Nothing is half taken.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingInvalid(f"alerting.inhibitions: {where} is not TOML: {error}") from None
    rules = document.pop("inhibit", [])
    if document or not isinstance(rules, list):
        raise SettingInvalid(f"alerting.inhibitions: {where}: it takes tables [[inhibit]] and nothing else")
    found = [_rule(rule, f"alerting.inhibitions: {where}: rule {n}") for n, rule in enumerate(rules, 1)]
    names = [rule.name for rule in found]
    for name in names:
        if names.count(name) > 1:
            raise SettingInvalid(f"alerting.inhibitions: {where}: two rules have the name {name!r:.40}")
    return tuple(found)


def _rule(rule: Any, where: str) -> Inhibition:
    if not isinstance(rule, dict) or not isinstance(rule.get("name"), str) or not rule["name"]:
        raise SettingInvalid(f"{where}: name: it takes a text")
    where = f"{where} ({rule['name']!r:.40})"
    strangers = sorted(set(rule) - {"name", "source", "target", "equal"})
    if strangers:
        raise SettingInvalid(
            f"{where}: {strangers[0]!r:.40}: no such key; there are name, source, target, equal"
        )
    equal = rule.get("equal", [])
    if not isinstance(equal, list) or not all(field in FIELDS for field in equal):
        raise SettingInvalid(f"{where}: equal: it takes a list of fields: {', '.join(FIELDS)}")
    source, target = (_matcher(rule.get(side), f"{where}: {side}") for side in ("source", "target"))
    return Inhibition(rule["name"], source, target, tuple(equal))


def _matcher(table: Any, where: str) -> Matcher:
    if not isinstance(table, dict) or not table:
        raise SettingInvalid(f"{where}: it takes a table of patterns, such as {{ severity = 'critical' }}")
    found = []
    for field, globs in table.items():
        if field not in FIELDS:
            raise SettingInvalid(f"{where}: {field!r:.40}: no such field; there are {', '.join(FIELDS)}")
        many = globs if isinstance(globs, list) else [globs]
        if not many or not all(isinstance(g, str) and 1 <= len(g) <= _LONGEST_PATTERN for g in many):
            raise SettingInvalid(f"{where}: {field}: it takes a pattern, or a list of them")
        found.append((field, tuple(many)))
    return Matcher(tuple(found))
