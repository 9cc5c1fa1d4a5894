"""A policy: what happens to which kind, and to which path. TOML; docs/policy.md has the format.

Its version, `strict@1a2b3c4d5e6f`, is 12 hexadecimal digits of SHA-256 over everything that can change the
output: the policy's content (not its comments), and the version of the engine that finds."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from veilstream.detection import KINDS, engine_version
from veilstream.errors import PolicyInvalid
from veilstream.events.walker import Leaf
from veilstream.protection.paths import PATTERN, PathSet

__all__ = ["ACTIONS", "Action", "Policy", "Rule", "load_policy", "parse_policy", "presets"]

Action = Literal["redact", "token", "keep"]
ACTIONS: tuple[Action, ...] = ("redact", "token", "keep")

_FORMAT = 1
_OUTPUT = 2  # counts up when this room does something else with the same findings
_NAME = re.compile(r"[a-z0-9][a-z0-9_\-]{0,62}")
_KEYS = ("format", "name", "default", "min_score", "propagate", "kinds", "rules")
_RULE_KEYS = ("path", "kind", "action")


@dataclass(frozen=True, slots=True)
class Rule:
    """A whole value at a path."""

    path: str
    kind: str
    action: Action


@dataclass(frozen=True)
class Policy:
    """A checked policy."""

    name: str
    version: str
    default: Action
    min_score: float
    propagate: bool
    kinds: dict[str, Action]
    rules: tuple[Rule, ...] = ()
    _paths: PathSet = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_paths", PathSet([rule.path for rule in self.rules]))

    def action(self, kind: str) -> Action:
        return self.kinds.get(kind, self.default)

    def paths(self) -> PathSet:
        """The rules' paths, for one record."""
        return self._paths.remembering()

    def rule(self, leaf: Leaf) -> Rule | None:
        """The first rule whose path is the leaf's."""
        position = self._paths.find(leaf)
        return None if position is None else self.rules[position]


def presets() -> list[str]:
    """Names of the policies that come with the package."""
    folder = files("veilstream.protection").joinpath("policies")
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_policy(name_or_path: str | Path) -> Policy:
    """Read a preset by its name, or a policy file by its path.

    Raises:
        PolicyInvalid: there is none, or it says where, what it got and what it takes.
    """
    name = str(name_or_path)
    if name in presets():
        text = files("veilstream.protection").joinpath("policies", f"{name}.toml").read_text("utf-8")
        return parse_policy(text, where=f"preset {name}")
    path = Path(name_or_path)
    try:
        return parse_policy(path.read_text("utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError):
        raise PolicyInvalid(
            f"policy {name!r} is no preset, and no file that can be read",
            hint=f"a file, or one of the presets: {', '.join(presets())}",
        ) from None


def parse_policy(text: str, *, where: str = "policy") -> Policy:
    """Check a policy's TOML."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyInvalid(f"{where}: not TOML: {error}", hint="see docs/policy.md") from None

    def refuse(key: str, got: object, takes: str) -> PolicyInvalid:
        return PolicyInvalid(f"{where}: {key}: got {got!r}; takes {takes}", hint="see docs/policy.md")

    for key in document:
        if key not in _KEYS:
            raise refuse(key, document[key], f"nothing: there is no such key; there are {', '.join(_KEYS)}")
    if document.get("format") != _FORMAT:
        raise refuse("format", document.get("format"), str(_FORMAT))
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise refuse("name", name, "lower case letters, digits, - and _")
    default = document.get("default", "redact")
    if default not in ACTIONS:
        raise refuse("default", default, " | ".join(ACTIONS))
    score = document.get("min_score", 0.4)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise refuse("min_score", score, "a number from 0 to 1")
    propagate = document.get("propagate", True)
    if not isinstance(propagate, bool):
        raise refuse("propagate", propagate, "true or false")
    kinds = document.get("kinds", {})
    if not isinstance(kinds, dict):
        raise refuse("kinds", kinds, 'a table of KIND = "action"')
    for kind, action in kinds.items():
        if kind not in KINDS:
            raise refuse(f"kinds.{kind}", action, f"one of the kinds {', '.join(sorted(KINDS))}")
        if action not in ACTIONS:
            raise refuse(f"kinds.{kind}", action, " | ".join(ACTIONS))
    rules = document.get("rules", [])
    if not isinstance(rules, list):
        raise refuse("rules", rules, "an array of tables: [[rules]]")
    checked = tuple(_rule(rule, f"rules[{position}]", refuse) for position, rule in enumerate(rules))
    return Policy(
        name=name,
        version=_version(name, document, checked),
        default=cast(Action, default),
        min_score=float(score),
        propagate=propagate,
        kinds=dict(kinds),
        rules=checked,
    )


def _rule(rule: Any, at: str, refuse: Any) -> Rule:
    if not isinstance(rule, dict):
        raise refuse(at, rule, "a table with path, kind, action")
    for key in rule:
        if key not in _RULE_KEYS:
            raise refuse(f"{at}.{key}", rule[key], f"nothing: a rule has {', '.join(_RULE_KEYS)}")
    path, kind, action = rule.get("path"), rule.get("kind", "SECRET"), rule.get("action")
    if not isinstance(path, str) or not PATTERN.fullmatch(path):
        raise refuse(f"{at}.path", path, "a path such as messages[].parts[].content?type=blob")
    if kind not in KINDS:
        raise refuse(f"{at}.kind", kind, f"one of the kinds {', '.join(sorted(KINDS))}")
    if action not in ACTIONS:
        raise refuse(f"{at}.action", action, " | ".join(ACTIONS))
    return Rule(path, kind, action)


def _version(name: str, document: dict[str, Any], rules: tuple[Rule, ...]) -> str:
    content = {
        "output": _OUTPUT,
        "engine": engine_version(),
        "default": document.get("default", "redact"),
        "min_score": float(document.get("min_score", 0.4)),
        "propagate": document.get("propagate", True),
        "kinds": document.get("kinds", {}),
        "rules": [[rule.path, rule.kind, rule.action] for rule in rules],
    }
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"{name}@{digest[:12]}"
