"""Rules as values. `ruleparse` makes them from TOML, `conditions` and `signals` say what each one means.

A rule watches budgets (or signals) that its selectors name: one glob of `tenants` and one of `budgets` must
match. In a glob `*` stands for any characters, `/` among them: `acme/*` is all that lies below `acme`.
Durations are whole milliseconds (`_ms`), so that sums and comparisons are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import ClassVar

__all__ = [
    "KINDS",
    "OPERATOR_KINDS",
    "Absence",
    "Audit",
    "BurnRate",
    "Exhausted",
    "Frozen",
    "LedgerDiffers",
    "PeopleDenied",
    "Projection",
    "Refused",
    "Rule",
    "RuleSet",
    "Share",
    "Threshold",
    "Window",
]

_REMEMBERED = 200_000  # budgets whose rules are known without matching; more are matched again


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What all rules have. `severity` None: the rule's own scale (thresholds by their height)."""

    kind: ClassVar[str]
    name: str
    severity: str | None = None
    tenants: tuple[str, ...] = ("*",)
    budgets: tuple[str, ...] = ("*",)
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    runbook: str

    def selects(self, tenant: str, budget: str) -> bool:
        return any(fnmatchcase(tenant, glob) for glob in self.tenants) and any(
            fnmatchcase(budget, glob) for glob in self.budgets
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold(Rule):
    """The fraction spent is at or above one of `at`."""

    kind = "threshold"
    at: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Two windows and how many times faster than sustainable the budget may be spent in both."""

    label: str  # the longer one, as the file says it
    factor: float
    long_ms: int
    short_ms: int
    keep_ms: int
    severity: str

    @property
    def reach_ms(self) -> int:
        return self.long_ms + self.keep_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRate(Rule):
    """Multi-window, multi-burn-rate: SRE Workbook, chapter 5, approach 6."""

    kind = "burn_rate"
    period_ms: int  # of a budget without a refresh period of its own
    charges: int  # fewest in the longer window
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection(Rule):
    """At its recent pace, the budget may be used up within so long."""

    kind = "projection"
    within_ms: int
    over_ms: int
    charges: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(Rule):
    """One model took more than a share of the budget within a window."""

    kind = "share"
    share: float
    over_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Rule):
    """A charge was refused."""

    kind = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted(Rule):
    """The budget has no room."""

    kind = "exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen(Rule):
    """Nothing may be charged to the budget until somebody allows it again."""

    kind = "frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence(Rule):
    """No event of a budget that has been charged before, for longer than expected."""

    kind = "absence"
    expected_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDiffers(Rule):
    """Store and journal of the ledger differ (an operator signal)."""

    kind = "ledger_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Rule):
    """An audit measured more privacy loss than was claimed (an operator signal)."""

    kind = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleDenied(Rule):
    """A window left out more than a share of its people, for want of room (an operator signal)."""

    kind = "people_denied"
    share: float


KINDS: dict[str, type[Rule]] = {
    one.kind: one
    for one in (
        Threshold, BurnRate, Projection, Share, Refused, Exhausted, Frozen, Absence, LedgerDiffers, Audit,
        PeopleDenied,
    )
}  # fmt: skip

OPERATOR_KINDS = frozenset({"ledger_differs", "audit", "people_denied"})
"""Kinds that read `operator.signals`: their alerts stay inside the boundary."""


class RuleSet:
    """All rules, in the order of their file; names are unique."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_name = {rule.name: rule for rule in self.rules}
        self._public = tuple(rule for rule in self.rules if rule.kind not in OPERATOR_KINDS)
        self._operator = tuple(rule for rule in self.rules if rule.kind in OPERATOR_KINDS)
        self._known: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self.reach_ms = self._reach()
        """The longest window of any rule: older charges are forgotten."""

    def named(self, name: str) -> Rule | None:
        return self._by_name.get(name)

    def of_budget(self, tenant: str, budget: str) -> tuple[Rule, ...]:
        """The public rules that watch a budget. Remembered: matching globs for each event would cost."""
        key = (tenant, budget)
        found = self._known.get(key)
        if found is None:
            found = tuple(rule for rule in self._public if rule.selects(tenant, budget))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return found

    def of_signal(self, tenant: str, budget: str) -> tuple[Rule, ...]:
        """The operator rules that watch signals about this tenant and budget (empty where it names none)."""
        return tuple(rule for rule in self._operator if rule.selects(tenant, budget))

    def _reach(self) -> int:
        reach = 0
        for rule in self._public:
            if isinstance(rule, BurnRate):
                reach = max(reach, *(window.reach_ms for window in rule.windows))
            elif isinstance(rule, Projection | Share):
                reach = max(reach, rule.over_ms)
        return reach

    def __len__(self) -> int:
        return len(self.rules)
