"""The order of things: read a sealed window, charge, wait for the journal, start, train, commit, next.

What a crash leaves, and what the next process does:

| it died | the ledger says | then |
|---|---|---|
| before the charge | nothing | the window is read again |
| after the charge, before the commit | an open reservation | abandoned; a new attempt, a new charge |
| after the commit, before the record was published | committed | the draft becomes the record |

The end offsets and source positions that a window is read from stand in the ledger's commit and nowhere else:
offsets in Kafka would be a second truth.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from aiokafka.structs import ConsumerRecord

from veilstream.accounting import window_charges
from veilstream.contracts import KeyProvider
from veilstream.dp.params import StepParams
from veilstream.errors import (
    BrokerUnavailable,
    BudgetExhausted,
    Fenced,
    RecordInvalid,
    StoreUnavailable,
    TrainingFailed,
    VeilstreamError,
)
from veilstream.keys.derive import derive
from veilstream.ledger import Charge, Lease, Ledger, Manifest, Reservation
from veilstream.ledger.budget import decide
from veilstream.settings import Settings
from veilstream.telemetry.logs import emit
from veilstream.telemetry.metrics import counter, gauge
from veilstream.transport import send_signals
from veilstream.worker import release as releases
from veilstream.worker.attempt import Attempt, Context
from veilstream.worker.contributions import Contributions, Positions
from veilstream.worker.encoder import MiniLM
from veilstream.worker.pacing import Timetable, until
from veilstream.worker.patience import Cancelled, patiently
from veilstream.worker.reading import decode_protected, read_window
from veilstream.worker.tasks import LabelSet, examples
from veilstream.worker.windows import Schedule, Window, next_window

__all__ = ["LEASE_SECONDS", "Ended", "Worker"]

T = TypeVar("T")
Ended = Literal["stopped", "windows", "exhausted"]
State = dict[str, Any]

LEASE_SECONDS = 10.0
_ROOM_SECONDS = 1.0
_SOURCE = "veilstream/trainer"


class Worker:
    """The training of one model under one budget, by the holder of its lease.

    Args:
        encoder: awaited before the first charge: what cannot be loaded must not be paid for.
        stop: set from outside; a running attempt finishes within 10 seconds or is abandoned.
        clock: Unix seconds; when a window may be read, and which is the first. Nothing else.
        lease_seconds: how long another process waits after this one has died.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        provider: KeyProvider,
        labels: LabelSet,
        encoder: Awaitable[MiniLM],
        stop: asyncio.Event,
        *,
        clock: Callable[[], float] = time.time,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        worker = settings.worker
        self._settings = settings
        self._worker = worker
        self._ledger = ledger
        self._provider = provider
        self._root = provider.tenant(worker.tenant)
        self._labels = labels
        self._labels_digest = hashlib.sha256("\n".join(labels.names).encode()).hexdigest()
        self._loading = encoder
        self._stop = stop
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._fenced = asyncio.Event()
        self._telling: set[asyncio.Task[None]] = set()  # the loop keeps tasks by weak references only
        self._lease: Lease
        self._retry: Window | None = None
        self._free_at = 0.0
        self.released = 0
        self._params = StepParams(
            sampling_rate=worker.sampling_rate,
            population=worker.population,
            noise_multiplier=worker.noise_multiplier,
            clip_norm=worker.clip_norm,
            steps=worker.steps,
            learning_rate=worker.learning_rate,
        )
        self._context = Context(settings, ledger, provider, labels, self._params, self._stop, self._fenced)
        self._schedule = Schedule.from_seconds(
            origin=worker.window_origin_seconds, length=worker.window_seconds, grace=worker.grace_seconds
        )

    @property
    def _folder(self) -> Path:
        return self._settings.releases_folder

    async def run(self, on_ready: Callable[[], None]) -> Ended:
        """Window after window until told to stop, enough were released, or the budget is exhausted.

        Raises:
            Fenced: another process took the lease; this one changed nothing since.
            TrainingFailed: an attempt failed; its charge stays.
        """
        if not await self._take_lease():
            return "stopped"
        keeping = asyncio.create_task(self._keep_lease())
        try:
            encoder = await self._loading
            await self._recover()
            on_ready()
            self._free_at = self._clock()
            while not (self._worker.max_windows and self.released >= self._worker.max_windows):
                state = await self._patiently(
                    lambda: self._ledger.model_state(self._worker.budget, self._worker.model)
                )
                window = self._window(state)
                if not await self._until_sealed(window):
                    return "stopped"
                try:
                    if not await self._one(encoder, state, window):
                        return "stopped"
                except BudgetExhausted as error:
                    emit("window_refused", budget=self._worker.budget, reason=error.code)
                    if await self._room_again():
                        continue
                    return "stopped" if self._stop.is_set() else "exhausted"
                self._retry = None
                self.released += 1
            return "windows"
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            with suppress(VeilstreamError):
                await self._ledger.release(self._lease)

    async def _room_again(self) -> bool:
        """Wait where room comes by itself: with the next period, or when a budget is no longer frozen.

        False where it never will, or when told to stop.
        """
        worker = self._worker
        window = (worker.sampling_rate, worker.noise_multiplier, worker.steps)
        while not self._stop.is_set():
            path = await self._patiently(lambda: self._ledger.path(worker.budget))
            decision = decide(path, window_charges(path[0].orders, *window))
            full = next((budget for budget in path if budget.name == decision.at), None)
            if full is not None and not full.frozen and full.refresh_seconds is None:
                return False
            if self._fenced.is_set():
                raise self._context.lost()
            # Before either: the store's clock may be behind ours, and would refuse again at once.
            with suppress(TimeoutError):
                async with asyncio.timeout(_ROOM_SECONDS):
                    await self._stop.wait()
                    return False
            if full is None or full.due_period(self._clock()) > full.period:
                return True
        return False

    # The lease

    async def _take_lease(self) -> bool:
        """Take the lease, or stand by until its holder is gone. False when told to stop."""
        while not self._stop.is_set():
            with suppress(Fenced):
                self._lease = await self._patiently(
                    lambda: self._ledger.lease(
                        self._worker.budget, self._worker.model, self._lease_seconds, wait_seconds=1.0
                    )
                )
                return True
        return False

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._ledger.renew(self._lease, self._lease_seconds)
            except Fenced:
                self._fenced.set()
                return
            except StoreUnavailable:
                continue  # fencing is by epoch: a lease that nobody took is still good

    # Windows

    async def _recover(self) -> None:
        """Give up what a process before this one left open, and settle its drafts."""
        budget, model = self._worker.budget, self._worker.model
        for left in await self._ledger.open_reservations(budget, model):
            await self._ledger.abandon(left.id, self._lease, "crashed")
            emit("attempt_abandoned", budget=budget, reservation=left.id)
            self._retry = Window(*(round(seconds * 1000) for seconds in left.window))
        state = await self._ledger.model_state(budget, model)
        committed = [state["release"]] if state else []
        releases.settle(self._folder, self._worker.tenant, model, committed)

    def _window(self, state: State | None) -> Window:
        if state is None and self._retry is not None:
            return self._retry
        last_end_ms = state["window_end_ms"] if state else None
        return next_window(self._schedule, last_end_ms, int(self._clock() * 1000))

    async def _until_sealed(self, window: Window) -> bool:
        """Wait for the schedule; False when told to stop."""
        model, (start, end), told = self._worker.model, window.public().values(), False
        while not self._stop.is_set():
            left = self._schedule.sealed_at_ms(window) / 1000 - self._clock()
            if left <= 0:
                emit("window_sealed", model=model, start=start, end=end)
                return True
            if not told:
                emit("window_waiting", model=model, start=start, end=end, seconds=round(left, 1))
                told = True
            if self._fenced.is_set():
                raise self._context.lost()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, 1.0)):
                    await self._stop.wait()
        return False

    async def _one(self, encoder: MiniLM, state: State | None, window: Window) -> bool:
        """One window, from reading to release; False when told to stop."""

        async def read() -> tuple[Contributions, dict[int, int], Positions]:
            # From the start again at each try: nothing of a reading that broke off may stay.
            people = Contributions(
                self._worker.records_per_person, derive(self._root, "worker/contributions")
            )
            positions = Positions(state["positions"] if state else None)
            starts = {int(number): offset for number, offset in (state["ends"] if state else {}).items()}
            ends = await read_window(
                self._settings.kafka, starts, window, lambda record: self._take(record, people, positions)
            )
            return people, ends, positions

        sealed_at = self._schedule.sealed_at_ms(window) / 1000
        times = Timetable.of(sealed_at, self._free_at, self._worker.publish_seconds)
        people, ends, positions = await self._patiently(read)
        gauge("window_people", model=self._worker.model).set(len(people.people()))
        manifest = await self._manifest(state, window, people)  # takes as long as there are people: before
        await until(times.charge_at, self._clock, self._stop, self._fenced)
        if self._stop.is_set():
            return False
        reservation = await self._patiently(lambda: self._ledger.charge(manifest, self._lease))
        emit(
            "window_charged",
            budget=manifest.budget,
            seq=reservation.seq,
            epsilon_spent=reservation.epsilon_spent,
            attempt=reservation.attempt,
        )
        self._tell_operators(manifest, reservation)
        next_state = {
            "window_end_ms": window.end_ms,
            "ends": {str(number): offset for number, offset in sorted(ends.items())},
            "positions": positions.state(),
            "labels_sha256": self._labels_digest,
        }
        reason = "failed"
        try:
            parent = state["artifact"] if state else None
            attempt = Attempt(self._context, encoder, self._lease, manifest, reservation, parent)
            hold = partial(until, times.commit_at, self._clock, self._stop, self._fenced)
            await attempt.run(people, next_state, hold)
        except Fenced:
            raise  # its next holder has abandoned the attempt already, or will
        except BaseException as error:
            if isinstance(error, Cancelled | asyncio.CancelledError) or self._stop.is_set():
                reason = "stopped"
            await self._abandon(reservation, reason)
            if isinstance(error, Cancelled):
                return False
            if isinstance(error, Exception) and not isinstance(error, VeilstreamError):
                raise TrainingFailed(
                    f"an attempt ended by {type(error).__name__}; its charge stays",
                    hint="a restart is a new attempt, and charged again",
                ) from None  # a library's own error may quote what it was given
            raise
        now = self._clock()
        if self._worker.publish_seconds and times.is_late(now):
            emit(
                "window_late", level=logging.WARNING, model=self._worker.model, seconds=now - times.commit_at
            )
        self._free_at = times.free_at(now)
        return True

    def _take(self, record: ConsumerRecord, people: Contributions, positions: Positions) -> None:
        outcome, count = "used", 1
        try:
            attributes, interactions = decode_protected(record)
        except RecordInvalid:
            outcome = "invalid"
        else:
            # One record is one person's; a batch counts as that many of theirs.
            privacy, count = interactions[0][1]["privacy"], len(interactions)
            if privacy["tenant"] != self._worker.tenant:
                outcome = "other_tenant"
            elif not positions.advance(record.partition, attributes.origin):
                outcome = "repeated"
            else:
                for identity, value in interactions:
                    found = examples(value["messages"], self._labels)
                    people.add(privacy["ledger_token"], identity, found)
        counter("window_records", model=self._worker.model, outcome=outcome).inc(count)

    # An attempt

    async def _manifest(self, state: State | None, window: Window, people: Contributions) -> Manifest:
        worker = self._worker
        public = window.public()
        place = (public["start"], public["end"])
        budget = await self._patiently(lambda: self._ledger.budget(worker.budget))
        attempt = await self._patiently(lambda: self._ledger.next_attempt(worker.budget, worker.model, place))
        if attempt > worker.max_attempts:
            raise TrainingFailed(
                f"{attempt - 1} attempts at one window were paid for and none was released",
                hint="find out why in the log, then raise worker.max_attempts: each attempt costs the same",
            )
        charge = Charge.of(
            budget.orders,
            sampling_rate=worker.sampling_rate,
            noise_multiplier=worker.noise_multiplier,
            steps=worker.steps,
            clip_norm=worker.clip_norm,
            records_per_person=worker.records_per_person,
            expected_batch=self._params.expected_batch,
        )
        return Manifest(
            budget=worker.budget,
            tenant=worker.tenant,
            model=worker.model,
            window=place,
            people=tuple(people.people()),
            charge=charge,
            attempt=attempt,
            parent=self._parent(state),
        )

    def _parent(self, state: State | None) -> str | None:
        """The release to go on from; none where the public label set was changed since."""
        if state is None or state["labels_sha256"] != self._labels_digest:
            return None
        return str(state["release"])

    def _tell_operators(self, manifest: Manifest, reservation: Reservation) -> None:
        """Exact counts, on the operators' topic; nobody waits for it, and nothing outside shows it."""
        asked, admitted = len(manifest.people), len(reservation.admitted)
        common = {
            "tenant": manifest.tenant,
            "budget": manifest.budget,
            "model": manifest.model,
            "seq": reservation.seq,
            "limit": asked,
        }
        signals: list[dict[str, Any]] = [{"signal": "window_counts", "value": admitted, **common}]
        if asked > admitted:
            signals.append({"signal": "people_denied", "value": asked - admitted, **common})
        telling = asyncio.create_task(_quietly(send_signals(self._settings.kafka, _SOURCE, *signals)))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _abandon(self, reservation: Reservation, reason: str) -> None:
        """As well as it goes: what stays open is abandoned by the next process."""
        with suppress(VeilstreamError):
            await asyncio.shield(self._ledger.abandon(reservation.id, self._lease, reason))
            emit("attempt_abandoned", budget=self._worker.budget, reservation=reservation.id)

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await patiently(ask, self._stop)


async def _quietly(signals: Awaitable[None]) -> None:
    with suppress(BrokerUnavailable):
        await signals
