"""Where a process's CPU time goes, by looking at its threads every few milliseconds.

At each look every thread's CPU clock is read, and what it spent since the last look is put down to the code
that it is in now. A frame decides, the innermost one that belongs to a class:

* `json`: `events.codec` (orjson, the schema check).
* `engine`: detection, protection, keys, the walker, attributes, decoding, sealing, the pipeline, and the
  engines of this benchmark.
* `client`: aiokafka, the store's client.
* `faust`: Faust and mode. `lanes`: the rest of `veilstream.processors` and `transport`. `loop`: asyncio and
  its helpers. `other`: everything else.

**`faust_share`** is all that is not engine, JSON or client. It leans towards the caller's side: time inside C
code is put down to the Python frame that called it, and a look happens only where the interpreter lets one
happen. Beside it stand the process's whole CPU time, what was not seen (threads without a Python frame; the
sampler itself is left out of both), and the standard error of the share, √(p(1−p)/n) of n looks that saw time
spent.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from types import FrameType
from typing import Any

__all__ = ["Sampler", "class_of", "share"]

_EVERY_SECONDS = 0.005

_CLASSES = (
    ("json", ("veilstream/events/codec", "/orjson/", "/jsonschema_rs/")),
    (
        "engine",
        (
            "veilstream/detection/",
            "veilstream/protection/",
            "veilstream/keys/",
            "veilstream/events/",
            "veilstream/processors/decoding",
            "veilstream/processors/sealing",
            "veilstream/processors/pipeline",
            "veilstream/bench/pipeline/works",
            "/presidio_analyzer/",
        ),
    ),
    ("client", ("/aiokafka/", "/redis/")),
    ("faust", ("/faust/", "/mode/")),
    ("lanes", ("veilstream/processors/", "veilstream/transport/", "veilstream/telemetry/")),
)
_LOOP = ("/asyncio/", "/concurrent/futures/", "/threading.py", "/selectors.py", "/queue.py")
_REST = ("faust", "lanes", "loop", "other")


def class_of(stack: list[str]) -> str:
    """The class of a stack: `file:function` of each frame, innermost first.

    What is around an event loop's step says nothing of the step: a loop's own time is `loop`.
    """
    loop = False
    for file in stack:
        if file.endswith("/asyncio/base_events.py:_run_once"):
            return "loop"
        if "/faust/transport/drivers/aiokafka" in file:
            return "faust"  # Faust's own use of the client
        for name, parts in _CLASSES:
            if any(part in file for part in parts):
                return name
        loop = loop or any(part in file for part in _LOOP)
    return "loop" if loop else "other"


def share(seconds: dict[str, float]) -> float:
    """The part of what was seen that is not engine, JSON or client; 0 where nothing was seen."""
    whole = sum(seconds.values())
    return sum(seconds.get(name, 0.0) for name in _REST) / whole if whole > 0 else 0.0


class Sampler:
    """Looks from a thread of its own, between `start` and `stop`."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._places: Counter[str] = Counter()
        self._looks = 0
        self._running = threading.Event()
        self._thread: threading.Thread | None = None
        self._process_s = self._own_s = self._began = 0.0
        self._known: dict[str, str] = {}  # class by stack, so that a look is short

    def start(self) -> None:
        self._running.set()
        self._process_s, self._began = time.process_time(), time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True, name="sampler")
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Seconds by class, the share and its error, and the process's time beside what was seen."""
        self._running.clear()
        if self._thread is not None:
            self._thread.join()
        whole = time.process_time() - self._process_s - self._own_s
        seen, part = sum(self._seconds.values()), share(self._seconds)
        return {
            "faust_share": part,
            "faust_share_error": math.sqrt(part * (1 - part) / max(self._looks, 1)),
            "seconds": dict(self._seconds),
            "process_cpu_s": whole,
            "unseen_share": max(0.0, 1 - seen / whole) if whole > 0 else 0.0,
            "looks": self._looks,
            "wall_s": time.monotonic() - self._began,
            "places": dict(self._places.most_common(25)),
        }

    def _look(self) -> None:
        own = threading.get_ident()
        before = self._clocks(own)
        while self._running.is_set():
            time.sleep(_EVERY_SECONDS)
            now = self._clocks(own)
            frames = sys._current_frames()
            for ident, spent in now.items():
                frame, delta = frames.get(ident), spent - before.get(ident, spent)
                if frame is None or delta <= 0:
                    continue
                name, place = self._classify(frame)
                self._seconds[name] = self._seconds.get(name, 0.0) + delta
                self._places[place] += 1
                self._looks += 1
            del frames
            before = now
        self._own_s += time.thread_time()

    @staticmethod
    def _clocks(own: int) -> dict[int, float]:
        """CPU seconds of each other thread, by its identity."""
        found = {}
        for thread in threading.enumerate():
            if thread.ident is None or thread.native_id is None or thread.ident == own:
                continue
            # Linux: the clock of a thread id (clock_getcpuclockid's encoding). A thread that has ended is an
            # error here; pthread_getcpuclockid would be undefined.
            try:
                found[thread.ident] = time.clock_gettime((~thread.native_id << 3) | 6)
            except OSError:
                continue
        return found

    def _classify(self, frame: FrameType) -> tuple[str, str]:
        stack: list[str] = []
        here: FrameType | None = frame
        place = f"{frame.f_code.co_filename.rpartition('site-packages/')[2][-60:]}:{frame.f_code.co_name}"
        while here is not None:
            stack.append(f"{here.f_code.co_filename}:{here.f_code.co_name}")
            here = here.f_back
        key = "\n".join(stack)
        name = self._known.get(key)
        if name is None:
            name = self._known[key] = class_of(stack)
        return name, f"{name} {place}"
