"""The house's own rules that import-linter does not hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("config", "streams", "trainers", "agents")
ROOMS = sorted(
    room
    for source in SOURCES
    for room in (ROOT / source / "veilstream").iterdir()
    if room.is_dir() and room.name != "__pycache__"
)

HEAVY = {
    "torch": {"dp", "worker", "auditing"},
    "opacus": {"dp", "worker", "auditing"},
    "transformers": {"worker"},
    "faust": {"processors"},
    "presidio_analyzer": {"detection"},
    "dp_accounting": {"accounting"},
    "redis": {"keys", "ledger", "worker", "processors", "cli", "embedded", "bench"},
    "aiokafka": {"transport", "client", "processors", "worker", "alerting", "embedded", "cli", "bench"},
}


def test_namespace_has_no_file() -> None:
    import veilstream

    assert veilstream.__file__ is None
    assert not [p for s in SOURCES for p in (ROOT / s).glob("veilstream/__init__.py")]
    assert not [p for s in SOURCES for p in (ROOT / s).glob("__init__.py")]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_room_is_typed_and_says_what_it_is_for(room: Path) -> None:
    assert (room / "py.typed").exists()
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert docstring
    assert len(docstring) > 40


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_heavy_libraries_stay_in_their_rooms(room: Path) -> None:
    strays = {
        (str(path.relative_to(ROOT)), library)
        for path in room.rglob("*.py")
        for library in _imports(path) & set(HEAVY)
        if room.name not in HEAVY[library]
    }
    assert not strays


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import veilstream.client", {"torch", "faust", "presidio_analyzer", "redis", "transformers"}),
        ("import veilstream.cli", {"torch", "faust", "presidio_analyzer", "redis", "aiokafka", "numpy"}),
        ("import veilstream.processors.run", {"torch", "transformers"}),
        ("import veilstream.alerting", {"torch", "faust", "presidio_analyzer"}),
        ("import veilstream.ledger", {"torch", "faust", "aiokafka"}),
    ],
    ids=["client", "cli", "processors", "alerting", "ledger"],
)
def test_import_stays_light(code: str, forbidden: set[str]) -> None:
    assert not _modules_after(code) & forbidden


def test_no_source_file_has_outgrown_itself() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for source in SOURCES
        for path in (ROOT / source).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 450
    }
    assert not long
