"""An outbox entry as what it becomes in the journal and outside. Pure, and the same bytes every time."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson

from veilstream.contracts import JournalRecord
from veilstream.ledger.chain import linked

__all__ = ["assemble"]


def assemble(budget: str, fields: Mapping[str, bytes], entry_head: str, public_head: str) -> JournalRecord:
    """Link one outbox entry to the heads of both chains.

    A function of its arguments alone: a relay that was fenced, and wakes up, can only repeat the very same
    bytes for a sequence number, which readers drop.
    """
    public = orjson.loads(fields["public"])
    charged = public["event"] == "charged"
    release = orjson.loads(fields["release"]) if fields["release"] else None
    entry = {
        "public": public,
        "reservation": fields["reservation"].decode("ascii"),
        "sealed": base64.b64encode(fields["sealed"]).decode("ascii") if charged else None,
        "admitted": base64.b64encode(fields["admitted"]).decode("ascii") if charged else None,
        "state": orjson.loads(fields["state"]) if fields["state"] else None,
        "release": release,
    }
    return JournalRecord(budget, linked(entry_head, entry), linked(public_head, public), release)
