"""CPU time is put down to the code that spends it."""

from __future__ import annotations

import threading
import time

import orjson
import pytest

from veilstream.bench.pipeline.sampling import Sampler, class_of, share
from veilstream.events import codec

LOOP = ["/lib/asyncio/events.py:_run", "/lib/asyncio/base_events.py:_run_once", "/x/faust/app.py:main"]


@pytest.mark.parametrize(
    ("frames", "name"),
    [
        (
            ["/r/config/veilstream/events/codec.py:loads", "/r/streams/veilstream/processors/pipeline.py:f"],
            "json",
        ),
        (["/r/config/veilstream/events/walker.py:_walk"], "engine"),
        (["/r/streams/veilstream/detection/engine.py:find"], "engine"),
        (["/lib/re.py:search", "/r/streams/veilstream/detection/engine.py:find"], "engine"),
        (["/p/aiokafka/conn.py:send", "/r/streams/veilstream/processors/lane.py:_flow"], "client"),
        (["/lib/asyncio/selector_events.py:write", "/p/aiokafka/conn.py:send"], "client"),
        (["/p/faust/transport/drivers/aiokafka.py:getmany"], "faust"),
        (["/p/mode/threads.py:run"], "faust"),
        (["/r/streams/veilstream/processors/lane.py:_flow"], "lanes"),
        (["/lib/selectors.py:select"], "loop"),
        (["/lib/asyncio/base_events.py:call_soon", "/p/aiokafka/conn.py:send"], "client"),
        (["/somewhere/else.py:f"], "other"),
        ([], "other"),
    ],
)
def test_the_innermost_known_frame_decides(frames: list[str], name: str) -> None:
    assert class_of(frames + LOOP if name not in ("other",) else frames) == name


def test_the_share_is_what_is_not_engine_json_or_client() -> None:
    assert share({"engine": 4.0, "json": 1.0, "client": 1.0, "faust": 1.0, "loop": 0.5, "other": 0.5}) == 0.25
    assert share({}) == 0.0


def test_a_busy_thread_is_seen() -> None:
    data = orjson.dumps({"list": list(range(200))})
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            codec.dumps(codec.loads(data))

    thread = threading.Thread(target=busy)
    thread.start()
    sampler = Sampler()
    sampler.start()
    time.sleep(0.6)
    found = sampler.stop()
    stop.set()
    thread.join()
    seconds = found["seconds"]
    assert seconds["json"] > 0.7 * sum(seconds.values())
    assert found["process_cpu_s"] == pytest.approx(sum(seconds.values()), rel=0.35, abs=0.05)
