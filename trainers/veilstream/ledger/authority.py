"""Who may change what a budget allows: an HMAC under the operator's key, over the event that they made.

A worker holds the ledger's key and charges. To create, raise, correct, freeze or unfreeze takes the
operator's key too; the journal has the name of who did it and the HMAC, inside the boundary, and `fold`
checks both again. A journal from before (layout 1) has none until its first event that does.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from veilstream.contracts import RootKey
from veilstream.keys.derive import derive, mac
from veilstream.ledger.chain import canonical

__all__ = ["AUTHORISED", "authority", "holds"]

AUTHORISED = frozenset({"created", "raised", "corrected", "frozen", "unfrozen"})
"""The events that need it."""


def authority(root: RootKey, by: str, public: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the event in the journal. `root` is the operator's; `public` without hashes."""
    return {"by": by, "key_version": root.version, "mac": _mac(root, by, public)}


def holds(root: RootKey, told: Mapping[str, Any], public: Mapping[str, Any]) -> bool:
    """Whether an authority is that of this event. Constant time."""
    return hmac.compare_digest(_mac(root, str(told["by"]), public), str(told["mac"]))


def _mac(root: RootKey, by: str, public: Mapping[str, Any]) -> str:
    bare = {key: value for key, value in public.items() if key not in ("prev_hash", "hash")}
    return mac(derive(root, "ledger-authority"), "ledger-authority", by, canonical(bare)).hex()
