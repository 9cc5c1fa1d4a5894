"""What a charge will write, made before the script that may write it. Pure.

Every event's bytes, its time included, are fixed here, for the sequence numbers at which the budgets are seen
to be; the script refuses (`moved`) where another event came in between. So whoever relays an entry later,
twice or after a pause, can write nothing else for its sequence number.

A charge writes into each budget of its path, **the root first and the charged budget last**: its own entry is
the one with the people, and training waits until the journal has it. A journal that ends in between has
budgets that show more than was released, never less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from veilstream.ledger.budget import Budget, Decision, Step
from veilstream.ledger.manifest import Manifest
from veilstream.ledger.projection import event, show
from veilstream.ledger.store import Keys, attempt_field

__all__ = ["Plan", "plan_of"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Arguments of `charge.lua`."""

    verdict: str  # "charged" or "refused"
    odometers: str  # after the charge, for each budget: numbers joined by commas, budgets by semicolons
    json: bytes


def plan_of(
    manifest: Manifest,
    path: list[Budget],
    decision: Decision,
    identity: str,
    epoch: int,
    key_version: int,
    now: str,
) -> Plan:
    """The plan of a charge. `path` has the charged budget first, the root last."""
    leaf = path[0]
    verdict = "charged" if decision.admitted else "refused"
    entries: list[dict[str, Any]] = []
    levels: list[dict[str, Any]] = []
    for budget, step in reversed(list(zip(path, decision.steps, strict=True))):
        seq = budget.seq
        for kind, fields in _events(manifest, leaf.name, budget.name, decision, step):
            seq += 1
            entries.append(
                {
                    "budget": budget.name,
                    "seq": str(seq),
                    "public": event(step.after, seq, kind, now, **fields).decode(),
                    "reservation": identity if decision.admitted else "",
                    "people": kind == "charged" and budget.name == leaf.name,
                }
            )
        levels.append(
            {
                "meta": Keys(budget.name).meta,
                "people": Keys(budget.name).people(budget.period),
                "seq": str(budget.seq),
                "last": str(seq),
                "spent": ",".join(map(str, step.after.spent)),
                "exhausted": step.exhausts,
            }
        )
    keys = Keys(leaf.name)
    own = next(e["seq"] for e in entries if e["budget"] == leaf.name)
    plan = {
        "levels": levels[::-1],
        "entries": entries,
        "refused": not decision.admitted,
        "attempts": keys.attempts,
        "field": attempt_field(manifest.model, manifest.window),
        "attempt": str(manifest.attempt),
        "open": keys.open(manifest.model),
        "key": keys.reservation(identity),
        "id": identity,
        "budget": leaf.name,
        "seq": own,
        "model": manifest.model,
        "start": repr(float(manifest.window[0])),
        "end": repr(float(manifest.window[1])),
        "epsilon_spent": repr(show(decision.steps[0].after)["epsilon_spent"]),
        "state": orjson.dumps(
            {"epoch": epoch, "parent": manifest.parent, "key_version": key_version}
        ).decode(),
    }
    odometers = ";".join(",".join(map(str, step.after.spent)) for step in decision.steps)
    return Plan(verdict, odometers, orjson.dumps(plan))


def _events(
    manifest: Manifest, leaf: str, budget: str, decision: Decision, step: Step
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a charge at one budget of its path: kinds and fields."""
    public = manifest.public()
    by = {} if budget == leaf else {"by": leaf}
    if decision.admitted:
        yield "charged", {**public, **by}
    elif budget == leaf:
        where = {} if decision.at == leaf else {"at": decision.at}
        yield "refused", {**public, "reason": decision.reason, **where}
    if step.threshold is not None:
        yield "threshold", {"model": manifest.model, "threshold": step.threshold, **by}
    if step.exhausts:
        why = "no_room_for_the_same_charge"
        yield "exhausted", {"model": manifest.model, "charge": public["charge"], "reason": why, **by}
