"""One paid attempt at one window: wait for the journal, start, train, write the artifact, commit."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from veilstream.contracts import KeyProvider
from veilstream.dp.params import StepParams
from veilstream.errors import BrokerUnavailable, Fenced, StoreUnavailable
from veilstream.events.cloudevents import now
from veilstream.ledger import Lease, Ledger, Manifest, Reservation
from veilstream.settings import Settings
from veilstream.telemetry.logs import emit
from veilstream.telemetry.metrics import counter, gauge, histogram
from veilstream.worker import release as releases
from veilstream.worker.contributions import Contributions
from veilstream.worker.encoder import MiniLM
from veilstream.worker.fit import Fitted, fit
from veilstream.worker.patience import Cancelled, patiently
from veilstream.worker.tasks import LabelSet

__all__ = ["Attempt", "Context"]

State = dict[str, Any]

_ACKNOWLEDGE_SECONDS = 60.0
_POLL_SECONDS = 0.2
_FINISH_SECONDS = 10.0  # told to stop, an attempt has so long to finish; then it is abandoned
_PROGRESS_LINES = 4  # log lines of a window


@dataclass(frozen=True, slots=True)
class Context:
    """What every attempt of a worker has in common."""

    settings: Settings
    ledger: Ledger
    provider: KeyProvider
    labels: LabelSet
    params: StepParams
    stop: asyncio.Event
    fenced: asyncio.Event

    def lost(self) -> Fenced:
        return Fenced("another process took over this model's training", hint="one worker a model is enough")


class Attempt:
    """From the charge to the commit.

    Args:
        parent: digest of the artifact that `manifest.parent` names; None where there is none to go on from.
    """

    def __init__(
        self,
        context: Context,
        encoder: MiniLM,
        lease: Lease,
        manifest: Manifest,
        reservation: Reservation,
        parent: str | None,
    ) -> None:
        self._context = context
        self._worker = context.settings.worker
        self._encoder = encoder
        self._lease = lease
        self._manifest = manifest
        self._reservation = reservation
        self._parent = parent

    async def run(
        self, people: Contributions, next_state: State, hold: Callable[[], Awaitable[None]]
    ) -> None:
        """Train on who was admitted, and commit with the state that the next window goes on from.

        `hold` returns when the release may be seen: the end of training must not show.

        Raises:
            Cancelled: told to stop, and it did not finish in time.
            Fenced: another process took over; nothing was changed since.
            ReleaseInvalid: the release to go on from is gone or changed.
        """
        context, ledger, reservation = self._context, self._context.ledger, self._reservation
        parent = await asyncio.to_thread(self._read_parent)
        await self._acknowledged()
        await ledger.start(reservation.id, self._lease)
        rows = [row for person in reservation.admitted if (row := people.of(person))]
        began = time.monotonic()
        fitted = await self._train(
            lambda check: fit(
                rows,
                k=self._worker.records_per_person,
                encoder=self._encoder,
                labels=len(context.labels),
                parent=parent,
                params=context.params,
                check=check,
                progress=self._progress,
            )
        )
        histogram("training_seconds", model=self._worker.model).observe(time.monotonic() - began)
        if math.isfinite(fitted.private_loss):
            gauge("training_loss", model=self._worker.model).set(fitted.private_loss)
        await hold()
        if context.fenced.is_set():
            raise context.lost()
        await self._release(fitted.state, next_state)

    async def _release(self, tensors: dict[str, torch.Tensor], next_state: State) -> None:
        context, worker = self._context, self._worker
        folder = context.settings.releases_folder
        identity = releases.new_id()
        root = context.provider.tenant(worker.tenant)
        artifact = await asyncio.to_thread(releases.write, folder, root, worker.tenant, identity, tensors)
        window = self._manifest.public()["window"]
        record = releases.build_record(
            release=identity,
            tenant=worker.tenant,
            model=worker.model,
            created=now(),
            parent=self._manifest.parent,
            artifact=artifact,
            budget=await patiently(lambda: context.ledger.show(worker.budget), context.stop),
            epsilon_spent=self._reservation.epsilon_spent,
            seq=self._reservation.seq,
            window=window,
            public_parameters=self._public_parameters(),
            encoder=self._encoder.card,
            labels=context.labels.names,
        )
        releases.draft(folder, record)
        state = {**next_state, "release": identity, "artifact": artifact.sha256}
        seq = await patiently(
            lambda: context.ledger.commit(self._reservation.id, self._lease, state=state, release=record),
            context.stop,
        )
        releases.publish(folder, identity)
        counter("releases", model=worker.model).inc()
        emit(
            "model_released",
            model=worker.model,
            release=identity,
            epsilon_spent=self._reservation.epsilon_spent,
        )
        # The commit stands; a journal that is late only delays the next window.
        with suppress(BrokerUnavailable, StoreUnavailable):
            await context.ledger.wait_acknowledged(worker.budget, seq, _ACKNOWLEDGE_SECONDS)

    def _read_parent(self) -> dict[str, torch.Tensor] | None:
        context = self._context
        if self._manifest.parent is None or self._parent is None:
            return None
        return releases.read_tensors(
            context.settings.releases_folder,
            context.provider,
            self._worker.tenant,
            self._manifest.parent,
            self._parent,
        )

    async def _acknowledged(self) -> None:
        """Wait for the journal as long as it takes: the charge is made, and leaving would waste it."""
        context = self._context
        while not context.fenced.is_set():
            with suppress(BrokerUnavailable, StoreUnavailable):
                return await context.ledger.wait_acknowledged(self._worker.budget, self._reservation.seq, 1.0)
            await asyncio.sleep(_POLL_SECONDS)
            if context.stop.is_set():
                raise Cancelled
        raise context.lost()

    async def _train(self, work: Callable[[Callable[[], None]], Fitted]) -> Fitted:
        """Run in a thread, so that the lease is kept; end it when fenced, or some time after the stop."""
        context = self._context
        cancel = threading.Event()

        def check() -> None:
            if cancel.is_set():
                raise Cancelled

        training = asyncio.create_task(asyncio.to_thread(work, check))
        stop = asyncio.create_task(context.stop.wait())
        fenced = asyncio.create_task(context.fenced.wait())
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait({training, stop, fenced}, return_when=first)
            if not training.done() and not fenced.done():
                await asyncio.wait({training, fenced}, timeout=_FINISH_SECONDS, return_when=first)
        finally:
            cancel.set()
            stop.cancel()
            fenced.cancel()
            await asyncio.wait({training})
        if context.fenced.is_set():
            raise context.lost()
        return training.result()

    def _progress(self, step: int) -> None:
        steps = self._context.params.steps
        if step % max(1, steps // _PROGRESS_LINES) == 0 or step == steps:
            emit("training_progress", model=self._worker.model, step=step, steps=steps)

    def _public_parameters(self) -> dict[str, Any]:
        worker = self._worker
        charge = self._manifest.charge.public()
        return {
            **{name: value for name, value in charge.items() if name != "mechanism"},
            "attempt": self._manifest.attempt,
            "population": worker.population,
            "learning_rate": worker.learning_rate,
            "head": worker.head,
            "window_seconds": worker.window_seconds,
            "grace_seconds": worker.grace_seconds,
        }
