"""What a release is made of: an encrypted file, and a card that says what it cost and what it is.

The file is safetensors, sealed under the tenant's key and bound to the release's id; its name is the SHA-256
of the sealed bytes. The record of `ai.veilstream.release.v1` goes to the ledger with the commit, whose relay
publishes it, and lies beside the file as `<release>.json` once the commit stands: until then it is a draft
that no reader looks at.

**What a card may say**: public parameters, the public odometer, and random ids. No count, no loss, no size
that depends on people (all heads of a label set have one size); the file's digest is of ciphertext under a
fresh salt. `quality` stays empty where there is no public data to measure on: never on private data.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from veilstream.contracts import KeyProvider, RootKey
from veilstream.errors import ReleaseInvalid
from veilstream.keys import open_envelope, seal

__all__ = [
    "NUMERICS",
    "Artifact",
    "build_record",
    "draft",
    "new_id",
    "publish",
    "read_tensors",
    "settle",
    "write",
]

TOPIC = "models.releases"
NUMERICS = (
    "guarantee in real arithmetic: continuous Gaussian noise in float64, from AES-256-CTR under a key of the "
    "operating system's; not rounded to a lattice"
)
_DRAFT = ".draft"


@dataclass(frozen=True, slots=True)
class Artifact:
    """An encrypted file in the releases folder."""

    sha256: str
    bytes: int
    location: str

    def public(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "bytes": self.bytes,
            "format": "safetensors",
            "location": self.location,
        }


def new_id() -> str:
    """A random release id: it says nothing of people, nor of the reservation."""
    return secrets.token_hex(12)


def write(
    folder: Path, root: RootKey, tenant: str, release: str, tensors: Mapping[str, torch.Tensor]
) -> Artifact:
    """Seal the tensors and write them, synced to disk, under the digest of the sealed bytes."""
    plain = save({name: tensor.contiguous() for name, tensor in sorted(tensors.items())})
    sealed = seal(root, plain, tenant=tenant, topic=TOPIC, path=release)
    digest = hashlib.sha256(sealed).hexdigest()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_synced(folder / digest, sealed)
    return Artifact(digest, len(sealed), digest)


def read_tensors(
    folder: Path, provider: KeyProvider, tenant: str, release: str, sha256: str
) -> dict[str, torch.Tensor]:
    """The tensors of a release of ours, to go on from.

    Raises:
        ReleaseInvalid: the file is not there, or not what was released.
        KeyMissing, EnvelopeInvalid: it does not open.
    """
    try:
        sealed = (folder / sha256).read_bytes()
    except OSError as error:
        raise ReleaseInvalid(
            f"the release to go on from cannot be read ({type(error).__name__})",
            hint="restore the file to the releases folder, or start anew under another worker.model",
        ) from None
    if hashlib.sha256(sealed).hexdigest() != sha256:
        raise ReleaseInvalid("the file of the release to go on from was changed", hint="restore it")
    try:
        tensors: dict[str, torch.Tensor] = load(
            open_envelope(provider, sealed, tenant=tenant, topic=TOPIC, path=release)
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise ReleaseInvalid(f"the decrypted file is no safetensors ({type(error).__name__})") from None
    return tensors


def build_record(
    *,
    release: str,
    tenant: str,
    model: str,
    created: str,
    parent: str | None,
    artifact: Artifact,
    budget: Mapping[str, Any],
    epsilon_spent: float,
    seq: int,
    window: Mapping[str, float],
    public_parameters: Mapping[str, Any],
    encoder: Mapping[str, Any],
    labels: Sequence[str],
) -> dict[str, Any]:
    """The record of `ai.veilstream.release.v1`. Every argument is public.

    `budget` is the budget's public state; `epsilon_spent` and `seq` are of this release's charge.
    """
    return {
        "release": release,
        "tenant": tenant,
        "model": model,
        "created": created,
        "parent": parent,
        "artifact": artifact.public(),
        "card": {
            "unit": "a person: all records of one subject; of one conversation where a record has no subject",
            "epsilon_spent": epsilon_spent,
            "epsilon": budget["epsilon"],
            "delta": budget["delta"],
            "budget": budget["budget"],
            "seq": seq,
            "orders": list(budget["orders"]),
            "mechanism": "poisson_subsampled_gaussian",
            "public_parameters": dict(public_parameters),
            "window": dict(window),
            "numerics": NUMERICS,
            "encoder": dict(encoder),
            "labels": list(labels),
            "quality": None,
        },
    }


def draft(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record where no reader of releases looks, before the commit."""
    _write_synced(folder / f"{record['release']}{_DRAFT}", orjson.dumps(record, option=orjson.OPT_INDENT_2))


def publish(folder: Path, release: str) -> None:
    """After the commit: the draft becomes the record. Does nothing where there is no draft."""
    source = folder / f"{release}{_DRAFT}"
    if source.is_file():
        source.replace(folder / f"{release}.json")
        _sync_folder(folder)


def settle(folder: Path, tenant: str, model: str, committed: Iterable[str]) -> None:
    """After a crash: publish the drafts of this model that were committed, remove the others with their
    files.
    """
    known = set(committed)
    for path in sorted(folder.glob(f"*{_DRAFT}")):
        try:
            record = orjson.loads(path.read_bytes())
            if (record["tenant"], record["model"]) != (tenant, model):
                continue
            release, location = str(record["release"]), str(record["artifact"]["location"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            path.unlink()  # not written to its end: the commit came later
            continue
        if release in known:
            publish(folder, release)
        else:
            (folder / Path(location).name).unlink(missing_ok=True)
            path.unlink()


def _write_synced(path: Path, data: bytes) -> None:
    """In one step, mode 0600, on disk when it returns."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
