"""What a run says at its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from veilstream.bench.chaos.oracle import Verdict

__all__ = ["Happened", "Report"]


@dataclass(slots=True)
class Happened:
    """One fault, as it was. `recovery_seconds` is from its heal, or from itself where nothing is healed."""

    fault: str
    round: int
    at_seconds: float
    lasted_seconds: float
    recovery_seconds: float
    recovered: bool
    duplicated: int
    """What the following reader saw twice since the fault before."""
    left: int
    """Raw records that had not come out when it was waited for no longer."""
    error: str | None = None


@dataclass(slots=True)
class Report:
    """Filled in by `run`."""

    seed: int
    delivery: str
    faults_left_out: dict[str, str] = field(default_factory=dict)
    happened: list[Happened] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    ledger_verified: bool = True
    ledger_checks: int = 0
    releases: int = 0
    unpaid_releases: int = 0
    acknowledged: int = 0
    resent: int = 0
    outputs: int = 0
    incarnations: int = 1
    restarts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether every promise was kept, and every fault could be made."""
        exactly_once = self.delivery == "exactly_once"
        return (
            self.verdict.holds
            and not (exactly_once and self.verdict.duplicated_records)
            and self.ledger_verified
            and not self.unpaid_releases
            and all(fault.recovered and fault.error is None for fault in self.happened)
        )

    def figures(self) -> dict[str, Any]:
        """The JSON object. Issue 5 names its first eight keys."""
        by_fault: dict[str, list[float]] = defaultdict(list)
        for fault in self.happened:
            by_fault[fault.fault].append(fault.recovery_seconds)
        verdict = self.verdict
        return {
            "faults": len(self.happened),
            "lost": verdict.lost,
            "duplicated_records": verdict.duplicated_records,
            "duplicated_effects": verdict.duplicated_effects,
            "reordered": verdict.reordered,
            "quarantined_wrongly": verdict.quarantined_wrongly,
            "ledger_verified": self.ledger_verified,
            "recovery_seconds": {name: round(max(times), 2) for name, times in sorted(by_fault.items())},
            "recovery_seconds_median": {
                name: round(median(times), 2) for name, times in sorted(by_fault.items())
            },
            "kept": self.kept,
            "seed": self.seed,
            "delivery": self.delivery,
            "seconds": round(self.seconds, 1),
            "records": verdict.records,
            "poison": verdict.poison,
            "acknowledged": self.acknowledged,
            "resent": self.resent,
            "outputs": self.outputs,
            "incarnations": self.incarnations,
            "protected_wrongly": verdict.protected_wrongly,
            "misplaced": verdict.misplaced,
            "duplicated_by_older_setting": verdict.duplicated_by_older_setting,
            "ledger_checks": self.ledger_checks,
            "releases": self.releases,
            "unpaid_releases": self.unpaid_releases,
            "faults_by_name": dict(sorted(Counter(fault.fault for fault in self.happened).items())),
            "faults_left_out": self.faults_left_out,
            "not_recovered": sorted({f.fault for f in self.happened if not f.recovered}),
            "failed": {f.fault: f.error for f in self.happened if f.error is not None},
            "starts": self.restarts,
            "examples": verdict.examples,
        }
