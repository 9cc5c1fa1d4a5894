"""One run: brokers, roles and load; fault after fault, each recovered from; the verdict.

All that it starts ends with it: child processes die with this one, namespaces, disks and folders are removed
at the end, and those of a run that was killed are removed by the next.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from veilstream.bench.chaos import budget, clock, setup
from veilstream.bench.chaos.cluster import NODES, Cluster
from veilstream.bench.chaos.disks import PREFIX, Disk, sweep_disks
from veilstream.bench.chaos.faults import FAULTS
from veilstream.bench.chaos.load import Load
from veilstream.bench.chaos.network import Network, sweep
from veilstream.bench.chaos.options import Options
from veilstream.bench.chaos.oracle import judge
from veilstream.bench.chaos.readers import Follower, read_outputs, read_raw
from veilstream.bench.chaos.report import Happened, Report
from veilstream.bench.chaos.roles import ALERTING, TRAIN, Roles, processor
from veilstream.bench.chaos.schedule import Turn, schedule
from veilstream.bench.chaos.world import World
from veilstream.errors import SettingInvalid, TrainingFailed
from veilstream.events.topics import topic_name
from veilstream.protection import load_policy
from veilstream.transport import incarnation

if TYPE_CHECKING:
    from veilstream.ledger import Ledger, Relay
    from veilstream.settings import Settings

__all__ = ["run"]

OpenLedger = Callable[["Settings"], AbstractAsyncContextManager[tuple["Ledger", "Relay"]]]
Say = Callable[[str], None]

_TYPICAL_SECONDS = 20.0  # of a fault: none is begun with less left
_READY_SECONDS = 90.0
_MOST_PROCESSORS = 4


async def run(options: Options, open_ledger: OpenLedger, say: Say) -> Report:
    """Run once.

    Args:
        open_ledger: gives the ledger and a relay under some settings.
        say: hears a line for each fault; for standard error.

    Raises:
        SettingInvalid: a fault that there is none of.
        BrokerUnavailable, StoreUnavailable: they did not start.
        TrainingFailed: a role ended for good before a fault was made.
    """
    began = time.monotonic()
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    names = options.faults or tuple(FAULTS)
    for name in names:
        if name not in FAULTS:
            raise SettingInvalid(f"--faults: there is no fault {name}", hint=", ".join(FAULTS))
    sweep()
    sweep_disks()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    report = Report(options.seed, setup.setting_of(options.delivery) or "at_least_once")
    try:
        missing = _missing(folder)
        left_out = {
            name: missing[need] for name in names for need in sorted(FAULTS[name].needs) if need in missing
        }
        report.faults_left_out = left_out
        for name, why in left_out.items():
            say(f"{name} is left out: {why}")
        chosen = [name for name in names if name not in left_out]
        async with _world(options, folder, chosen, open_ledger, say) as (world, relay):
            await _faults(world, report, chosen, began, say)
            await _verdict(world, relay, report, say)
    finally:
        _keep(folder, options.keep)
        shutil.rmtree(folder, ignore_errors=True)
    report.seconds = time.monotonic() - began
    return report


def _missing(folder: Path) -> dict[str, str]:
    """What this machine does not have, and why."""
    found = {"network": Network.missing(), "disks": Disk.missing(folder), "clock": clock.missing()}
    return {need: why for need, why in found.items() if why is not None}


def _keep(folder: Path, keep: Path | None) -> None:
    """Copy the logs of everything."""
    if keep is None:
        return
    for log in [*folder.glob("*.log"), *folder.glob("kafka-*/*.log"), *folder.glob("*/*.out")]:
        target = keep / log.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, target)


@asynccontextmanager
async def _world(
    options: Options, folder: Path, chosen: list[str], open_ledger: OpenLedger, say: Say
) -> AsyncIterator[tuple[World, Relay]]:
    """Everything up and flowing; all of it gone at the end."""
    needs = frozenset(need for name in chosen for need in FAULTS[name].needs)
    others = [role for role in (TRAIN, ALERTING) if role in needs]
    processors = [processor(number) for number in range(1, options.processors + 1)]
    every = [processor(number) for number in range(1, max(_MOST_PROCESSORS, options.processors) + 1)]
    async with AsyncExitStack() as stack:
        network = None
        if "network" in needs:
            network = Network([*(f"kafka-{node}" for node in NODES), *every, TRAIN, ALERTING])
            stack.callback(network.stop)
            network.start()
        cluster = Cluster(folder, network, disks="disks" in needs)
        stack.callback(cluster.stop)
        say("starting three brokers and the store")
        await cluster.start()
        environment = setup.environment(folder, options)
        orders, noise = setup.orders(options)
        settings = setup.settings(folder, cluster, noise, environment)
        await setup.make_topics(settings.kafka, _READY_SECONDS)
        ledger, relay = await stack.enter_async_context(open_ledger(settings))
        await ledger.create_budget(
            setup.BUDGET,
            tenant=settings.worker.tenant,
            epsilon=setup.EPSILON,
            delta=setup.DELTA,
            orders=orders,
        )
        await relay.drain()
        first = await incarnation(settings.kafka, topic_name(settings.kafka, "interactions.raw"))
        roles = Roles(folder, network, environment)
        stack.push_async_callback(roles.stop_all)
        load = Load(
            settings.kafka, seed=options.seed, rate=options.rate, people=options.people, incarnation=first
        )
        follower = Follower(settings.kafka)
        world = World(
            options, folder, settings, cluster, network, roles, load, follower, ledger, incarnations=[first]
        )
        say(f"starting {', '.join([*processors, *others])}")
        for role in [*processors, *others]:
            await roles.start(role)
        for work in (follower.run(), load.run()):
            task = asyncio.create_task(work)
            stack.push_async_callback(_cancelled, task)
            task.add_done_callback(_complain)
        await asyncio.gather(*(roles.until_started(role, _READY_SECONDS) for role in [*processors, *others]))
        if await follower.until_through(first, await world.raw_ends(), _READY_SECONDS):
            raise TrainingFailed(
                "the processors protect nothing, before any fault", hint="use --keep, and see their logs"
            )
        yield world, relay


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def _complain(task: asyncio.Task[None]) -> None:
    """The harness's own reader and producer never end by an error: if one does, the run is worth nothing."""
    if not task.cancelled() and task.exception() is not None:
        print(f"chaos: a fault of the harness: {type(task.exception()).__name__}", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGTERM)


async def _faults(world: World, report: Report, chosen: list[str], began: float, say: Say) -> None:
    options = world.options
    end = began + 60 * options.minutes
    failing = asyncio.create_task(world.roles.failed())
    try:
        for turn in schedule(options.seed, chosen):
            late = time.monotonic() + _TYPICAL_SECONDS > end
            enough = options.most_faults and len(report.happened) >= options.most_faults
            if (late and report.happened) or enough:
                return
            happened = await _one(world, turn, time.monotonic() - began)
            report.happened.append(happened)
            if not await budget.verified(world.settings, world.ledger):
                report.ledger_verified = False
            report.ledger_checks += 1
            say(_line(happened, report))
            if failing.done():
                raise TrainingFailed(f"the role {failing.result()} ended for good", hint="use --keep")
            await asyncio.sleep(random.Random(turn.seed).uniform(0.5, 2.0))  # noqa: S311
    finally:
        failing.cancel()


def _line(happened: Happened, report: Report) -> str:
    text = f"{happened.at_seconds:6.0f} s  {happened.fault:<16} {happened.lasted_seconds:5.1f} s"
    text += (
        f"  recovered after {happened.recovery_seconds:.1f} s" if happened.recovered else "  NOT RECOVERED"
    )
    if happened.left:
        text += f"  {happened.left} records did not come out"
    if happened.duplicated:
        text += f"  {happened.duplicated} seen twice"
    if happened.error:
        text += f"  failed: {happened.error}"
    return text if report.ledger_verified else f"{text}  LEDGER BROKEN"


async def _one(world: World, turn: Turn, at_seconds: float) -> Happened:
    """Make a fault, heal it, wait for what it held up."""
    fault = FAULTS[turn.fault]()
    rng = random.Random(turn.seed)  # noqa: S311  # reproducible, not secret
    began, seen, error = time.monotonic(), world.follower.duplicated, None
    try:
        async with asyncio.timeout(fault.seconds + 30.0):
            await fault.apply(world, rng)
    except Exception as raised:
        error = type(raised).__name__
    healing = time.monotonic()
    try:
        async with asyncio.timeout(fault.seconds + 30.0):
            await fault.heal(world)
    except Exception as raised:
        error = error or type(raised).__name__
    patience = world.options.recovery_seconds
    # Counted from the moment of the heal, the time that a broker takes to start included.
    which, ends = world.incarnations[-1], await world.raw_ends()
    through = world.follower.until_through(which, ends, patience)
    left, well = await asyncio.gather(through, fault.recovered(world, patience))
    if left:
        world.follower.forgive(which, ends)
    now = time.monotonic()
    return Happened(
        fault=turn.fault,
        round=turn.round,
        at_seconds=at_seconds,
        lasted_seconds=healing - began,
        recovery_seconds=now - healing,
        recovered=not left and well,
        duplicated=world.follower.duplicated - seen,
        left=left,
        error=error,
    )


async def _verdict(world: World, relay: Relay, report: Report, say: Say) -> None:
    """Let everything come to rest, then read every topic whole."""
    say("the load ends; reading every topic back")
    kafka = world.settings.kafka
    await world.load.finish()
    await world.follower.until_through(
        world.incarnations[-1], await world.raw_ends(), world.options.recovery_seconds
    )
    report.restarts = world.roles.starts()
    await world.roles.stop_all()
    report.ledger_verified &= await budget.drained(relay)
    report.ledger_verified &= await budget.verified(world.settings, world.ledger)
    report.ledger_checks += 1
    report.releases, report.unpaid_releases = await budget.unpaid(world.settings)
    raw = world.deleted + await read_raw(kafka, world.incarnations[-1])
    outputs = await read_outputs(kafka)
    report.verdict = judge(
        raw,
        outputs,
        acknowledged=world.load.acknowledged,
        optional=world.optional,
        incarnations=world.incarnations,
        exactly_once=report.delivery == "exactly_once",
        policy=load_policy(world.settings.processor.policy).version,
    )
    report.acknowledged = len(world.load.acknowledged)
    report.resent = world.load.resent
    report.outputs = len(outputs)
    report.incarnations = len(world.incarnations)
