"""Rules from TOML. All of them or none: the first fault raises, and says which file, which rule, which key.

A file is a list of `[[rule]]` tables. Durations are texts: a number and a unit of s, m, h or d ("90m",
"1.5h").
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from veilstream.alerting.projection import CONFIDENCES
from veilstream.alerting.ruleset import (
    KINDS,
    Absence,
    Audit,
    BurnRate,
    Exhausted,
    Frozen,
    LedgerDiffers,
    PeopleDenied,
    Projection,
    Refused,
    Rule,
    RuleSet,
    Share,
    Threshold,
    Window,
)
from veilstream.errors import SettingInvalid

__all__ = ["SEVERITIES", "default_rules_text", "load_rules", "parse_rules"]

T = TypeVar("T")
SEVERITIES = ("info", "warning", "critical")
_DEFAULT = "default_rules.toml"
_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}", re.ASCII)
_LONGEST_TEXT = 500
_ALL = ("*",)
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


def default_rules_text() -> str:
    """The rules that are built in, as TOML."""
    return files("veilstream.alerting").joinpath(_DEFAULT).read_text(encoding="utf-8")


def load_rules(path: Path | None, *, thresholds: Sequence[float], runbook_base: str) -> RuleSet:
    """The rules of a file, or the built-in ones.

    Args:
        thresholds: what a `threshold` rule without `at` takes.
        runbook_base: prefix of the runbook of a rule without one; its name is the anchor.

    Raises:
        SettingInvalid: the file cannot be read, or a rule cannot be used.
    """
    if path is None:
        return parse_rules(
            default_rules_text(), source="built-in rules", thresholds=thresholds, runbook_base=runbook_base
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingInvalid(
            f"alerting.rules: {path}: cannot be read ({type(error).__name__}); it takes a TOML file in UTF-8"
        ) from None
    return parse_rules(text, source=str(path), thresholds=thresholds, runbook_base=runbook_base)


def parse_rules(text: str, *, source: str, thresholds: Sequence[float], runbook_base: str) -> RuleSet:
    """Rules from TOML; `source` names the file in errors.

    Raises:
        SettingInvalid: with file, rule, key, and what the key takes.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingInvalid(f"alerting.rules: {source}: is no TOML: {error}") from None
    tables = document.get("rule", [])
    for key in document:
        if key != "rule":
            _refuse(source, None, key, "is unknown", "[[rule]] tables and nothing else")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        _refuse(source, None, "rule", f"is {_type(tables)}", "[[rule]] tables")
    rules: list[Rule] = []
    seen: set[str] = set()
    for number, table in enumerate(tables, start=1):
        rule = _rule(_Table(source, f"rule {number}", table), tuple(thresholds), runbook_base)
        if rule.name in seen:
            _refuse(source, f"rule {number}", "name", "is used twice", "a name of its own for each rule")
        seen.add(rule.name)
        rules.append(rule)
    return RuleSet(rules)


class _Table:
    """One TOML table; says where it is when a key is wrong, and which keys nobody asked for."""

    def __init__(self, source: str, where: str, values: Mapping[str, Any]) -> None:
        self.source, self.where, self._values = source, where, values
        self._asked: set[str] = set()

    def take(self, key: str, read: Callable[[Any], T | None], takes: str, default: T | None = None) -> T:
        """The value of a key; `read` gives None for what cannot be used. Needed where no default is."""
        self._asked.add(key)
        if key not in self._values:
            if default is None:
                _refuse(self.source, self.where, key, "is missing", takes)
            return default
        found = read(self._values[key])
        if found is None:
            _refuse(self.source, self.where, key, f"is {_type(self._values[key])}", takes)
        return found

    def maybe(self, key: str, read: Callable[[Any], T | None], takes: str) -> T | None:
        """The same, and None where the key is not there."""
        self._asked.add(key)
        return self.take(key, read, takes) if key in self._values else None

    def end(self) -> None:
        """Every key must have been asked for."""
        for key in self._values:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked))
                _refuse(self.source, self.where, f"{key:.60}", "is unknown", known)


def _rule(table: _Table, thresholds: tuple[float, ...], runbook_base: str) -> Rule:
    name = table.take("name", _name, "lower case letters, digits and hyphens, 63 at most")
    table.where += f" ({name})"
    kind = table.take("kind", lambda v: v if isinstance(v, str) and v in KINDS else None, ", ".join(KINDS))
    common: dict[str, Any] = {
        "name": name,
        "severity": table.maybe("severity", _severity, ", ".join(SEVERITIES)),
        "tenants": table.maybe("tenants", _texts, "a list of globs") or _ALL,
        "budgets": table.maybe("budgets", _texts, "a list of globs") or _ALL,
        "labels": table.take("labels", _labels, "a table of texts; names of letters, digits, _", _NO_LABELS),
        "runbook": table.take("runbook", _text, "a text: an address", runbook_base + name),
    }
    rule = _MAKERS[kind](table, common, thresholds)
    table.end()
    return rule


def _threshold(table: _Table, common: dict[str, Any], thresholds: tuple[float, ...]) -> Rule:
    at = table.take("at", _fractions, "a list of numbers above 0 and at most 1", thresholds)
    return Threshold(at=tuple(sorted(set(at))), **common)


def _burn_rate(table: _Table, common: dict[str, Any], _: tuple[float, ...]) -> Rule:
    period = table.take("period", _ms, _DURATIONS)
    charges = table.take("charges", _count, "a whole number from 1", 2)
    tables = table.take("windows", _tables, "a list of tables with factor, long, short")
    windows = []
    for number, values in enumerate(tables, start=1):
        inner = _Table(table.source, f"{table.where}, window {number}", values)
        long = inner.take("long", _ms, _DURATIONS)
        short = inner.take("short", _ms, _DURATIONS)
        if short >= long:
            _refuse(inner.source, inner.where, "short", "is not shorter", "less than `long`")
        windows.append(
            Window(
                label=str(values["long"]),
                factor=inner.take("factor", _positive, "a number above 0"),
                long_ms=long,
                short_ms=short,
                keep_ms=inner.take("keep", lambda v: 0 if v == "0s" else _ms(v), _DURATIONS, short),
                severity=inner.take(
                    "severity", _severity, ", ".join(SEVERITIES), common["severity"] or "critical"
                ),
            )
        )
        inner.end()
    if len({window.label for window in windows}) < len(windows):
        _refuse(table.source, table.where, "windows", "have the same `long` twice", "another `long` for each")
    return BurnRate(period_ms=period, charges=charges, windows=tuple(windows), **common)


def _projection(table: _Table, common: dict[str, Any], _: tuple[float, ...]) -> Rule:
    return Projection(
        within_ms=table.take("within", _ms, _DURATIONS),
        over_ms=table.take("over", _ms, _DURATIONS),
        charges=table.take("charges", _count, "a whole number from 1", 4),
        confidence=table.take(
            "confidence",
            lambda v: float(v) if _is_number(v) and v in CONFIDENCES else None,
            ", ".join(map(str, CONFIDENCES)),
            0.9,
        ),
        **common,
    )


def _share(table: _Table, common: dict[str, Any], _: tuple[float, ...]) -> Rule:
    share = table.take("share", _fraction, _FRACTION)
    return Share(share=share, over_ms=table.take("over", _ms, _DURATIONS), **common)


def _absence(table: _Table, common: dict[str, Any], _: tuple[float, ...]) -> Rule:
    return Absence(expected_ms=table.take("expected", _ms, _DURATIONS), **common)


def _people_denied(table: _Table, common: dict[str, Any], _: tuple[float, ...]) -> Rule:
    return PeopleDenied(share=table.take("share", _fraction, _FRACTION), **common)


def _plain(made: type[Rule]) -> Callable[[_Table, dict[str, Any], tuple[float, ...]], Rule]:
    return lambda _table, common, _thresholds: made(**common)


_MAKERS: dict[str, Callable[[_Table, dict[str, Any], tuple[float, ...]], Rule]] = {
    "threshold": _threshold,
    "burn_rate": _burn_rate,
    "projection": _projection,
    "share": _share,
    "absence": _absence,
    "people_denied": _people_denied,
    **{made.kind: _plain(made) for made in (Refused, Exhausted, Frozen, LedgerDiffers, Audit)},
}

_DURATIONS = 'a duration above 0: a number and s, m, h or d, as in "90m"'
_FRACTION = "a number above 0 and at most 1"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> float | None:
    return float(value) if _is_number(value) and 0 < value <= 1e9 else None


def _fraction(value: Any) -> float | None:
    return float(value) if _is_number(value) and 0 < value <= 1 else None


def _fractions(value: Any) -> tuple[float, ...] | None:
    if not isinstance(value, list) or not value:
        return None
    found = [_fraction(one) for one in value]
    return None if None in found else tuple(one for one in found if one is not None)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10**6 else None


def _ms(value: Any) -> int | None:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    found = round(float(match[1]) * _UNITS[match[2]]) if match else 0
    return found if 0 < found <= 3660 * _UNITS["d"] else None


def _severity(value: Any) -> str | None:
    return value if isinstance(value, str) and value in SEVERITIES else None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT else None


def _texts(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not value or not all(_text(one) for one in value):
        return None
    return tuple(value)


def _tables(value: Any) -> list[dict[str, Any]] | None:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return None
    return value


def _labels(value: Any) -> Mapping[str, str] | None:
    if not isinstance(value, dict):
        return None
    usable = all(_LABEL.fullmatch(name) and _text(text) for name, text in value.items())
    return MappingProxyType(value) if usable else None


def _type(value: object) -> str:
    """What a value is, without the value: it may be an address with a password in it."""
    names = {str: "a text", bool: "a boolean", list: "a list", dict: "a table"}
    if _is_number(value):
        return f"{value}"
    return f"{names.get(type(value), f'a {type(value).__name__}')} that cannot be used"


def _refuse(source: str, where: str | None, key: str, problem: str, takes: str) -> NoReturn:
    place = f"{source}: {where}" if where else source
    raise SettingInvalid(f"alerting.rules: {place}: `{key}` {problem}; it takes {takes}")
