"""The ledger's protocol as a small explicit-state model, explored exhaustively for two workers.

Questions answered: whoever is killed, sleeps past its lease or is sent twice, and whatever the store forgets,
is more ever spent than the journal shows, is a cap passed, is an attempt trained twice, does anybody wait for
a dead process, and does what is seen outside depend on one person? Every interleaving of the steps in
`protocol_steps`, with at most `FAULTS` faults, is visited breadth first; a violation comes back as its
shortest trace, in words. Standard library only, imported by nothing:
`python -m veilstream.ledger.protocol_model [--json]`.

Modelled: a tree of two budgets, a root in mode `odometer` above a leaf in mode `individual`; two people; two
windows, one of which takes two runs; two workers that want the same model; a relay, a journal, an operator.

* Store, each script one step, named in the words of a trace: `charge.lua` (with the reading and planning
  before it: `moved` says that nothing came between), `advance.lua`, `transition.lua` (start, commit,
  abandon), `amend.lua` (an operator raises the root), `acknowledge.lua`, `lease.lua`.
* Worker: any caller that goes by the API. With the newest lease it gives up what is open, asks for a charge
  of its own again, or charges the next attempt at the first window that has no release (`Ledger.charge`,
  `Helping.finish_pending`), waits, starts, trains, commits (`Attempts`). B's manifests are never A's: in
  between, somebody was erased whom the model does not have.
* Relay and journal: entries are appended one by one, root's before leaf's, and may be cut anywhere.
* Faults: a worker killed at any step; its lease run out, so that it goes on as a zombie; a call whose answer
  is lost and which is sent again; a relay killed, or asleep past its lease, after any of its entries, which
  appends the rest at any later time; the store lost at any step and made again from the journal (leases,
  what is pending, what was not relayed, and starts that were not, are gone). A raise counts as one.

What must hold in each state. *Spent ≥ released*: whatever was ever trained is paid in the journal, at both
budgets, for each attempt once. No person, and no odometer, passes its cap. No attempt is trained twice. The
journal is one: sequence numbers without gaps, the root never behind the leaf, a manifest charged once,
attempts counted, states in order. The store is what journal, outbox and a charge under way say. Whose lease
is not the newest changes nothing. And from each state every worker that has the lease, or may take it, gets
to where nothing is under way, by its own steps and the relay's.

*Outside* (`views`): the public journals that there can be are the same set with each one of the two people
taken out everywhere. When something is seen is not in it: a window of one person fewer may take a run fewer.

Reductions that lose nothing: a lease's epoch is *newest* or not; a repeated entry is dropped where it stands;
who has nothing under way and no lease is as good as dead; a relay reads, appends and acknowledges in one
step, since nobody reads the journal in between but who makes the store again (which may come after any of
its entries), and one that is killed is one whose lease was taken and that takes no step more; A has the
first lease, by symmetry.

Not modelled: the hash chains, and with them what a relay without a lease would do to the heads
(`test_ledger_relay`); people in parts of an entry; several orders, thresholds, freezing, correcting and
refreshing, and several leaves (`test_ledger_machine`, on a real store); time; who holds which key. Taken as
given: a script is atomic and its effects stay (AOF, `durability`) or all are lost with the store; the journal
keeps what it acknowledged; and **no relay of a store that was lost appends once it is made again** (`rebuild`
claims the tree in the journal first): the last of the mutants shows what happens otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from veilstream.ledger.protocol_steps import RELAY, Model, State, outside
from veilstream.ledger.protocol_store import WINDOWS, Protocol, Windows, without

__all__ = [
    "FAULTS", "MUTANTS", "MUTANT_FAULTS", "PRODUCT", "TELLING", "Report", "explore", "telling", "views",
]  # fmt: skip

FAULTS: Final = 2
"""The most faults in one run, of any kinds in any order."""
MUTANT_FAULTS: Final = 1
"""Each mutant breaks with no more than this."""
PRODUCT: Final = Protocol()
MUTANTS: Final[Mapping[str, Protocol]] = {
    "an attempt starts before the journal has its charge": Protocol(start_waits_for_journal=False),
    "an attempt of a lost store starts": Protocol(start_refuses_after_rebuild=False),
    "an attempt that has started starts again": Protocol(starts_once=False),
    "a release is committed twice": Protocol(commits_once=False),
    "an abandoned attempt is refunded": Protocol(refunds=True),
    "a charge is not fenced": Protocol(fences_charges=False),
    "a transition is not fenced": Protocol(fences_transitions=False),
    "a charge under way keeps nobody out": Protocol(pending_keeps_others_out=False),
    "a charge under way is for its process alone": Protocol(anyone_advances=False),
    "the bitmap is lost with its process": Protocol(bitmap_in_the_store=False),
    "people are admitted by the odometer alone": Protocol(asks_people=False),
    "the odometer is not asked": Protocol(asks_odometer=False),
    "a manifest that was charged is charged again": Protocol(answers_repeats=False),
    "attempts are not counted": Protocol(counts_attempts=False),
    "a plan that something came before is carried out": Protocol(refuses_moved=False),
    "the charged budget's entry comes before its parent's": Protocol(root_first=False),
    "the relay acknowledges and then appends": Protocol(appends_before_acknowledging=False),
    "a store is made again while a relay appends": Protocol(rebuilds_without_relays=False),
}
TELLING: Final[Mapping[str, Protocol]] = {
    "a window of which nobody is admitted is not charged": Protocol(charges_windows_of_nobody=False),
    "an event tells how many runs a charge took": Protocol(hides_runs=False),
}
"""Mutants that spend nothing wrongly, and show outside what depends on one person."""


class Report(NamedTuple):
    """`violation`: the steps of a shortest counterexample, the last saying what is broken; None if none."""

    states: int
    transitions: int
    violation: tuple[str, ...] | None


def explore(protocol: Protocol, charges: int = 2, faults: int = FAULTS) -> Report:
    """Visits every state within the bound on faults; stops at the first that is broken.

    Then that nobody waits for a dead process: wherever a worker has the lease, or may take it, its own steps
    and the relay's alone, without a further fault, lead to where nothing is under way. Found by going
    backwards from there.
    """
    model = Model(protocol, charges)
    start = model.initial(faults)
    index: dict[State, int] = {start: 0}
    came: list[tuple[int, str]] = [(-1, "both budgets are created")]
    before: list[list[tuple[int, int]]] = [[]]
    queue = deque([start])
    goals: list[int] = []
    transitions = 0
    while queue:
        state = queue.popleft()
        here = index[state]
        for word, actor, after, fault in model.steps(state):
            transitions += 1
            there = index.get(after)
            if there is None:
                there = index[after] = len(came)
                came.append((here, word))
                before.append([])
                queue.append(after)
                if wrong := model.broken(after):
                    return Report(len(came), transitions, (*_trace(came, there), f"broken: {wrong}"))
                if model.settled(after):
                    goals.append(there)
            if not fault:
                before[there].append((here, actor))
    for worker in range(2):
        alive = _reaching(before, goals, worker)
        for state, at in index.items():
            if at not in alive and model.may_go_on(state, worker):
                trace = (*_trace(came, at), f"broken: {'AB'[worker]} cannot go on by itself")
                return Report(len(came), transitions, trace)
    return Report(len(came), transitions, None)


def _reaching(before: list[list[tuple[int, int]]], goals: list[int], worker: int) -> set[int]:
    """The states from which steps of one worker and of the relay lead to a goal."""
    alive, left = set(goals), list(goals)
    while left:
        for earlier, actor in before[left.pop()]:
            if actor in (worker, RELAY) and earlier not in alive:
                alive.add(earlier)
                left.append(earlier)
    return alive


def views(
    protocol: Protocol, windows: Windows = WINDOWS, charges: int = 2, faults: int = FAULTS
) -> frozenset[tuple[object, ...]]:
    """Everything that the outside can come to see: the public events of every journal that there can be."""
    model = Model(protocol, charges, windows)
    start = model.initial(faults)
    seen, left = {start}, [start]
    while left:
        for _, _, after, _ in model.steps(left.pop()):
            if after not in seen:
                seen.add(after)
                left.append(after)
    return frozenset(outside(journal) for journal in {state.journal for state in seen})


def telling(protocol: Protocol, charges: int = 2, faults: int = FAULTS) -> tuple[int, bool]:
    """How many views there are, and whether one of them tells of one person: that somebody was there.

    The windows in both orders: whose is the larger one, and who is in both, makes a difference inside.
    """
    count, told = 0, False
    for windows in (WINDOWS, WINDOWS[::-1]):
        seen = views(protocol, windows, charges, faults)
        count += len(seen)
        told |= any(views(protocol, without(windows, person), charges, faults) != seen for person in (0, 1))
    return count, told


def _trace(came: list[tuple[int, str]], at: int) -> tuple[str, ...]:
    words: list[str] = []
    while at >= 0:
        at, word = came[at]
        words.append(word)
    return tuple(reversed(words))


def main(arguments: list[str] | None = None) -> int:
    """Explore the product and every mutant; exit status 1 if the product is broken or a mutant is not."""
    parser = argparse.ArgumentParser(prog="protocol_model", description=main.__doc__)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    rows: list[dict[str, object]] = []
    good = True
    for name, protocol in {"the ledger": PRODUCT, **MUTANTS}.items():
        began = time.perf_counter()
        faults = MUTANT_FAULTS if name in MUTANTS else FAULTS
        report = explore(protocol, faults=faults)
        good &= (report.violation is not None) == (name in MUTANTS)
        row = {"protocol": name, "mutant": name in MUTANTS, "faults": faults, **report._asdict()}
        rows.append({**row, "seconds": round(time.perf_counter() - began, 2)})
    for name, protocol in {"the ledger": PRODUCT, **TELLING}.items():
        began = time.perf_counter()
        seen, told = telling(protocol, faults=MUTANT_FAULTS)
        good &= told == (name in TELLING)
        row = {"protocol": f"{name}: seen outside", "mutant": name in TELLING, "faults": MUTANT_FAULTS}
        row |= {"views": seen, "tells": told, "seconds": round(time.perf_counter() - began, 2)}
        rows.append(row)
    if asked.json:
        print(json.dumps({"explored": rows}, indent=1))
        return 0 if good else 1
    for row in rows:
        found = ", ".join(f"{row[key]} {key}" for key in ("states", "transitions", "views") if key in row)
        tells = ", tells of one person" if row.get("tells") else ""
        print(f"{row['protocol']}: {found}{tells}, {row['seconds']} s")
        for step in row.get("violation") or ():  # type: ignore[attr-defined]
            print(f"    {step}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
