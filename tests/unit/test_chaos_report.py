"""The JSON has the keys that it promises, and a broken promise is never reported as kept."""

from __future__ import annotations

from numbers import Real

import pytest

from veilstream.bench.chaos.oracle import Verdict
from veilstream.bench.chaos.report import Happened, Report

LAW = (
    "faults",
    "lost",
    "duplicated_records",
    "duplicated_effects",
    "reordered",
    "quarantined_wrongly",
    "ledger_verified",
    "recovery_seconds",
)


def _happened(seconds: float, *, recovered: bool = True, error: str | None = None) -> Happened:
    return Happened("zombie", 1, 10.0, 8.0, seconds, recovered, 0, 0, error)


def _report() -> Report:
    return Report(3, "exactly_once", happened=[_happened(1.234), _happened(5.0), _happened(2.0)])


def test_the_keys_come_first_and_are_numbers() -> None:
    figures = _report().figures()
    assert tuple(figures)[: len(LAW)] == LAW
    for key in LAW[:-1]:
        assert isinstance(figures[key], Real)
    assert figures["faults"] == 3
    assert figures["recovery_seconds"] == {"zombie": 5.0}
    assert figures["recovery_seconds_median"] == {"zombie": 2.0}
    assert figures["kept"] is True


@pytest.mark.parametrize(
    "name", ["lost", "duplicated_records", "duplicated_effects", "reordered", "quarantined_wrongly",
             "protected_wrongly", "misplaced"]
)  # fmt: skip
def test_each_count_breaks_the_promise(name: str) -> None:
    report = _report()
    report.verdict = Verdict()
    setattr(report.verdict, name, 1)
    assert not report.kept


def test_repeats_are_allowed_at_least_once_and_by_an_older_setting() -> None:
    report = _report()
    report.verdict = Verdict(duplicated_by_older_setting=4)
    assert report.kept
    report.verdict = Verdict(duplicated_records=4)
    report.delivery = "at_least_once"
    assert report.kept


def test_a_ledger_a_release_or_a_fault_that_failed_breaks_the_promise() -> None:
    for change in ("ledger", "release", "stuck", "error"):
        report = _report()
        assert report.kept
        if change == "ledger":
            report.ledger_verified = False
        elif change == "release":
            report.unpaid_releases = 1
        elif change == "stuck":
            report.happened.append(_happened(60.0, recovered=False))
        else:
            report.happened.append(_happened(1.0, error="TimeoutError"))
        assert not report.kept
