"""Using released models: from a folder alone, without a broker.

The training worker writes, for each release, `<release>.json` (the record of `ai.veilstream.release.v1`) and
the encrypted safetensors file that the record's `artifact.location` names. `load_release` checks the file's
SHA-256 against the record, decrypts it for its tenant, topic and release id, and reads the tensors.

`pull_release` writes a decrypted copy, `model.safetensors` and `card.json`, for programs that know nothing of
us; `load_release` reads that folder too, and checks it against the digest that was written with it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from veilstream.errors import ReleaseInvalid, VeilstreamError
from veilstream.events import codec
from veilstream.events.topics import topic_name
from veilstream.events.types import RELEASE
from veilstream.keys import FileKeyProvider, open_envelope
from veilstream.settings import Settings, load_settings
from veilstream.transport import read_to_end

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from veilstream.contracts import KeyProvider

__all__ = ["Release", "list_releases", "load_release", "local_releases", "pull_release"]

CARD = "card.json"
MODEL = "model.safetensors"
_TOPIC = "models.releases"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Release:
    """A released model: its record and its tensors."""

    record: dict[str, Any]  # ai.veilstream.release.v1
    tensors: dict[str, NDArray[Any]]

    @property
    def id(self) -> str:
        return str(self.record["release"])

    @property
    def tenant(self) -> str:
        return str(self.record["tenant"])

    @property
    def model(self) -> str:
        return str(self.record["model"])

    @property
    def card(self) -> dict[str, Any]:
        """ε, δ, unit, mechanism, public parameters, labels."""
        card: dict[str, Any] = self.record["card"]
        return card


async def list_releases(
    settings: Settings | None = None, *, tenant: str | None = None, model: str | None = None
) -> list[dict[str, Any]]:
    """The records on `models.releases`, oldest first. Compaction keeps at least each model's last.

    Raises:
        BrokerUnavailable, TopicMismatch: the topic cannot be read.
    """
    kafka = (settings or load_settings()).kafka
    found: dict[str, dict[str, Any]] = {}
    async for item in read_to_end(kafka, topic_name(kafka, _TOPIC)):
        record = _record(item.value)
        if record is not None:
            found[record["release"]] = record
    return _ordered(_of(found.values(), tenant, model))


def local_releases(
    folder: Path, *, tenant: str | None = None, model: str | None = None
) -> list[dict[str, Any]]:
    """The records in a releases folder, oldest first; files that are none are passed over."""
    records = (_record(path.read_bytes()) for path in sorted(folder.glob("*.json")))
    return _ordered(_of((record for record in records if record is not None), tenant, model))


def load_release(
    path_or_id: str | os.PathLike[str] | None = None,
    *,
    model: str | None = None,
    tenant: str | None = None,
    settings: Settings | None = None,
    provider: KeyProvider | None = None,
) -> Release:
    """Check, decrypt and read a release.

    Args:
        path_or_id: a release's id in the releases folder, or the path of its `.json`, of its encrypted file,
            of a releases folder (its newest), or of a folder that `pull_release` wrote. The newest in the
            releases folder by default.
        model, tenant: which, where the newest is meant.
        settings: where the folders are; `load_settings()` by default.
        provider: where the tenant's key is; the key folder by default.

    Raises:
        ReleaseInvalid: not there, the bytes do not match the record, or they do not decrypt.
        KeyMissing: the tenant's key is not in the key folder.
    """
    settings = settings or load_settings()
    folder, record = _find(path_or_id, settings.releases_folder, tenant, model)
    if record is None:
        return _load_pulled(folder)
    data = _open(folder, record, provider or FileKeyProvider(settings.keys_folder))
    return Release(record, _tensors(data))


def pull_release(
    path_or_id: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    provider: KeyProvider | None = None,
) -> Path:
    """Write a release's `model.safetensors`, decrypted, and its `card.json` to a folder, which is returned.

    The files are for their owner's eyes (mode 0600). Takes and raises what `load_release` does.
    """
    settings = settings or load_settings()
    folder, record = _find(path_or_id, settings.releases_folder, None, None)
    if record is None:
        raise ReleaseInvalid("that is a pulled release already")
    data = _open(folder, record, provider or FileKeyProvider(settings.keys_folder))
    _tensors(data)
    target = Path(destination)
    target.mkdir(parents=True, exist_ok=True)
    card = {**record, "plain": {"file": MODEL, "sha256": hashlib.sha256(data).hexdigest()}}
    _write(target / MODEL, data)
    _write(target / CARD, codec.dumps(card))
    return target


# Finding


def _find(
    path_or_id: str | os.PathLike[str] | None, home: Path, tenant: str | None, model: str | None
) -> tuple[Path, dict[str, Any] | None]:
    """The folder of a release and its record; no record for a folder that `pull_release` wrote."""
    if path_or_id is None:
        return home, _newest(home, tenant, model)
    path = Path(path_or_id)
    if path.is_dir():
        pulled = (path / CARD).is_file() and (path / MODEL).is_file()
        return path, None if pulled else _newest(path, tenant, model)
    if path.name == MODEL and (path.parent / CARD).is_file():
        return path.parent, None
    if path.suffix == ".json" and path.is_file():
        record = _record(path.read_bytes())
        if record is None:
            raise ReleaseInvalid("the file is no release record", hint="a .json of a releases folder is one")
        return path.parent, record
    if path.is_file():
        for record in local_releases(path.parent):
            if Path(record["artifact"]["location"]).name == path.name:
                return path.parent, record
        raise ReleaseInvalid("no record beside the file names it", hint="copy the release's .json as well")
    name = os.fspath(path_or_id)
    card = home / f"{name}.json"
    if not _ID.fullmatch(name) or not card.is_file():
        raise ReleaseInvalid(
            f"no such release in {home}",
            hint="`veilstream models list` shows what there is; copy its .json and its file here",
        )
    record = _record(card.read_bytes())
    if record is None or record["release"] != name:
        raise ReleaseInvalid(f"the record of the release is damaged in {home}")
    return home, record


def _newest(folder: Path, tenant: str | None, model: str | None) -> dict[str, Any]:
    records = local_releases(folder, tenant=tenant, model=model)
    if not records:
        raise ReleaseInvalid(f"no release in {folder}", hint="run `veilstream worker train`, or name another")
    return records[-1]


def _record(data: bytes | None) -> dict[str, Any] | None:
    try:
        return codec.decode(RELEASE, data)
    except VeilstreamError:
        return None


def _of(records: Iterable[dict[str, Any]], tenant: str | None, model: str | None) -> list[dict[str, Any]]:
    return [
        record
        for record in records
        if (tenant is None or record["tenant"] == tenant) and (model is None or record["model"] == model)
    ]


def _ordered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Oldest first: within one budget its sequence is the order; clocks only decide between budgets."""
    budgets = {record["card"]["budget"] for record in records}
    if len(budgets) == 1:
        return sorted(records, key=lambda record: (record["card"]["seq"], record["created"]))
    return sorted(records, key=lambda record: (record["created"], record["card"]["seq"]))


# Opening


def _open(folder: Path, record: dict[str, Any], provider: KeyProvider) -> bytes:
    artifact = record["artifact"]
    path = folder / artifact["location"]
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ReleaseInvalid("the record names a file outside its folder")
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise ReleaseInvalid(
            f"the release's file cannot be read ({type(error).__name__})", hint=f"copy it to {folder}"
        ) from None
    if len(sealed) != artifact["bytes"] or hashlib.sha256(sealed).hexdigest() != artifact["sha256"]:
        raise ReleaseInvalid("the file's SHA-256 or length is not what its record says", hint="copy it again")
    try:
        return open_envelope(provider, sealed, tenant=record["tenant"], topic=_TOPIC, path=record["release"])
    except VeilstreamError as error:
        if error.code == "key_missing":
            raise
        raise ReleaseInvalid("the file does not decrypt under the tenant's key", hint=error.message) from None


def _load_pulled(folder: Path) -> Release:
    try:
        card = codec.loads((folder / CARD).read_bytes())
        plain = card.pop("plain")
        codec.check(RELEASE, card)
        data = (folder / MODEL).read_bytes()
        matches = hashlib.sha256(data).hexdigest() == plain["sha256"]
    except (OSError, KeyError, TypeError, AttributeError, VeilstreamError):
        raise ReleaseInvalid("the pulled release is damaged", hint="pull it again") from None
    if not matches:
        raise ReleaseInvalid("the model is not the one that its card describes", hint="pull it again")
    return Release(card, _tensors(data))


def _tensors(data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors: dict[str, np.ndarray[Any, Any]] = load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ReleaseInvalid(f"the decrypted file is no safetensors ({type(error).__name__})") from None
    return tensors


def _write(path: Path, data: bytes) -> None:
    """In one step, mode 0600."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
