"""The README runs, and its table leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROWS = re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", README, flags=re.MULTILINE)
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})


def test_table_is_there() -> None:
    assert len(ROWS) > 15


@pytest.mark.parametrize("path", ROWS)
def test_table_names_what_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())
    assert not [link for link in links if not (document.parent / link).exists()]


def test_snippets_are_python() -> None:
    assert len(SNIPPETS) == 2
    for snippet in SNIPPETS:
        compile(snippet, "README.md", "exec")


def test_every_command_in_the_readme_exists() -> None:
    import typer.main

    from veilstream.cli.app import app

    tree = typer.main.get_command(app)
    used = re.findall(r"^\s*veilstream ([a-z]+)(?: ([a-z]+))?", README, flags=re.MULTILINE)
    assert used
    for name, sub in used:
        command = tree.commands[name]  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            assert sub in command.commands


def test_help_answers_for_every_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "veilstream.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for name in ("demo", "up", "down", "produce", "redact", "worker", "train", "alerts", "budget", "ledger"):
        assert name in done.stdout
