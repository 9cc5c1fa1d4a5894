"""A power cut: the store comes back with its append-only file cut off at any byte.

SIGKILL cannot take what a process has written from the operating system; a power cut can take all that was
not synced. With `appendfsync everysec` that is a second's writes, with `no` some half a minute's; a disk that
lies does it with `always`. The file is cut at random bytes, and each time: the store is as it was at one
moment, no charge is there in part; `verify` and the relay see exactly when it is behind the journal; what it
forgot, and the journal did not have, had not been started, and a rebuild from the journal goes on from there.

And a kill between two runs of a charge that is too large for one script.
"""

import asyncio
import contextlib
import shutil
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

import veilstream.ledger.ledger as charging
from ledger_kills import BUDGET, ORDERS, ROOT, opened
from ledger_world import DELTA, card, manifest, people, price
from veilstream.embedded.valkey import LocalValkey
from veilstream.errors import BrokerUnavailable, LedgerDiffers, StoreUnavailable
from veilstream.ledger import Ledger, Manifest, MemoryJournal, Relay, Reservation, dump, rebuild, verify
from veilstream.ledger.store import Keys

CUTS = 10
PER_SCRIPT = 16
WINDOWS: list[Manifest] = [
    manifest(number, people(*range(size)), budget=BUDGET) for number, size in enumerate((3, 40, 9, 100, 25))
]


@pytest.fixture(autouse=True)
def _short_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charging, "people_per_script", lambda orders, levels: PER_SCRIPT)


async def create(ledger: Ledger) -> None:
    await ledger.create_budget(ROOT, "acme", 1e6, DELTA, ORDERS, buckets=4)
    await ledger.create_budget(BUDGET, "acme", 1e6, DELTA, ORDERS, buckets=4)


async def live(ledger: Ledger, journal: MemoryJournal) -> list[Reservation]:
    """Five charges, the first three journalled, started and committed."""
    relay = Relay(ledger, journal, "test")
    lease = await ledger.lease(BUDGET, "m", 0.1)
    found = []
    for number, window in enumerate(WINDOWS):
        reservation = await ledger.charge(window, lease)
        found.append(reservation)
        if number < 3:
            await relay.drain()
            await ledger.start(reservation.id, lease)
            await ledger.commit(reservation.id, lease, {}, card(reservation, f"r{number}", budget=BUDGET))
    return found


def appended(store: LocalValkey) -> Path:
    """The file that grows."""
    (file,) = (store.data_dir / "appendonlydir").glob("*.incr.aof")
    return file


def known_to(journal: MemoryJournal, seqs: dict[str, int]) -> MemoryJournal:
    """The journal as it would be if it had nothing that the store does not know."""
    shorter = MemoryJournal()
    for line in journal.lines:
        public = orjson.loads(line)["public"]
        if public["seq"] <= seqs[public["budget"]]:
            shorter.lines.append(line)
    return shorter


async def sums_agree(ledger: Ledger) -> None:
    """Everybody has paid for what they were admitted to, at both budgets, and once."""
    (units,) = price(ORDERS).charges
    held = orjson.loads(await dump(ledger.client, BUDGET))
    sizes = {window.window: window.people for window in WINDOWS}
    paid: dict[str, int] = defaultdict(int)
    for attempt in held["reservations"].values():
        for token in sizes[tuple(attempt["window"])]:
            paid[token] += units
    for budget in (BUDGET, ROOT):
        both = orjson.loads(await dump(ledger.client, budget))
        assert {token: spent for token, (spent,) in both["people"].items()} == paid
        assert both["budget"]["spent"] == [units * len(held["reservations"])]


async def test_a_file_cut_at_any_byte_is_one_earlier_moment(own_store: LocalValkey, tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with opened(own_store.url, tmp_path) as ledger:
        await create(ledger)
        first = appended(own_store).stat().st_size
        made = await live(ledger, journal)
    own_store.kill()
    whole = appended(own_store).read_bytes()
    behind = 0
    dice = Random(9)
    for number in range(CUTS):
        cut = len(whole) if number == 0 else dice.randrange(first, len(whole))
        copy = LocalValkey(tmp_path / f"cut{number}")
        shutil.copytree(own_store.data_dir, copy.data_dir)
        appended(copy).write_bytes(whole[:cut])
        with copy:
            async with opened(copy.url, tmp_path) as ledger:
                behind += await looked_at(ledger, journal, made)
    assert 0 < behind < CUTS


async def looked_at(ledger: Ledger, journal: MemoryJournal, made: list[Reservation]) -> bool:
    """Check a store that came back; whether it was behind the journal."""
    mine = MemoryJournal()
    mine.lines = list(journal.lines)
    under_way = bool(await ledger.client.exists(Keys(ROOT).pending))
    if not under_way:
        await sums_agree(ledger)
    seqs = {name: (await ledger.budget(name)).seq for name in (ROOT, BUDGET)}
    consistent = known_to(mine, seqs)
    await verify(ledger, consistent)
    behind = len(consistent.lines) < len(mine.lines)
    if behind:
        with pytest.raises(LedgerDiffers, match="forgotten"):
            await verify(ledger, mine)
        await rebuild(ledger, mine, force=True)
    await verify(ledger, mine)
    # What was started is paid for; what is asked for again is charged once.
    kept = orjson.loads(await dump(ledger.client, BUDGET))["reservations"]
    assert {reservation.id for reservation in made[:3]} <= kept.keys()
    lease = await ledger.lease(BUDGET, "m", wait_seconds=5.0)
    again = [await ledger.charge(window, lease) for window in WINDOWS]
    assert [charge.id for charge in again] == [charge.id for charge in made]
    assert all(charge.repeated for charge in again[:3])
    await sums_agree(ledger)
    await Relay(ledger, mine, "after").drain()
    await verify(ledger, mine)
    return behind


@pytest.mark.parametrize("runs", [0, 1, 4])
async def test_a_store_killed_between_two_runs_of_a_charge(
    own_store: LocalValkey, tmp_path: Path, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = MemoryJournal()
    large = WINDOWS[3]
    async with opened(own_store.url, tmp_path) as ledger:
        await create(ledger)
        lease = await ledger.lease(BUDGET, "m", 60.0)
        run, left = ledger.scripts.run, runs

        async def killing(name: str, keys: Any, args: Any) -> tuple[str, list[bytes]]:
            nonlocal left
            if name == "advance":
                if left == 0:
                    own_store.kill()
                left -= 1
            return await run(name, keys, args)

        monkeypatch.setattr(ledger.scripts, "run", killing)
        with pytest.raises(StoreUnavailable):
            await ledger.charge(large, lease)
    own_store.start()
    async with opened(own_store.url, tmp_path) as ledger:
        assert await ledger.client.exists(Keys(ROOT).pending)
        shown = await ledger.show(BUDGET)
        assert (shown["seq"], shown["spent"]) == (1, [0])  # nothing is seen of it yet
        await verify(ledger, journal)
        # Somebody else comes, and helps; then whoever asked before is told what they would have been told.
        other = await ledger.lease(BUDGET, "m2")
        await ledger.charge(manifest(9, people(200), budget=BUDGET, model="m2"), other)
        assert not await ledger.client.exists(Keys(ROOT).pending)
        answer = await ledger.charge(large, lease)
        assert answer.repeated
        assert set(answer.admitted) == set(large.people)
        await Relay(ledger, journal, "after").drain()
        await verify(ledger, journal)


async def test_a_relay_that_outlives_a_store_that_went_back(own_store: LocalValkey, tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with opened(own_store.url, tmp_path) as ledger:
        await create(ledger)
        lease = await ledger.lease(BUDGET, "m")
        relay = Relay(ledger, journal, "test", poll_seconds=0.005)
        stop = asyncio.Event()
        moving = asyncio.create_task(relay.run(stop))
        made = [await ledger.charge(WINDOWS[0], lease)]
        await ledger.wait_acknowledged(BUDGET, made[0].seq)
        earlier = {key: await ledger.client.dump(key) or b"" async for key in ledger.client.scan_iter()}
        made.append(await ledger.charge(WINDOWS[1], lease))
        await ledger.wait_acknowledged(BUDGET, made[1].seq)
        told = len(journal.lines)
        await ledger.client.flushall()
        for key, value in earlier.items():
            await ledger.client.restore(key, 0, value)
        other = await ledger.charge(WINDOWS[2], lease)
        assert other.seq == made[1].seq  # the number is given twice, and the relay must not tell
        with pytest.raises((BrokerUnavailable, LedgerDiffers)):
            await ledger.wait_acknowledged(BUDGET, other.seq, 1.0)
        stop.set()
        with contextlib.suppress(LedgerDiffers):
            await moving
        assert len(journal.lines) == told
        await rebuild(ledger, journal, force=True)
        await verify(ledger, journal)
