"""The real processor, as a process, on a real Kafka and a real Valkey: everything is accounted for.

Each raw record has a place (partition, offset). The test's oracle is that place: it must come back in the
headers of a protected or a quarantined record, and after dropping what is not above the last applied offset
of its source partition (what every reader with effects does) exactly once.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter, defaultdict
from pathlib import Path

import orjson
import pytest

from stream_world import (
    MARK,
    PEOPLE,
    Bench,
    Processor,
    bad,
    good,
    metrics,
)
from veilstream.errors import SettingInvalid
from veilstream.events.cloudevents import Attributes, Origin
from veilstream.processors.quarantine import list_quarantine, replay_quarantined, show_quarantined
from veilstream.transport import end_offsets


async def test_two_thousand_mixed_records_are_all_accounted_for(bench: Bench) -> None:
    kinds: Counter[str] = Counter()
    records = []
    for number in range(2000):
        if number % 9:
            records.append(good(number, "globex" if number % 2 else "acme"))
        else:
            kind, record = bad(number // 9)
            kinds[kind] += 1
            records.append(record)
    await bench.send(records)
    processor = await bench.start().started()
    outputs = await bench.all_places(2000)
    assert len(outputs) == 2000  # nothing was killed, so nothing is twice
    assert {(origin.partition, origin.offset) for _, _, origin in outputs} == await bench.sources()

    rows = await list_quarantine(bench.settings)
    assert Counter(row["kind"] for row in rows) == kinds
    assert MARK not in orjson.dumps(rows).decode()

    by_person: dict[bytes, list[Origin]] = defaultdict(list)
    for topic, record, origin in outputs:
        if topic == "protected":
            by_person[record.key].append(origin)
            everything = record.value + b"".join(name.encode() + data for name, data in record.headers)
            assert b"lindqvist" not in everything
    assert len(by_person) == PEOPLE  # person n is of one tenant, by its parity
    for origins in by_person.values():
        assert len({origin.partition for origin in origins}) == 1
        offsets = [origin.offset for origin in origins]
        assert offsets == sorted(offsets)

    shown = metrics(processor)
    assert f'records_processed_total{{outcome="protected"}} {2000 - sum(kinds.values())}.0' in shown
    assert f'record_errors_total{{kind="schema"}} {kinds["schema"]}.0' in shown
    assert "lindqvist" not in shown
    await processor.ends(signal.SIGTERM, code=0)
    ends = await end_offsets(bench.kafka, bench.topic("interactions.raw"))
    assert await bench.committed() == ends
    for line in processor.lines:  # nothing but our JSON lines, and no content in them
        assert "event" in json.loads(line)
        assert "lindqvist" not in line
    assert processor.process.stdout is not None
    assert processor.process.stdout.read() == b""


async def test_a_quarantined_record_can_be_seen_and_sent_again(bench: Bench) -> None:
    await bench.send([good(number, "late") for number in range(3)] + [good(3)])
    await bench.start().started()
    await bench.all_places(4)
    rows = await list_quarantine(bench.settings)
    assert [(row["kind"], row["tenant"]) for row in rows] == [("unknown_tenant", None)] * 3
    shown = await show_quarantined(bench.settings, bench.provider, rows[0]["place"])
    assert MARK in shown["record"]["value"]
    assert dict(shown["record"]["headers"])["ce_id"].endswith(MARK)
    with pytest.raises(SettingInvalid):
        await show_quarantined(bench.settings, bench.provider, "0:999")
    with pytest.raises(SettingInvalid):
        await replay_quarantined(bench.settings, bench.provider, kind="odd")

    bench.provider.create("late")
    assert await replay_quarantined(bench.settings, bench.provider, kind="schema") == 0
    assert await replay_quarantined(bench.settings, bench.provider, place=rows[0]["place"]) == 1
    assert await replay_quarantined(bench.settings, bench.provider, kind="unknown_tenant") == 3
    outputs = await bench.all_places(8)
    protected = [record for topic, record, _ in outputs if topic == "protected"]
    assert len(protected) == 5
    # The replayed record is the same event: the one that was sent twice has one id.
    assert len({Attributes.from_headers(record.headers).id for record in protected}) == 4


async def test_what_is_missing_at_the_start_ends_the_process_at_once(bench: Bench, tmp_path: Path) -> None:
    dead = bench.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    no_broker = Processor(tmp_path, dead, bench.store_url)
    no_store = Processor(tmp_path, bench.kafka, "redis://127.0.0.1:1/0")
    no_keys = Processor(tmp_path / "empty", bench.kafka, bench.store_url)
    for processor, error in (
        (no_broker, "BrokerUnavailable"),
        (no_store, "StoreUnavailable"),
        (no_keys, "KeyMissing"),
    ):
        assert await asyncio.to_thread(processor.process.wait, 20) == 1
        processor._reader.join(5)
        assert error in processor.lines[-1]
