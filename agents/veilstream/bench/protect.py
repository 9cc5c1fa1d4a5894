"""How fast is a record protected on one core?

Peers, interleaved in the same run: Presidio's own AnalyzerEngine with its default pattern recognisers over
every leaf (no language model), and decoding and encoding alone, which is the floor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import orjson

from veilstream.contracts import RootKey
from veilstream.detection import PatternEngine, stock_presidio
from veilstream.events.walker import Leaf, rewrite
from veilstream.protection import Protector, Tokens, load_policy

__all__ = ["measure"]


def measure(records: Sequence[dict[str, Any]], repeat: int) -> dict[str, Any]:
    """Protect `records` `repeat` times; medians, and the spread of the ratios.

    Returns:
        mb_per_s and records_per_s of the protector; mb_per_s of each peer; ratios to the peers with their
        least and greatest value over the repetitions. MB are 10⁶ bytes of JSON.
    """
    encoded = [orjson.dumps(record) for record in records]
    megabytes = sum(map(len, encoded)) / 1e6
    root = RootKey(id="tenant/bench", version=1, material=os.urandom(32))
    protector, tokens = Protector(PatternEngine(), load_policy("strict")), Tokens(root)
    find = stock_presidio()
    token = "a" * 24

    def ours() -> None:
        for data in encoded:
            value = protector.interaction(
                orjson.loads(data), tokens=tokens, subject_token=token, ledger_token=token
            )
            orjson.dumps(value)

    def presidio() -> None:
        def visit(leaf: Leaf) -> Any:
            if isinstance(leaf.value, str):
                find(leaf.value)
            return leaf.value

        for data in encoded:
            orjson.dumps(rewrite(orjson.loads(data), visit))

    def decode_alone() -> None:
        for data in encoded:
            orjson.dumps(orjson.loads(data))

    times: dict[str, list[float]] = {"ours": [], "presidio": [], "decode": []}
    for _ in range(repeat):
        for name, work in (("ours", ours), ("presidio", presidio), ("decode", decode_alone)):
            times[name].append(_timed(work))
    ratios = [p / o for o, p in zip(times["ours"], times["presidio"], strict=True)]
    return {
        "records": len(records),
        "megabytes": round(megabytes, 3),
        "repeat": repeat,
        "mb_per_s": round(megabytes / median(times["ours"]), 3),
        "records_per_s": round(len(records) / median(times["ours"]), 1),
        "presidio_mb_per_s": round(megabytes / median(times["presidio"]), 3),
        "decode_mb_per_s": round(megabytes / median(times["decode"]), 1),
        "ratio_to_presidio": round(median(ratios), 2),
        "ratio_to_presidio_least": round(min(ratios), 2),
        "ratio_to_presidio_greatest": round(max(ratios), 2),
    }


def _timed(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
