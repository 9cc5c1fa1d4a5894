"""A producer that waits for every in-sync replica, and not for ever.

aiokafka's idempotent producer sends a batch again until it is acknowledged, however long the broker is dead:
a caller would wait without end. Ours gives up a batch that is older than `kafka.request_timeout_seconds`. The
producer is then finished (the batch's sequence number is spent and its fate unknown): every further call
fails, and the caller makes another and sends again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer import sender as aiokafka_sender

from veilstream.settings import KafkaSettings, kafka_options
from veilstream.transport.connecting import finish
from veilstream.transport.errors import broker_errors, kafka_errors_only

__all__ = ["RECORD_OVERHEAD_BYTES", "options", "producer", "start", "stop"]

RECORD_OVERHEAD_BYTES = 1024
"""Room beside key, value and headers: the batch's header and the records' framing."""

_LOOK_SECONDS = 0.25
_CLOSING: set[asyncio.Future[None]] = set()  # the loop itself keeps tasks by weak references only

# A fixed wait of 20 ms after "the last transaction is still being completed": markers take 1 to 5.
aiokafka_sender.BACKOFF_OVERRIDE = 0.002


class _Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka's types are not seen by mypy
    """aiokafka's, with an end to its patience."""

    _watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await super().start()
        self._watcher = asyncio.create_task(self._give_up_what_is_old())

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            if self._watcher is not None:
                self._watcher.cancel()

    async def _give_up_what_is_old(self) -> None:
        waiting = self._message_accumulator
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            queued = [batch for batches in waiting._batches.values() for batch in batches]
            if any(batch.expired() for batch in (*queued, *waiting._pending_batches)):
                # A batch that waits to be sent again is not among the pending ones, where its end removes it.
                waiting._pending_batches.update(batch for batch in queued if batch.retry_count)
                waiting.fail_all(KafkaTimeoutError())  # also what is sent later
                waiting._batches.clear()
                return


def options(kafka: KafkaSettings, **overrides: Any) -> dict[str, Any]:
    """Keyword arguments of our producers: `acks=all`, idempotent where the broker can."""
    limit = 2 * kafka.max_record_bytes + RECORD_OVERHEAD_BYTES  # a quarantined record: encrypted, in base64
    return {
        **kafka_options(kafka),
        "acks": "all",
        "enable_idempotence": kafka.idempotence,
        "max_request_size": limit,
        **overrides,
    }


async def start(kafka: KafkaSettings, **overrides: Any) -> AIOKafkaProducer:
    """A started producer; the caller stops it with `stop`.

    Raises:
        BrokerUnavailable: no broker within `kafka.request_timeout_seconds`.
    """
    made = _Producer(**options(kafka, **overrides))
    try:
        with broker_errors():
            # A broker that answers but never gives a producer id would keep aiokafka waiting for ever.
            await asyncio.wait_for(made.start(), kafka.request_timeout_seconds)
    except BaseException:
        await stop(made, kafka)
        raise
    return made


async def stop(made: AIOKafkaProducer, kafka: KafkaSettings) -> None:
    """Flush and stop; what cannot be delivered is given up after `kafka.request_timeout_seconds`.

    A caller that is cancelled leaves; the closing goes on to its end. Broken off, aiokafka would leave its
    sender running: connections that nobody closes, and records that go out behind a later holder's.
    """
    closing = asyncio.ensure_future(_close(made, kafka))
    _CLOSING.add(closing)
    closing.add_done_callback(_CLOSING.discard)
    await asyncio.shield(closing)


async def _close(made: AIOKafkaProducer, kafka: KafkaSettings) -> None:
    await finish(made.stop(), kafka.request_timeout_seconds + 1.0)
    # Where the flush did not end, sender and connections are still there.
    if made._sender is not None:
        await finish(made._sender.close(), 1.0)
    await finish(made.client.close(), 1.0)


@asynccontextmanager
async def producer(kafka: KafkaSettings, **overrides: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A producer with `acks=all`, idempotent if `kafka.idempotence`; flushed and stopped at the end.

    `overrides` are keyword arguments of `AIOKafkaProducer` (`transactional_id=…`). Errors of aiokafka that
    the body lets out become errors of `broker_errors`; the body's own stay as they are. The flush at the end
    tells nothing of a delivery that failed: await what `send` returned.

    Not bounded in time are the calls that begin and end a transaction: put them in `asyncio.timeout`.

    Raises:
        BrokerUnavailable: no broker within `kafka.request_timeout_seconds`, or none at a delivery.
    """
    made = await start(kafka, **overrides)
    try:
        with kafka_errors_only():
            yield made
    finally:
        await stop(made, kafka)
