"""A release is loaded from a folder alone, and refused when anything about it is not as its record says."""

from __future__ import annotations

import hashlib
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from veilstream.client import load_release, local_releases, pull_release
from veilstream.errors import KeyMissing, ReleaseInvalid
from veilstream.events import codec
from veilstream.events.types import RELEASE
from veilstream.keys import FileKeyProvider, seal
from veilstream.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data_dir=tmp_path)
    FileKeyProvider(made.keys_folder).ensure("acme", "globex")
    made.releases_folder.mkdir(parents=True)
    return made


def release(
    settings: Settings,
    name: str,
    *,
    seq: int,
    created: str = "2026-11-24T07:00:00Z",
    tenant: str = "acme",
    model: str = "tool-choice",
    budget: str = "default",
    sealed_for: str | None = None,
    plaintext: bytes | None = None,
    **changes: Any,
) -> Path:
    """Write a release as the training worker does; returns the record's path."""
    provider = FileKeyProvider(settings.keys_folder)
    data = save({"weight": np.full((2, 3), seq, dtype=np.float32)}) if plaintext is None else plaintext
    sealed = seal(
        provider.tenant(tenant), data, tenant=tenant, topic="models.releases", path=sealed_for or name
    )
    digest = hashlib.sha256(sealed).hexdigest()
    (settings.releases_folder / f"{digest}.veil").write_bytes(sealed)
    artifact = {"sha256": digest, "bytes": len(sealed), "format": "safetensors", "location": f"{digest}.veil"}
    record = {
        "release": name,
        "tenant": tenant,
        "model": model,
        "created": created,
        "parent": None,
        "artifact": {**artifact, **changes},
        "card": {
            "unit": "subject",
            "epsilon_spent": 1.0,
            "delta": 1e-5,
            "budget": budget,
            "seq": seq,
            "mechanism": "poisson_subsampled_gaussian",
            "numerics": "real arithmetic",
            "encoder": {},
            "labels": ["a", "b"],
        },
    }
    codec.check(RELEASE, record)
    path = settings.releases_folder / f"{name}.json"
    path.write_bytes(codec.dumps(record))
    return path


def test_the_newest_of_a_folder_is_loaded_and_decrypted(settings: Settings) -> None:
    release(settings, "r-old", seq=3)
    release(settings, "r-new", seq=12, created="2026-11-24T06:00:00Z")  # a clock that went back
    loaded = load_release(settings=settings)
    assert (loaded.id, loaded.tenant, loaded.model) == ("r-new", "acme", "tool-choice")
    assert loaded.card["labels"] == ["a", "b"]
    np.testing.assert_array_equal(loaded.tensors["weight"], np.full((2, 3), 12, dtype=np.float32))


def test_tenant_and_model_choose(settings: Settings) -> None:
    release(settings, "r-1", seq=1)
    release(settings, "r-2", seq=2, tenant="globex")
    release(settings, "r-3", seq=3, model="other")
    assert load_release(settings=settings, tenant="globex").id == "r-2"
    assert load_release(settings=settings, model="tool-choice", tenant="acme").id == "r-1"
    with pytest.raises(ReleaseInvalid, match="no release"):
        load_release(settings=settings, tenant="globex", model="other")


def test_between_budgets_the_time_decides(settings: Settings) -> None:
    release(settings, "r-1", seq=9, created="2026-11-24T07:00:00Z", budget="old")
    release(settings, "r-2", seq=1, created="2026-11-24T08:00:00Z", budget="new")
    (settings.releases_folder / "notes.json").write_text("{}")
    names = [record["release"] for record in local_releases(settings.releases_folder)]
    assert names == ["r-1", "r-2"]


def test_it_is_found_by_id_record_file_and_folder(settings: Settings, tmp_path: Path) -> None:
    path = release(settings, "r-1", seq=1)
    encrypted = next(settings.releases_folder.glob("*.veil"))
    elsewhere = tmp_path / "usb stick"
    shutil.copytree(settings.releases_folder, elsewhere)
    for named in ("r-1", path, encrypted, settings.releases_folder, str(elsewhere), elsewhere / "r-1.json"):
        assert load_release(named, settings=settings).id == "r-1"


@pytest.mark.parametrize("named", ["r-2", "../r-1", "", "r-1.json", "/etc/passwd", "..", "a/b"])
def test_what_is_no_release_is_refused(settings: Settings, named: str) -> None:
    with pytest.raises(ReleaseInvalid):
        load_release(named, settings=settings)


def test_a_changed_file_is_refused(settings: Settings) -> None:
    release(settings, "r-1", seq=1)
    encrypted = next(settings.releases_folder.glob("*.veil"))
    data = bytearray(encrypted.read_bytes())
    data[-1] ^= 1
    encrypted.write_bytes(data)
    with pytest.raises(ReleaseInvalid, match="SHA-256"):
        load_release(settings=settings)
    encrypted.write_bytes(data[:-1])
    with pytest.raises(ReleaseInvalid, match="SHA-256"):
        load_release(settings=settings)
    encrypted.unlink()
    with pytest.raises(ReleaseInvalid, match="cannot be read"):
        load_release(settings=settings)


def test_a_file_sealed_for_another_release_is_refused(settings: Settings) -> None:
    release(settings, "r-1", seq=1, sealed_for="r-0")
    with pytest.raises(ReleaseInvalid, match="decrypt"):
        load_release(settings=settings)


def test_a_record_that_names_a_file_outside_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    release(settings, "r-1", seq=1, location="../outside")
    with pytest.raises(ReleaseInvalid, match="outside"):
        load_release(settings=settings)


def test_what_decrypts_to_no_tensors_is_refused(settings: Settings) -> None:
    release(settings, "r-1", seq=1, plaintext=b"not tensors")
    with pytest.raises(ReleaseInvalid, match="safetensors"):
        load_release(settings=settings)


def test_without_the_tenants_key_it_says_so(settings: Settings) -> None:
    release(settings, "r-1", seq=1)
    (settings.keys_folder / "tenants" / "acme.key").unlink()
    with pytest.raises(KeyMissing):
        load_release(settings=settings)


def test_a_pulled_release_is_plain_private_and_checked(settings: Settings, tmp_path: Path) -> None:
    release(settings, "r-1", seq=7)
    folder = pull_release("r-1", tmp_path / "model", settings=settings)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "card.json"}
    assert stat.S_IMODE((folder / "model.safetensors").stat().st_mode) == 0o600
    for named in (folder, folder / "model.safetensors"):
        loaded = load_release(named, settings=settings)
        assert (loaded.id, loaded.tensors["weight"][0, 0]) == ("r-1", 7)
    with pytest.raises(ReleaseInvalid, match="already"):
        pull_release(folder, tmp_path / "again", settings=settings)
    (folder / "model.safetensors").write_bytes(save({"weight": np.zeros(1, dtype=np.float32)}))
    with pytest.raises(ReleaseInvalid, match="card"):
        load_release(folder, settings=settings)
    (folder / "card.json").write_text("[]")
    with pytest.raises(ReleaseInvalid, match="damaged"):
        load_release(folder, settings=settings)
