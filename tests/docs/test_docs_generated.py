"""The documents that are made from code are as the code would make them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", Path(__file__).with_name("generate.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generator()


@pytest.mark.parametrize("name", sorted(GENERATE.DOCUMENTS))
def test_document_and_code_agree(name: str) -> None:
    written = (GENERATE.DOCS / name).read_text()
    assert written == GENERATE.DOCUMENTS[name](), "run: python tests/docs/generate.py"


def test_every_setting_has_a_meaning_and_an_environment_name_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (GENERATE.DOCS / "settings.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 5, row
        assert cells[3].endswith("."), row

    from veilstream.settings import load_settings

    monkeypatch.setenv("VEILSTREAM_ALERTING__THRESHOLDS", "[0.5, 0.9]")
    assert load_settings().alerting.thresholds == (0.5, 0.9)
