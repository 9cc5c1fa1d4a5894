"""A process that produces at a rate, and remembers when it called `send` for each record.

Commands: `rate RECORDS_PER_SECOND`, `hot 0|1` (all to one key), `stop`. Its result:
`sent`, a list of `[partition, offset, Unix time of the call]` where it was asked to remember; `late_p99_ms`,
how far behind its own schedule it was.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from veilstream.bench.pipeline.figures import quantile
from veilstream.bench.pipeline.options import Place
from veilstream.bench.pipeline.workload import Made, records, utterances
from veilstream.events.topics import topic_name
from veilstream.transport import producer

__all__ = ["main"]

_TICK_SECONDS = 0.001
_MOST_AT_ONCE = 2000
_REMEMBERED_LATENESS = 100_000


class _Pace:
    """What the commands change."""

    def __init__(self, rate: float) -> None:
        self.rate, self.hot, self.stopped = rate, False, False

    def listen(self) -> None:
        for line in sys.stdin:
            word, _, value = line.strip().partition(" ")
            if word == "rate":
                self.rate = float(value)
            elif word == "hot":
                self.hot = value == "1"
            elif word == "stop":
                break
        self.stopped = True


async def _run(job: dict[str, Any]) -> None:
    place = Place(**job["place"])
    made = records(
        utterances(Path(job["data"])),
        job["workload"],
        job["seed"],
        record_kb=job["record_kb"],
        batch_size=job["batch"],
    )
    pool = list(islice(made, job["pool"]))  # made before the clock runs; sent again when it is used up
    pace = _Pace(job["rate"])
    threading.Thread(target=pace.listen, daemon=True, name="control").start()
    kafka = place.settings().kafka
    topic = topic_name(kafka, "interactions.raw")
    sent: list[tuple[float, Any]] = []
    late: list[float] = []
    # Patience for a broker that is paused: what it does not take waits, bounded by aiokafka's own buffer.
    patient = kafka.model_copy(update={"request_timeout_seconds": 120.0})
    count = 0
    async with producer(patient) as out:
        due, before = 0.0, time.monotonic()
        while not pace.stopped:
            now = time.monotonic()
            due, before = min(due + (now - before) * pace.rate, _MOST_AT_ONCE), now
            while due >= 1 and not pace.stopped:
                one = _pick(pool, count, pace.hot)
                if len(late) < _REMEMBERED_LATENESS:
                    late.append(max(0.0, (due - 1) / pace.rate) if pace.rate else 0.0)
                called = time.time()
                delivery = await out.send(
                    topic, key=one.record.key, value=one.record.value, headers=one.record.headers
                )
                if job["remember"]:
                    sent.append((called, delivery))
                else:
                    delivery.add_done_callback(_look_at)
                due, count = due - 1, count + 1
            await asyncio.sleep(_TICK_SECONDS)
    answers = [(called, await delivery) for called, delivery in sent]
    result = {
        "count": count,
        "sent": [[answer.partition, answer.offset, called] for called, answer in answers],
        "late_p99_ms": quantile(late, 0.99) * 1000 if late else 0.0,
    }
    Path(job["result"]).write_bytes(orjson.dumps(result))


def _pick(pool: list[Made], count: int, hot: bool) -> Made:
    one = pool[count % len(pool)]
    return one._replace(record=_with_key(one, pool[0].record.key)) if hot else one


def _with_key(one: Made, key: bytes) -> Any:
    from dataclasses import replace

    return replace(one.record, key=key)


def _look_at(delivery: asyncio.Future[Any]) -> None:
    _ = delivery.cancelled() or delivery.exception()


def main() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(_run(orjson.loads(sys.stdin.buffer.readline())))


if __name__ == "__main__":
    main()
