"""The worker that is measured: our role `protect`, with the engine of the benchmark, as a child process.

Commands: `sample` starts to look where its CPU time goes, `sampled` writes what was seen; `pause SECONDS`
makes the engine slower by so much a record.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import orjson

from veilstream.bench.pipeline.options import Place
from veilstream.bench.pipeline.sampling import Sampler
from veilstream.bench.pipeline.works import Identity, Slow, make
from veilstream.processors.run import run_protect
from veilstream.processors.work import Work

__all__ = ["main"]


def main() -> None:
    job = orjson.loads(sys.stdin.buffer.readline())
    place = Place(**job["place"])
    settings = place.settings()
    work: Work | None = Identity() if place.engine == "none" else None
    slow = None
    if job.get("can_pause"):
        work = slow = Slow(work or make(place.engine, settings, "0"))
    result = Path(job["result"])
    threading.Thread(target=_listen, args=(Sampler(), slow, result), daemon=True, name="control").start()
    run_protect(settings, work)


def _listen(sampler: Sampler, slow: Slow | None, result: Path) -> None:
    for line in sys.stdin:
        word, _, value = line.strip().partition(" ")
        if word == "sample":
            sampler.start()
        elif word == "sampled":
            draft = result.with_suffix(".new")
            draft.write_bytes(orjson.dumps(sampler.stop()))
            draft.rename(result)
        elif word == "pause" and slow is not None:
            slow.pause_seconds = float(value)


if __name__ == "__main__":
    main()
