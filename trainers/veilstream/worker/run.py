"""The training worker's process: clients, signals, health, and the relay beside the loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from contextlib import suppress

from redis.asyncio import Redis

from veilstream.errors import BrokerUnavailable, JournalBroken, LedgerDiffers, VeilstreamError
from veilstream.keys import FileKeyProvider
from veilstream.ledger import Ledger, Relay
from veilstream.settings import Settings
from veilstream.telemetry.health import Health
from veilstream.telemetry.logs import emit
from veilstream.transport import KafkaJournal, ensure_topics, send_signals
from veilstream.worker.encoder import MiniLM
from veilstream.worker.loop import LEASE_SECONDS, Worker
from veilstream.worker.tasks import load_labels

__all__ = ["run_worker"]

ROLE = "train"
_BEAT_SECONDS = 1.0
_DRAIN_SECONDS = 8.0


async def run_worker(
    settings: Settings, *, stop: asyncio.Event | None = None, lease_seconds: float = LEASE_SECONDS
) -> int:
    """Train and release until SIGTERM, `max_windows`, or the budget's end. Returns the windows released.

    An exhausted budget is a good end: what is public was published. On SIGTERM a running attempt finishes
    within 10 seconds or is abandoned; either way the journal gets everything before the process ends.

    Raises:
        SettingInvalid: the tool list cannot be used.
        BudgetUnknown: there is no such budget.
        BrokerUnavailable, StoreUnavailable: not there at the start; later they are waited for.
        TrainingFailed: an attempt failed. Fenced: another process took over.
        KeyMissing: no key for the tenant, or for the ledger.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError, ValueError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(number, stop.set)
    health = Health(ROLE)
    port = health.serve(settings.telemetry.host, settings.telemetry.port)
    beating = asyncio.create_task(_beat(health))
    client = Redis.from_url(
        settings.store.url.get_secret_value(), socket_timeout=settings.store.timeout_seconds
    )
    try:
        return await _run(settings, client, stop, health, port, lease_seconds)
    except VeilstreamError as error:
        if isinstance(error, LedgerDiffers | JournalBroken):
            with suppress(BrokerUnavailable):
                signal_ = {"signal": "ledger_differs", "detail": error.message[:500]}
                await send_signals(settings.kafka, f"veilstream/{ROLE}", signal_)
        emit(
            "role_failed",
            level=logging.ERROR,
            role=ROLE,
            code=error.code,
            error_type=type(error).__name__,
            message=error.message,
        )
        raise
    finally:
        health.not_ready("stopped")
        beating.cancel()
        await client.aclose()
        health.close()


async def _run(
    settings: Settings, client: Redis, stop: asyncio.Event, health: Health, port: int, lease_seconds: float
) -> int:
    provider = FileKeyProvider(settings.keys_folder)
    ledger = Ledger(
        client,
        provider.ledger(),
        provider=provider,
        max_entry_bytes=settings.kafka.max_record_bytes,
        replicas=settings.store.replicas,
    )
    labels = load_labels(settings.worker.tools)
    await ledger.budget(settings.worker.budget)
    await ensure_topics(settings.kafka)
    async with KafkaJournal(settings.kafka) as journal:
        root = settings.worker.budget.partition("/")[0]
        relay = Relay(ledger, journal, owner=f"{ROLE}@{socket.gethostname()}/{os.getpid()}", own=root)
        enough = asyncio.Event()
        relaying = asyncio.create_task(relay.run(enough))
        loading = asyncio.create_task(asyncio.to_thread(MiniLM))
        worker = Worker(settings, ledger, provider, labels, loading, stop, lease_seconds=lease_seconds)

        def ready() -> None:
            health.ready()
            emit("role_started", role=ROLE, port=port)

        training = asyncio.create_task(worker.run(ready))
        try:
            await asyncio.wait({training, relaying}, return_when=asyncio.FIRST_COMPLETED)
            if not training.done():
                training.cancel()  # without a relay nothing may start; its error is raised below
        finally:
            if not training.done():
                training.cancel()
            await asyncio.wait({training})
            loading.cancel()
            enough.set()
            await asyncio.wait({relaying})
            relaying.result()
            with suppress(VeilstreamError):
                await relay.drain(timeout=_DRAIN_SECONDS)
        reason = training.result()
    emit("role_stopped", role=ROLE, reason=reason)
    return worker.released


async def _beat(health: Health) -> None:
    while True:
        health.beat()
        await asyncio.sleep(_BEAT_SECONDS)
