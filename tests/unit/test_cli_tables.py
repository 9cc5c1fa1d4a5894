"""What a table prints is what it was given."""

from __future__ import annotations

import pytest

from veilstream.cli.wiring import print_table


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")


@pytest.mark.usefixtures("narrow")
def test_brackets_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        "checks", ("check", "advice"), [("extra", "pip install 'veilstream[streams]'"), ("x", "[/red]")]
    )
    printed = capsys.readouterr().out
    assert "veilstream[streams]" in printed
    assert "[/red]" in printed


@pytest.mark.usefixtures("narrow")
def test_what_a_row_is_about_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    release = "0123456789abcdef01234567"
    print_table("releases", ("release", "a", "b"), [(release, "word " * 20, "word " * 20)])
    assert release in capsys.readouterr().out
