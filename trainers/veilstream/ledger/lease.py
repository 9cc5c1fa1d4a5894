"""Leases: one process at a time for a model, one relay for a budget.

Acquiring raises an epoch and records its owner; every later script of the ledger compares both and refuses
with `Fenced` where they are not the newest. So a process that was thought dead, and is not, can change
nothing. The time to live only says when another may take over; time is the store's own. A lease that ran out
and was not taken by anyone is still good: fencing is by epoch, never by a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RELAY", "Lease", "model_lease"]

RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Lease:
    """Right to act for `name` under `budget`, until a newer epoch is taken."""

    budget: str
    name: str  # "model/<model>" or "relay"
    epoch: int
    owner: str  # random: an epoch counted from anew (after a rebuild) is still told apart

    @property
    def proof(self) -> tuple[str, str]:
        """What the store compares."""
        return str(self.epoch), self.owner


def model_lease(model: str) -> str:
    return f"model/{model}"
