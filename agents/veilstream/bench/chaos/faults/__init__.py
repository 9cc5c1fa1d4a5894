"""The faults, each behind `base.Fault`. To add one: a class, a row here."""

from veilstream.bench.chaos.faults.base import Fault
from veilstream.bench.chaos.faults.brokers import FullDisk, KillBroker, LoseBroker, RestartBroker, SlowBroker
from veilstream.bench.chaos.faults.data import KillStore, Poison, RecreateTopic
from veilstream.bench.chaos.faults.network import CutAll, CutBroker, CutProcessor
from veilstream.bench.chaos.faults.processes import (
    KillAlerting,
    KillProcessor,
    KillRelay,
    KillWorker,
    RollingRestart,
    Scale,
    Terminate,
    Zombie,
)
from veilstream.bench.chaos.faults.versions import ClockBack, Upgrade

__all__ = ["FAULTS", "Fault"]

_ALL: tuple[type[Fault], ...] = (
    KillProcessor, KillWorker, KillAlerting, KillRelay, Zombie, Terminate, RollingRestart, Scale,
    KillBroker, RestartBroker, LoseBroker, SlowBroker, FullDisk,
    CutAll, CutProcessor, CutBroker,
    KillStore, ClockBack, Poison, RecreateTopic, Upgrade,
)  # fmt: skip

FAULTS: dict[str, type[Fault]] = {fault.name: fault for fault in _ALL}
"""By name."""
