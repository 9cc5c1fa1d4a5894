"""Root keys in files: a folder (mode 0700) with one file (mode 0600) for each root key.

    <folder>/operator.key            for records without a tenant
    <folder>/ledger.key              the ledger's tokens and its journal's people
    <folder>/tenants/<tenant>.key    one for each tenant

A file is TOML. A key has versions, so that rotation adds one and old ciphertexts stay readable; the highest
is the current one:

    format = 1
    id = "tenant/acme"

    [[versions]]
    version = 1
    created = "2026-11-24T07:00:00Z"
    material = "…"                   # base64 of 32 bytes from the operating system

A key appears in one step and is never overwritten: the file is written whole under another name, synced, and
linked to its own name, which fails where that exists. Two processes that create at once end with one key.

Limits: who can read the folder has the keys; back it up apart from the data. A running process keeps the keys
that it has read.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from veilstream.contracts import RootKey
from veilstream.errors import KeyMissing

__all__ = ["KEY_ID", "TENANT", "FileKeyProvider"]

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")  # the event contract's pattern: no dot, no slash
KEY_ID = re.compile(rf"operator|ledger|tenant/{TENANT.pattern}")

_FORMAT = 1
_MATERIAL_BYTES = 32
_OPERATOR = "operator"
_LEDGER = "ledger"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FileKeyProvider:
    """`KeyProvider` over a folder. Reading never creates anything."""

    def __init__(
        self,
        folder: Path | str,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.folder = Path(folder)
        self._random = random
        self._clock = clock
        self._read: dict[str, dict[int, RootKey]] = {}

    # Reading

    def tenant(self, tenant: str) -> RootKey:
        """The tenant's current root key. Raises `KeyMissing`, also for a name that no tenant can have."""
        return self._current(_tenant_id(tenant))

    def operator(self) -> RootKey:
        return self._current(_OPERATOR)

    def ledger(self) -> RootKey:
        return self._current(_LEDGER)

    def by_id(self, key_id: str, version: int) -> RootKey:
        """The version of a key that an envelope names."""
        versions = self._versions(key_id)
        if version not in versions:
            raise KeyMissing(
                f"{key_id} has no version {version}", hint="restore the key file from its backup"
            )
        return versions[version]

    def tenants(self) -> list[str]:
        """Tenants that have a key, sorted."""
        found = (path.stem for path in (self.folder / "tenants").glob("*.key"))
        return sorted(name for name in found if TENANT.fullmatch(name))

    # Creating

    def create(self, tenant: str) -> bool:
        """Make the tenant's key; False where there is one already, which is left as it is."""
        return self._create(_tenant_id(tenant))

    def create_operator(self) -> bool:
        return self._create(_OPERATOR)

    def create_ledger(self) -> bool:
        return self._create(_LEDGER)

    def ensure(self, *tenants: str) -> list[str]:
        """Make what is missing of operator, ledger and these tenants; returns the ids that are new."""
        ids = [_OPERATOR, _LEDGER, *map(_tenant_id, tenants)]
        return [key_id for key_id in ids if self._create(key_id)]

    # Files

    def _path(self, key_id: str) -> Path:
        name = key_id.removeprefix("tenant/")
        return self.folder / "tenants" / f"{name}.key" if name != key_id else self.folder / f"{name}.key"

    def _current(self, key_id: str) -> RootKey:
        versions = self._versions(key_id)
        return versions[max(versions)]

    def _versions(self, key_id: str) -> dict[int, RootKey]:
        known = self._read.get(key_id)
        if known is None:
            if not KEY_ID.fullmatch(key_id):
                raise KeyMissing("no key can have that id")
            try:
                text = self._path(key_id).read_text("utf-8")
            except (FileNotFoundError, NotADirectoryError):
                raise KeyMissing(f"no key for {key_id} in {self.folder}", hint=_how_to(key_id)) from None
            except (OSError, UnicodeDecodeError) as error:
                raise KeyMissing(
                    f"the key file of {key_id} cannot be read: {type(error).__name__}",
                    hint="give this user the folder, or restore the file from its backup",
                ) from None
            known = self._read[key_id] = _parse(text, key_id)
        return known

    def _create(self, key_id: str) -> bool:
        path = self._path(key_id)
        if path.exists():
            return False
        for folder in (self.folder, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        material = base64.b64encode(self._random(_MATERIAL_BYTES)).decode("ascii")
        created = self._clock().isoformat(timespec="seconds").replace("+00:00", "Z")
        text = (
            f'format = {_FORMAT}\nid = "{key_id}"\n\n'
            f'[[versions]]\nversion = 1\ncreated = "{created}"\nmaterial = "{material}"\n'
        )
        draft = path.parent / f".{path.name}.{secrets.token_hex(8)}"
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
        finally:
            draft.unlink(missing_ok=True)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return True


def _tenant_id(tenant: str) -> str:
    if not TENANT.fullmatch(tenant):
        raise KeyMissing(
            f"no tenant can have that name ({len(tenant)} characters)",
            hint="lower case letters, digits and hyphens, at most 63",
        )
    return f"tenant/{tenant}"


def _how_to(key_id: str) -> str:
    if key_id.startswith("tenant/"):
        return f"run: veilstream keys create {key_id.removeprefix('tenant/')}"
    return "run: veilstream keys create TENANT, which makes it too"


def _parse(text: str, key_id: str) -> dict[int, RootKey]:
    """The versions in a key file. The error never quotes the file."""
    try:
        document = tomllib.loads(text)
        if document["format"] != _FORMAT or document["id"] != key_id:
            raise ValueError("another format or id")
        versions: dict[int, RootKey] = {}
        for entry in document["versions"]:
            material = base64.b64decode(entry["material"], validate=True)
            version = int(entry["version"])
            if len(material) != _MATERIAL_BYTES or version < 1 or version in versions:
                raise ValueError("not a version of a key")
            versions[version] = RootKey(key_id, version, material)
        if not versions:
            raise ValueError("no version")
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise KeyMissing(
            f"the key file of {key_id} is damaged: {type(error).__name__}",
            hint="restore it from its backup; a new key would make old data unreadable",
        ) from None
    return versions
