"""An outbox entry as what it becomes in the journal and outside. Pure, and the same bytes every time."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from veilstream.contracts import JournalRecord, RootKey
from veilstream.keys.derive import derive, mac
from veilstream.ledger.chain import linked

__all__ = ["assemble", "seal_of"]


def assemble(
    fields: Mapping[str, bytes], entry_head: str, public_head: str, root: RootKey
) -> list[JournalRecord]:
    """Link one outbox entry to the heads of both chains of its budget, and sign it with the ledger's key.

    An entry's hash covers all before it, and its HMAC (`seal_of`) the hash: who has not the ledger's key can
    neither change, add, nor take out an entry, but for cutting off the end, which the store shows.

    One record, or as many as its people need: parts of one sequence number, of which the last has the bitmap,
    the public event and everything else.

    A function of its arguments alone: a relay that was fenced, and wakes up, can only repeat the very same
    bytes for a sequence number, which readers drop.
    """
    budget = fields["budget"].decode("ascii")
    public = orjson.loads(fields["public"])
    release = _json(fields, "release")
    common = {"public": public, "reservation": fields.get("reservation", b"").decode("ascii")}
    count = int(fields.get("parts", b"0"))
    sealed = [base64.b64encode(fields[f"sealed:{number + 1}"]).decode("ascii") for number in range(count)]
    records: list[JournalRecord] = []
    for number in range(count - 1):
        part = {"index": number, "of": count}
        entry = _signed(
            root,
            entry_head,
            {
                **common,
                "sealed": sealed[number],
                "admitted": None,
                "state": None,
                "release": None,
                "part": part,
            },
        )
        records.append(JournalRecord(budget, entry, None, None))
        entry_head = entry["hash"]
    last: dict[str, Any] = {
        **common,
        "sealed": sealed[-1] if count else None,
        "admitted": base64.b64encode(fields["admitted"]).decode("ascii") if count else None,
        "state": _json(fields, "state"),
        "release": release,
    }
    if count > 1:
        last["part"] = {"index": count - 1, "of": count}
    if fields.get("authority"):
        last["authority"] = orjson.loads(fields["authority"])
    entry = _signed(root, entry_head, last)
    records.append(JournalRecord(budget, entry, linked(public_head, public), release))
    return records


def seal_of(root: RootKey, entry: Mapping[str, Any]) -> str:
    """HMAC-SHA256 over an entry's hash, under a key of the ledger's own for this purpose alone."""
    return mac(derive(root, "ledger-entry"), "ledger-entry", str(entry["hash"])).hex()


def _signed(root: RootKey, entry_head: str, content: dict[str, Any]) -> dict[str, Any]:
    entry = linked(entry_head, {**content, "key_version": root.version})
    return {**entry, "mac": seal_of(root, entry)}


def _json(fields: Mapping[str, bytes], name: str) -> Any:
    return orjson.loads(fields[name]) if fields.get(name) else None
