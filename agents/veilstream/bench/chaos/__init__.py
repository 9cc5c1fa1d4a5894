"""Chaos: a real cluster, real roles, a schedule of faults from a seed, and a verdict from the topics.

`run(Options(seed=…, minutes=…))` starts three Kafka nodes, a Valkey and the roles, each a process of its own
through the command line; produces numbered records; makes one fault after another, waiting after each until
the outputs have caught up; and at the end compares what a plain `read_committed` reader finds in the outputs
with what the raw topic held (`oracle`), and the ledger with its journal (`budget`).

It guarantees: the order of faults and what each chooses are a function of the seed; it ends by itself, and
takes its processes, namespaces and disks along; a fault that this machine cannot have is named in
`faults_left_out`, with why.

It does not guarantee that a seed fails again in the same way: which record is in flight when a process is
killed is up to the machine. It says nothing of power cuts: a killed process leaves the system's cache intact.
"""

from veilstream.bench.chaos.options import Delivery, Options
from veilstream.bench.chaos.report import Report
from veilstream.bench.chaos.run import run

__all__ = ["Delivery", "Options", "Report", "run"]
