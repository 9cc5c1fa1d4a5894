"""The continual training worker: windows, charge, train, release.

    lease ─▶ wait until a window is sealed ─▶ read it ─▶ charge everyone in it ─▶ wait for the journal
          ─▶ start ─▶ train on who was admitted ─▶ write the artifact ─▶ commit ─▶ the relay publishes ─▶ next

**Guarantees**, with the ledger's and `veilstream.dp`'s:

* *Spent ≥ released*: nothing is trained before the journal has the charge, an attempt starts once, and a
  restart for whatever reason is a new attempt with a new charge. What a crashed attempt cost stays spent.
* Windows are cut by a public schedule on broker append time; a window with one person, or none, is charged,
  trained and released like any other.
* A person's row in a window is made from their own records alone, and of the public encoder and label set.
* What leaves (a release, its card, budget events) is computed from noisy parameters and public values. Exact
  counts and losses go into operator metrics only.

**Does not** hide when a window was trained, how long it took, and that an attempt failed; guard against a
record that names the wrong person; deduplicate what an agent sends twice as two records (cap and clipping
bound what they can do).

| file | question |
|---|---|
| `windows` | which stretch of time is next, and when is it sealed? (pure) |
| `reading` | which records of the protected topic are in it? |
| `tasks` | what is there to learn in a record? (pure) |
| `contributions` | what is kept of a person? what was applied before? (pure) |
| `encoder`, `fit` | how do texts become a private head? |
| `release` | what is written, and what does its card say? |
| `loop` | which window, who is in it, who pays, and what after a crash? |
| `attempt` | from a charge to a release: in which order? |
| `pacing` | when does the outside see what a window did? |
| `patience` | what where broker or store do not answer? |
| `run` | the process: clients, signals, health |
| `dry_run` | what would it cost? |
| `toolchoice` | how is a release used? |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veilstream.worker.dry_run import dry_run
    from veilstream.worker.run import run_worker
    from veilstream.worker.toolchoice import ToolChooser

__all__ = ["ToolChooser", "dry_run", "run_worker"]

_HOME = {"ToolChooser": "toolchoice", "run_worker": "run"}


def __getattr__(name: str) -> Any:
    # torch is loaded by who trains, and by nobody else: `train --dry-run` imports this package too.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
