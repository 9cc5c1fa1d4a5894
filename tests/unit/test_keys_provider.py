"""Root keys in files: made once, never overwritten, never outside the folder."""

from __future__ import annotations

import base64
import multiprocessing
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from veilstream.contracts import KeyProvider
from veilstream.errors import KeyMissing
from veilstream.keys import FileKeyProvider


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_implements_the_contract(folder: Path) -> None:
    assert isinstance(FileKeyProvider(folder), KeyProvider)


def test_creates_only_what_is_missing(folder: Path) -> None:
    provider = FileKeyProvider(folder)
    assert provider.ensure("acme") == ["operator", "ledger", "tenant/acme"]
    before = provider.tenant("acme")
    assert provider.ensure("acme", "other") == ["tenant/other"]
    assert provider.create("acme") is False
    assert provider.create_operator() is False
    assert provider.create_ledger() is False
    assert FileKeyProvider(folder).tenant("acme") == before
    assert provider.tenants() == ["acme", "other"]
    assert {p.name for p in folder.rglob("*")} == {
        "tenants", "acme.key", "other.key", "operator.key", "ledger.key",
    }  # fmt: skip  # no draft is left behind


def test_modes(folder: Path) -> None:
    FileKeyProvider(folder).ensure("acme")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "tenants").stat().st_mode) == 0o700
    for path in folder.rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_format_is_final(folder: Path) -> None:
    provider = FileKeyProvider(
        folder, random=lambda n: bytes(range(n)), clock=lambda: datetime(2026, 11, 24, 7, tzinfo=UTC)
    )
    provider.create("acme")
    assert (folder / "tenants" / "acme.key").read_text() == (
        'format = 1\nid = "tenant/acme"\n\n[[versions]]\nversion = 1\ncreated = "2026-11-24T07:00:00Z"\n'
        'material = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="\n'
    )
    assert provider.tenant("acme").material == bytes(range(32))


def test_every_key_is_its_own(folder: Path) -> None:
    provider = FileKeyProvider(folder)
    provider.ensure("a", "b")
    roots = [provider.tenant("a"), provider.tenant("b"), provider.operator(), provider.ledger()]
    assert len({root.material for root in roots}) == 4
    assert [root.id for root in roots] == ["tenant/a", "tenant/b", "operator", "ledger"]


def test_missing_says_what_to_run(folder: Path) -> None:
    provider = FileKeyProvider(folder)
    with pytest.raises(KeyMissing, match="veilstream keys create acme"):
        provider.tenant("acme")
    with pytest.raises(KeyMissing, match="no key for operator"):
        provider.operator()
    assert not folder.exists()  # reading makes nothing


def test_a_key_made_later_is_found(folder: Path) -> None:
    reader = FileKeyProvider(folder)
    with pytest.raises(KeyMissing):
        reader.tenant("acme")
    FileKeyProvider(folder).create("acme")
    assert reader.tenant("acme").version == 1


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "A", "a.b", "-a", "a" * 64, "a\n", "é", ".."])
def test_names_that_no_tenant_can_have(folder: Path, name: str) -> None:
    provider = FileKeyProvider(folder)
    for use in (provider.tenant, provider.create, provider.ensure):
        with pytest.raises(KeyMissing) as caught:
            use(name)
        assert name == "" or name not in str(caught.value) or name in ("A", "a\n")
    with pytest.raises(KeyMissing):
        provider.by_id(f"tenant/{name}", 1)
    assert not folder.exists()


def test_highest_version_is_current_and_old_ones_stay(folder: Path) -> None:
    provider = FileKeyProvider(folder)
    provider.create("acme")
    first = provider.tenant("acme")
    path = folder / "tenants" / "acme.key"
    material = base64.b64encode(b"n" * 32).decode()
    path.write_text(
        path.read_text() + f'\n[[versions]]\nversion = 2\ncreated = "x"\nmaterial = "{material}"\n'
    )
    rotated = FileKeyProvider(folder)
    assert rotated.tenant("acme").version == 2
    assert rotated.by_id("tenant/acme", 1) == first
    with pytest.raises(KeyMissing, match="no version 3"):
        rotated.by_id("tenant/acme", 3)


@pytest.mark.parametrize(
    "text",
    [
        "not toml [",
        "",
        'format = 2\nid = "tenant/acme"',
        'format = 1\nid = "tenant/other"\n[[versions]]\nversion = 1\nmaterial = "AAAA"',
        'format = 1\nid = "tenant/acme"\nversions = []',
        'format = 1\nid = "tenant/acme"\n[[versions]]\nversion = 1\nmaterial = "c2hvcnQ="',
        'format = 1\nid = "tenant/acme"\n[[versions]]\nversion = 1\nmaterial = "!!"',
    ],
)
def test_a_damaged_file_is_not_quoted(folder: Path, text: str) -> None:
    provider = FileKeyProvider(folder)
    provider.create("acme")
    (folder / "tenants" / "acme.key").write_text(text)
    with pytest.raises(KeyMissing, match="damaged") as caught:
        FileKeyProvider(folder).tenant("acme")
    assert "c2hvcnQ" not in str(caught.value)


def test_material_is_not_shown(folder: Path) -> None:
    provider = FileKeyProvider(folder)
    provider.create("acme")
    root = provider.tenant("acme")
    assert root.material.hex() not in repr(root)
    assert repr(root.material) not in repr(root)


def _create(folder: str, barrier: object, results: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    results.put(FileKeyProvider(folder).create("acme"))  # type: ignore[attr-defined]


def test_two_processes_at_once_make_one_key(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_create, args=(str(folder), barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    outcomes = sorted(results.get(timeout=20) for _ in processes)
    for process in processes:
        process.join(20)
    assert outcomes == [False, True]
    assert len(FileKeyProvider(folder).tenant("acme").material) == 32
