"""Runs the roles as processes of their own on a real broker and a real store, and watches them.

The producer is paced over the training windows, so that each window has people to learn from. A role that
ends before its time is started again, as an orchestrator would. Whatever happens, no process is left behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from veilstream.accounting import plan as plan_noise
from veilstream.cli.demo.dump import Planted, count_leaked, read_topics, write_dump
from veilstream.cli.demo.plan import (
    BUDGET,
    DELTA,
    EPSILON,
    SAMPLING_RATE,
    SPARE_WINDOWS,
    STEPS,
    TENANT,
    Plan,
    environment,
    fresh_folder,
    write_settings,
)
from veilstream.cli.demo.records import demo_records
from veilstream.cli.demo.result import Result
from veilstream.cli.demo.watch import Watch
from veilstream.cli.wiring import open_ledger
from veilstream.client import LogProducer
from veilstream.embedded import Stack, Supervisor
from veilstream.errors import TrainingFailed, VeilstreamError
from veilstream.keys import FileKeyProvider
from veilstream.settings import Settings, load_settings
from veilstream.transport import ensure_topics

__all__ = ["show"]

_PACED_SHARE = 0.8  # of the windows' time, over which the producer spreads the records
_SETTLE_SECONDS = 90.0  # how long the last records and alerts may take once training is over
_BATCH = 20
_FIRST_THRESHOLD = 0.5  # of the budget: the first alert, by default


async def show(plan: Plan, *, quiet: bool) -> Result:
    """Run the demo once. Progress goes to standard error.

    Raises:
        TrainingFailed: a role did not finish; its log is named.
    """
    began = time.monotonic()
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    plan = _absolute(plan)
    fresh_folder(plan.data)
    result = Result(data=plan.data)
    console = Console(stderr=True, quiet=quiet and not sys.stderr.isatty())
    with _progress(console) as progress:
        step = progress.add_task("", total=None)
        _say(progress, step, "starting the broker and the store")
        # In this thread, though it blocks: a child ends with the thread that started it.
        with Stack(plan.data, plan.broker) as stack:
            result.broker = stack.kind
            current = await _prepare(plan)
            await _run_roles(plan, current, result, progress, step)
            _say(progress, step, "reading every topic back")
            await _look(plan, current, result)
    result.seconds = time.monotonic() - began
    return result


def _absolute(plan: Plan) -> Plan:
    from dataclasses import replace

    return replace(plan, data=plan.data.resolve(), dump=plan.dump.resolve() if plan.dump else None)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip


def _say(progress: Progress, step: TaskID, text: str) -> None:
    """What is going on; where there is no terminal to draw on, a line each time that it changes."""
    task = next(task for task in progress.tasks if task.id == step)
    if task.description != text:
        progress.update(step, description=text)
        if not progress.console.is_terminal:
            progress.console.print(text)


async def _prepare(plan: Plan) -> Settings:
    """Settings, keys, topics and the budget."""
    for name in [name for name in os.environ if name.startswith("VEILSTREAM_")]:
        del os.environ[name]
    os.environ.update(environment(plan))
    noise = plan_noise(
        epsilon=EPSILON,
        delta=DELTA,
        sampling_rate=SAMPLING_RATE,
        steps=STEPS,
        windows=plan.windows + SPARE_WINDOWS,
    )
    write_settings(plan, noise.noise_multiplier)
    current = load_settings()
    FileKeyProvider(current.keys_folder).ensure(TENANT)
    await ensure_topics(current.kafka)
    async with open_ledger(current) as (ledger, relay):
        await ledger.create_budget(
            BUDGET, tenant=TENANT, epsilon=EPSILON, delta=DELTA, orders=noise.orders, mode="odometer"
        )
        await relay.drain()
    return current


async def _run_roles(plan: Plan, current: Settings, result: Result, progress: Progress, step: TaskID) -> None:
    supervisor = Supervisor()
    watch = Watch(current.kafka)
    watching = asyncio.create_task(watch.run())
    logs = plan.data / "logs"
    logs.mkdir(exist_ok=True)
    roles = {f"protect-{n}": ["worker", "protect"] for n in range(1, plan.processors + 1)}
    roles |= {"alerting": ["worker", "alerting"], "train": ["train"]}
    try:
        for role, command in roles.items():
            argv = [sys.executable, "-m", "veilstream.cli", *command]
            # Under a name of its own a processor that is started again takes its partitions back at once.
            env = {**environment(plan), "VEILSTREAM_PROCESSOR__INSTANCE": role}
            await supervisor.start(role, argv, env=env, log_path=logs / f"{role}.log")
        await _follow(plan, current, result, supervisor, watch, progress, step)
        await asyncio.sleep(0.5)  # one more look before the roles go
    finally:
        result.restarts = sum(supervisor.starts(role) - 1 for role in roles)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.shield(supervisor.stop_all())
    result.records_protected = len(watch.protected)
    result.records_quarantined = len(watch.quarantined)
    result.budget_events = [watch.budget_events[key] for key in sorted(watch.budget_events)]
    result.alerts = sorted(watch.alerts.values(), key=lambda alert: alert["seq"])
    result.releases = sorted(watch.releases.values(), key=lambda release: release["card"]["seq"])
    if result.example and watch.example:
        result.example = (result.example[0], watch.example)
    else:
        result.example = None


async def _follow(
    plan: Plan,
    current: Settings,
    result: Result,
    supervisor: Supervisor,
    watch: Watch,
    progress: Progress,
    step: TaskID,
) -> None:
    """Produce, show what comes out, and return when everything has."""
    sent = progress.add_task("sent to interactions.raw", total=plan.limit)
    done = progress.add_task("protected", total=plan.limit)
    trained = progress.add_task("windows trained and released", total=plan.windows)
    spent = progress.add_task(f"privacy budget spent (ε {EPSILON:g}), %", total=100)
    producing = asyncio.create_task(_produce(plan, current, result, watch))
    training = asyncio.create_task(supervisor.wait("train"))
    failing = asyncio.create_task(supervisor.failed())
    deadline: float | None = None
    try:
        while True:
            if producing.done():
                producing.result()
            processed = len(watch.protected) + len(watch.quarantined)
            total = result.records_in if producing.done() else plan.limit
            _say(progress, step, _stage(current, producing.done()))
            progress.update(sent, completed=result.records_in, total=total)
            progress.update(done, completed=processed, total=total)
            progress.update(trained, completed=len(watch.releases))
            fraction = max((event["fraction"] for event in watch.budget_events.values()), default=0.0)
            progress.update(spent, completed=min(100, round(100 * fraction)))
            if failing.done():
                raise TrainingFailed(
                    f"the role {failing.result()} keeps ending", hint=f"its log is in {plan.data / 'logs'}"
                )
            over = producing.done() and training.done()
            if over and processed >= result.records_in and _told(watch):
                return
            if over:
                deadline = deadline or time.monotonic() + _SETTLE_SECONDS
                if time.monotonic() > deadline:
                    raise TrainingFailed(
                        "the roles did not finish in time", hint=f"their logs are in {plan.data / 'logs'}"
                    )
            await asyncio.sleep(0.2)
    finally:
        for task in (producing, training, failing):
            task.cancel()
            with suppress(asyncio.CancelledError, VeilstreamError):
                await task


def _stage(current: Settings, all_sent: bool) -> str:
    """What is going on, in words."""
    if time.time() < current.worker.window_origin_seconds:
        return "the roles are starting"
    return "the last windows close" if all_sent else "records flow; a model is trained as each window closes"


def _told(watch: Watch) -> bool:
    """Whether every release that was paid for and committed is out, and the alert that the budget calls for.

    Fewer windows than planned is no failure: a worker that was killed pays for its window again.
    """
    events = watch.budget_events.values()
    committed = sum(event["event"] == "committed" for event in events)
    half_spent = any(event["fraction"] >= _FIRST_THRESHOLD for event in events)
    return 0 < committed <= len(watch.releases) and (bool(watch.alerts) or not half_spent)


async def _produce(plan: Plan, current: Settings, result: Result, watch: Watch) -> None:
    """Send every record, acknowledged, spread over the windows."""
    start = current.worker.window_origin_seconds
    span = plan.windows * plan.window_seconds * _PACED_SHARE
    await asyncio.sleep(max(0.0, start - time.time()))
    async with LogProducer(tenant=TENANT, settings=current) as logs:
        batch: list[dict[str, Any]] = []

        async def send() -> None:
            receipts = await logs.send_many(batch)
            if watch.example_place is None:
                watch.example_place = (receipts[0].partition, receipts[0].offset)
                result.example = (batch[0], {})
            result.records_in += len(batch)
            batch.clear()
            await asyncio.sleep(max(0.0, start + span * result.records_in / plan.limit - time.time()))

        for value, planted in demo_records(plan.input, plan.limit, seed=plan.seed, tenant=TENANT):
            batch.append(value)
            result.planted += len(planted)
            if len(batch) >= _BATCH:
                await send()
        if batch:
            await send()


async def _look(plan: Plan, current: Settings, result: Result) -> None:
    """Search what left for what was planted, and write the dump."""
    held = await read_topics(current.kafka)
    planted: list[Planted] = []
    if plan.input is None:
        for _, items in demo_records(None, plan.limit, seed=plan.seed, tenant=TENANT):
            planted += items
        logs = [path.read_text(errors="replace") for path in Path(plan.data / "logs").glob("*.log")]
        result.leaked = count_leaked(planted, held, logs)
    if plan.dump is not None:
        write_dump(plan.dump, planted, held)
