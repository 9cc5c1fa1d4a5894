"""A script's refusals as errors, and the checks that more than one operation makes."""

from __future__ import annotations

from veilstream.errors import BudgetUnknown, ChargeInvalid, Fenced, LedgerDiffers, StoreUnavailable
from veilstream.ledger.lease import Lease, model_lease

__all__ = ["TRIES", "contended", "refused", "same_model"]

TRIES = 200  # other events may come in between: each of them is another writer's success


def same_model(lease: Lease, budget: str, model: str) -> None:
    if lease.budget != budget or lease.name != model_lease(model):
        raise ChargeInvalid("the lease is for another budget or model")


def refused(status: str, budget: str) -> Exception:
    if status == "fenced":
        return Fenced(f"another process holds a newer lease under budget {budget}", hint="stop this one")
    if status == "unknown":
        return BudgetUnknown(f"there is no budget {budget}")
    return LedgerDiffers(
        f"the store decides otherwise than this process about budget {budget}: nothing was changed",
        hint="run `veilstream ledger verify`; see that all processes run one version",
    )


def contended(budget: str) -> Exception:
    return StoreUnavailable(
        f"budget {budget} changes faster than it can be charged", hint="fewer models under one budget"
    )
