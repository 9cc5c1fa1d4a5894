"""Releases: sealed, content-addressed, and seen only after the commit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from veilstream.client import load_release
from veilstream.errors import EnvelopeInvalid, ReleaseInvalid
from veilstream.events.codec import check
from veilstream.events.types import RELEASE
from veilstream.keys import FileKeyProvider
from veilstream.settings import Settings
from veilstream.worker import release as releases

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([0.5, -0.5])}


def provider(folder: Path) -> FileKeyProvider:
    made = FileKeyProvider(folder / "keys")
    made.ensure("acme", "other")
    return made


def record(
    folder: Path, identity: str = "abc", *, model: str = "tool-choice", seq: int = 2
) -> dict[str, Any]:
    keys = provider(folder)
    artifact = releases.write(folder / "releases", keys.tenant("acme"), "acme", identity, TENSORS)
    return releases.build_record(
        release=identity,
        tenant="acme",
        model=model,
        created="2026-01-01T00:00:00.000Z",
        parent=None,
        artifact=artifact,
        budget={"budget": "b", "epsilon": 8.0, "delta": 1e-5, "orders": [8]},
        epsilon_spent=1.5,
        seq=seq,
        window={"start": 0.0, "end": 60.0},
        public_parameters={"steps": 3},
        encoder={"name": "x"},
        labels=["none", "other"],
    )


def test_the_record_keeps_its_schema_and_the_client_reads_it(tmp_path: Path) -> None:
    made = record(tmp_path)
    check(RELEASE, made)
    assert "real arithmetic" in made["card"]["numerics"]
    assert made["card"]["quality"] is None
    folder = tmp_path / "releases"
    releases.draft(folder, made)
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ReleaseInvalid):
        load_release(settings=settings)
    releases.publish(folder, "abc")
    releases.publish(folder, "abc")
    loaded = load_release(settings=settings)
    assert loaded.id == "abc"
    assert loaded.tensors["weight"].tolist() == TENSORS["weight"].tolist()


def test_the_file_is_named_by_its_bytes_and_bound_to_its_release(tmp_path: Path) -> None:
    made = record(tmp_path)
    sha256 = made["artifact"]["sha256"]
    path = tmp_path / "releases" / sha256
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert path.stat().st_mode & 0o777 == 0o600
    keys, folder = provider(tmp_path), tmp_path / "releases"
    assert releases.read_tensors(folder, keys, "acme", "abc", sha256)["bias"].tolist() == [0.5, -0.5]
    with pytest.raises(EnvelopeInvalid):
        releases.read_tensors(folder, keys, "acme", "another", sha256)
    with pytest.raises(EnvelopeInvalid):
        releases.read_tensors(folder, keys, "other", "abc", sha256)
    with pytest.raises(ReleaseInvalid, match="cannot be read"):
        releases.read_tensors(folder, keys, "acme", "abc", "0" * 64)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ReleaseInvalid, match="was changed"):
        releases.read_tensors(folder, keys, "acme", "abc", sha256)


def test_ids_are_random() -> None:
    assert len({releases.new_id() for _ in range(100)}) == 100


def test_after_a_crash_only_what_was_committed_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    for identity, model in (("done", "tool-choice"), ("lost", "tool-choice"), ("foreign", "another")):
        releases.draft(folder, record(tmp_path, identity, model=model))
    (folder / "half.draft").write_bytes(b'{"release": "ha')
    assert len([path for path in folder.iterdir() if not path.suffix]) == 3
    releases.settle(folder, "acme", "tool-choice", ["done"])
    assert sorted(path.name for path in folder.iterdir() if path.suffix) == ["done.json", "foreign.draft"]
    assert len([path for path in folder.iterdir() if not path.suffix]) == 2
    releases.settle(tmp_path / "nowhere", "acme", "tool-choice", [])
