"""The lanes' protocol as a small explicit-state model, explored exhaustively for two workers.

Question answered: whatever is killed, frozen, moved or delayed, and in whatever order, does a reader of the
protected topic see each record once and in order? Every interleaving of the steps in `protocol_steps`, with
at most `FAULTS` faults, is visited breadth first; a violation comes back as its shortest trace, in words.
Standard library only, imported by nothing: `python -m veilstream.processors.protocol_model [--json]`.

Modelled: one source partition of N raw records, two workers, one broker.

* Broker: for each transactional id whether a transaction is open, or *decided* (prepared) with its markers in
  the output and in the group's offsets still to be written, in either order; which requests carry the newest
  producer epoch; the output up to its last stable offset; the committed offset; who owns the partition.
* Worker, and where the code is: fence by InitProducerId (`Lane._open`, `Transactional.open`) → read the
  committed offset and seek (`Lane._open`, `Source.committed`, `Source.seek`) → fetch a batch, drop what is
  below the own next offset (`Lane._fetch`) → outputs, offset, end of the transaction (`Lane._deliver`,
  `Transactional.deliver`; in the code outputs and offset are under way together, and both are acknowledged
  before the end). After a fence or an answer that does not come, all that the lane knows is thrown away
  (`Lane._close`) and it opens again (`Lane.run`), until it hears that the partition is gone (`Flow.close`).
* Faults: kill -9 at any step; the partition taken away at any step, which its worker may hear at any later
  time (a frozen worker is one that takes no step meanwhile, and goes on as a zombie); a request whose answer
  is lost, or whose sender gives it up, and which arrives later, at any point; the transaction's timeout.
  A request left behind by one that dies or loses the partition may arrive later, too, InitProducerId
  included. Records from a place below the next offset come at any time, which is no fault.
* `at_least_once` (`Acknowledged.deliver`, `driver`'s `commit`): idempotent outputs, awaited, then the offset,
  committed with the group's generation (in the code some batches later, for all partitions at once).

What must hold, exactly once: a `read_committed` reader sees, in every state, records 1 to n in order, each
once; the offset counts the outputs (the visible ones wherever no decided transaction's marker is missing). At
least once: the committed offset is never beyond the output, and a reader that drops what is not above the
last applied source offset applies records 1 to n in order. Both: from every state a way without further
faults leads to everything delivered.

Reductions that lose nothing: epochs and generations are *newest* or *older*, since the broker asks nothing
else; aborted outputs leave the log, and so, at least once, do the duplicates that a reader drops (an output
*is* its source offset here); a request and its answer are one step where nothing can be seen in between;
a request that is refused whenever it arrives is forgotten; worker A is the first owner, by symmetry.

Not modelled: Kafka's replication and elections (acknowledged is taken to be kept); time (no timeout has a
length, so a way on exists, but nothing says how long it is); several output partitions; the next batch being
worked on during a delivery; recreated topics; what a record turns into. Taken as given from Kafka 4: the
output's partition refuses an older epoch too (KIP-890), the outputs of one producer keep their order
(idempotence), a fence waits for a decided transaction. TxnOffsetCommit carries no generation, as aiokafka's
does not (no KIP-447).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from veilstream.processors.protocol_steps import Model, Protocol, State

__all__ = ["AT_LEAST_ONCE", "EXACTLY_ONCE", "FAULTS", "MUTANTS", "MUTANT_FAULTS", "Report", "explore"]

FAULTS: Final = 4
"""The most faults in one run, of any kinds in any order."""
MUTANT_FAULTS: Final = 2
"""Each mutant breaks with no more than these."""
EXACTLY_ONCE: Final = Protocol()
AT_LEAST_ONCE: Final = Protocol(delivery="at_least_once", offset="after")
MUTANTS: Final[Mapping[str, Protocol]] = {
    "committed offset read before the fence": Protocol(fences_before_reading=False),
    "what is below the next offset is not dropped": Protocol(drops_below_next=False),
    "offset committed after the transaction": Protocol(offset="after"),
    "offset committed before the transaction": Protocol(offset="before"),
    "one transactional id for the process": Protocol(transactional_id="process"),
    "retry after an unknown commit without a fence": Protocol(refences_after_unknown_commit=False),
    "a fenced lane goes on with a new epoch": Protocol(rereads_after_fence=False),
    "fetches from before the opening are taken": Protocol(discards_old_fetches=False),
    "a broker that takes older epochs": Protocol(broker_refuses_older_epochs=False),
    "a fenced lane lets go for good": Protocol(returns_after_fence=False),
    "at least once: acknowledged before delivery": Protocol(delivery="at_least_once", offset="before"),
    "at least once: fetches from before the opening are taken": Protocol(
        delivery="at_least_once", offset="after", discards_old_fetches=False
    ),
}


class Report(NamedTuple):
    """`violation`: the steps of a shortest counterexample, the last saying what is broken; None if none."""

    states: int
    transitions: int
    violation: tuple[str, ...] | None


def explore(protocol: Protocol, workers: int = 2, records: int = 3, faults: int = FAULTS) -> Report:
    """Visits every state within the bound on faults; stops at the first that is broken.

    Then liveness: from every state some way without further faults leads to everything delivered, found by
    going backwards from the states where it is.
    """
    model = Model(protocol, workers, records)
    start = model.initial(faults)
    index: dict[State, int] = {start: 0}
    came: list[tuple[int, str]] = [(-1, "A is assigned the partition")]
    before: list[list[int]] = [[]]
    queue = deque([start])
    goals: list[int] = []
    transitions = 0
    while queue:
        state = queue.popleft()
        here = index[state]
        for word, after, fault in model.steps(state):
            transitions += 1
            there = index.get(after)
            if there is None:
                there = index[after] = len(came)
                came.append((here, word))
                before.append([])
                queue.append(after)
                if wrong := model.broken(after):
                    return Report(len(came), transitions, (*_trace(came, there), f"broken: {wrong}"))
                if model.delivered(after):
                    goals.append(there)
            if not fault:
                before[there].append(here)
    alive = set(goals)
    while goals:
        for earlier in before[goals.pop()]:
            if earlier not in alive:
                alive.add(earlier)
                goals.append(earlier)
    stuck = next((i for i in range(len(came)) if i not in alive), None)
    if stuck is None:
        return Report(len(came), transitions, None)
    return Report(len(came), transitions, (*_trace(came, stuck), "broken: no way on without a further fault"))


def _trace(came: list[tuple[int, str]], at: int) -> tuple[str, ...]:
    words: list[str] = []
    while at >= 0:
        at, word = came[at]
        words.append(word)
    return tuple(reversed(words))


def main(arguments: list[str] | None = None) -> int:
    """Explore both deliveries and every mutant; exit status 1 if a delivery is broken or a mutant is not."""
    parser = argparse.ArgumentParser(prog="protocol_model", description=main.__doc__)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    rows: list[dict[str, object]] = []
    good = True
    for name, protocol in {"exactly once": EXACTLY_ONCE, "at least once": AT_LEAST_ONCE, **MUTANTS}.items():
        began = time.perf_counter()
        faults = MUTANT_FAULTS if name in MUTANTS else FAULTS
        report = explore(protocol, faults=faults)
        good &= (report.violation is not None) == (name in MUTANTS)
        row = {"protocol": name, "mutant": name in MUTANTS, "faults": faults, **report._asdict()}
        rows.append({**row, "seconds": round(time.perf_counter() - began, 2)})
    if asked.json:
        print(json.dumps({"explored": rows}, indent=1))
        return 0 if good else 1
    for row in rows:
        print(
            f"{row['protocol']}: {row['states']} states, {row['transitions']} transitions, {row['seconds']} s"
        )
        for step in row["violation"] or ():  # type: ignore[attr-defined]
            print(f"    {step}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
