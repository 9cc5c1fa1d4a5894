"""What a person sees of an error: one line for ours; for a bug its place, never what it quotes."""

from __future__ import annotations

from typing import NoReturn

import pytest

from veilstream.cli import app as module
from veilstream.errors import BudgetUnknown, SettingInvalid

SECRET = "ann@example.com"


def _main(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    def failing() -> NoReturn:
        raise error

    monkeypatch.setattr(module, "app", failing)
    with pytest.raises(SystemExit) as ended:
        module.main()
    return int(str(ended.value.code))


def test_a_bug_names_its_place_and_not_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(ValueError(f"cannot read {SECRET}"), monkeypatch) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert "ValueError" in err
    assert "test_cli_faults.py" in err
    assert SECRET not in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SettingInvalid("kafka.partitions: got 0"), 2, "veilstream: kafka.partitions: got 0"),
        (BudgetUnknown("no budget x", hint="create it"), 1, "veilstream: no budget x (create it)"),
        (
            ModuleNotFoundError("no torch", name="torch"),
            2,
            "veilstream: this command needs the extra `trainers`",
        ),
    ],
)
def test_an_error_of_ours_is_one_line(
    error: Exception,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _main(error, monkeypatch) == code
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert len(err.splitlines()) == 1
