"""`veilstream …`: wires the rooms together for a person at a terminal.

Each command imports the rooms that it needs when it runs, so that `--help` answers at once and nothing but
training loads torch. A missing extra is named; every error of ours is one line with what to do.
"""

from __future__ import annotations

from veilstream.cli.app import main

__all__ = ["main"]
