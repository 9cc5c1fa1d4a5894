"""Journals written by earlier versions: every later version reads them, and comes to the same state."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from veilstream.contracts import RootKey
from veilstream.errors import JournalBroken, KeyMissing
from veilstream.events.types import BUDGET_EVENT, schema
from veilstream.keys import FileKeyProvider
from veilstream.ledger.assemble import seal_of
from veilstream.ledger.chain import GENESIS, digest, linked
from veilstream.ledger.fold import fold
from veilstream.ledger.rebuild import LedgerOpener
from veilstream.ledger.state import document

FOLDER = Path(__file__).parents[1] / "fixtures" / "journal"
Entries = list[dict[str, Any]]


def journal(version: str = "v1") -> Entries:
    return [orjson.loads(line) for line in (FOLDER / f"{version}.jsonl").read_bytes().splitlines()]


def opener() -> LedgerOpener:
    return LedgerOpener(FileKeyProvider(FOLDER / "keys"))


def hashed_anew(entries: Entries, *, key: RootKey | None = None) -> Entries:
    """What somebody would do who can write the journal and has no key; or has the ledger's."""
    heads: dict[str, str] = {}
    done = []
    for entry in entries:
        name = entry["public"]["budget"]
        bare = {key: value for key, value in entry.items() if key not in ("prev_hash", "hash")}
        done.append(linked(heads.get(name, GENESIS), bare))
        heads[name] = done[-1]["hash"]
        if key is not None:
            done[-1]["mac"] = seal_of(key, done[-1])
    return done


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_it_folds_to_the_state_that_was_dumped_beside_it(version: str) -> None:
    states = {
        name: document(state) for name, state in fold(journal(version), opener(), unsigned=True).items()
    }
    kept = orjson.loads((FOLDER / f"{version}.state.json").read_bytes())
    assert orjson.dumps(states, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        kept, option=orjson.OPT_SORT_KEYS
    )


def test_it_holds_every_kind_of_event_of_the_first_version() -> None:
    kinds = {entry["public"]["event"] for entry in journal()}
    assert kinds == {
        "created", "raised", "charged", "started", "committed", "abandoned", "refused", "exhausted",
    }  # fmt: skip
    assert {entry["public"]["event"] for entry in journal("v2")} == kinds | {
        "threshold", "refreshed", "corrected", "frozen", "unfrozen",
    }  # fmt: skip


def test_every_kind_of_event_stands_in_some_version() -> None:
    published = schema(BUDGET_EVENT)["properties"]["event"]["enum"]
    assert {e["public"]["event"] for v in ("v1", "v2") for e in journal(v)} == set(published)


def test_the_public_chain_is_over_public_content_alone() -> None:
    for name, state in fold(journal(), opener(), unsigned=True).items():
        head = GENESIS
        for entry in journal():
            if entry["public"]["budget"] == name:
                head = digest(head, entry["public"])
        assert head == state.public_head


def test_without_the_key_nobody_reads_the_people(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing):
        fold(journal(), LedgerOpener(FileKeyProvider(tmp_path)), unsigned=True)


def test_a_budget_of_the_first_version_is_believed_only_when_it_is_said() -> None:
    with pytest.raises(JournalBroken, match="whose entries nobody signed"):
        fold(journal("v1"), opener())
    assert fold(journal("v2"), opener())


def one_entry_less(entries: Entries) -> None:
    """The last charge of a budget, taken out with all that came after it."""
    last = max(n for n, e in enumerate(entries) if e["public"]["budget"] == "logs")
    del entries[last]
    entries[last - 1]["public"]["time"] = "2020-01-01T00:00:00.000Z"


def made_to_look_old(entries: Entries) -> None:
    for entry in entries:
        for part in ("mac", "authority", "key_version"):
            entry.pop(part, None)


@pytest.mark.parametrize("fault", [one_entry_less, made_to_look_old], ids=lambda f: f.__name__)
def test_without_the_ledgers_key_no_entry_is_written(fault: Callable[[Entries], None]) -> None:
    entries = journal("v2")
    fault(entries)
    with pytest.raises(JournalBroken, match=r"did not hold the ledger's key|nobody signed"):
        fold(hashed_anew(entries), opener())


def test_an_event_of_tomorrows_version_is_named() -> None:
    entries = journal()
    entries[2]["public"]["event"] = "inherited"
    with pytest.raises(JournalBroken, match="does not know: inherited") as caught:
        fold(hashed_anew(entries), opener(), unsigned=True)
    assert "newer veilstream" in str(caught.value)
    entries[2]["public"]["event"] = "ann@example.com"
    with pytest.raises(JournalBroken) as caught:
        fold(hashed_anew(entries), opener(), unsigned=True)
    assert "ann" not in str(caught.value)


def removed(entries: Entries) -> None:
    del entries[5]


def moved(entries: Entries) -> None:
    entries[5], entries[6] = entries[6], entries[5]


def first_gone(entries: Entries) -> None:
    del entries[0]


def changed(entries: Entries) -> None:
    entries[4]["public"]["time"] = "2020-01-01T00:00:00.000Z"


def cheaper(entries: Entries) -> None:
    entries[4]["public"]["spent"][0] -= 1


def cut(entries: Entries) -> None:
    del entries[4]["sealed"]


def another_hash(entries: Entries) -> None:
    entries[4]["hash"] = "0" * 64


def exchanged(entries: Entries) -> None:
    entries[1]["sealed"], entries[4]["sealed"] = entries[4]["sealed"], entries[1]["sealed"]


@pytest.mark.parametrize(
    "fault",
    [removed, moved, first_gone, changed, cheaper, cut, another_hash, exchanged],
    ids=lambda f: f.__name__,
)
def test_a_fault_is_found_and_the_place_is_named(fault: Callable[[Entries], None]) -> None:
    entries = journal()
    fault(entries)
    with pytest.raises(JournalBroken, match=r"entry \d+|not whole"):
        fold(entries, opener(), unsigned=True)


def lower_charge(entries: Entries) -> None:
    for entry in entries:
        if entry["public"]["event"] == "charged":
            entry["public"]["charge"]["charges"] = [1] * len(entry["public"]["charge"]["charges"])


def less_spent(entries: Entries) -> None:
    for entry in entries:
        entry["public"]["spent"] = [0] * len(entry["public"]["spent"])


def larger_caps(entries: Entries) -> None:
    for entry in entries:
        entry["public"]["caps"] = [cap + 10**9 for cap in entry["public"]["caps"]]


def others_sealed(entries: Entries) -> None:
    exchanged(entries)


def another_reservation(entries: Entries) -> None:
    entries[1]["reservation"] = entries[4]["reservation"]


def more_admitted(entries: Entries) -> None:
    bits = next(e for e in entries if e["public"]["budget"] == "people" and e["public"]["seq"] == 6)
    bits["admitted"] = "//A="


def started_twice(entries: Entries) -> None:
    again = copy.deepcopy(entries[2])
    again["public"]["seq"] = 4
    entries[3:] = [again]


def raised_downwards(entries: Entries) -> None:
    for entry in entries:
        if entry["public"]["event"] == "raised":
            entry["public"]["epsilon"] = 1.0


def refused_with_room(entries: Entries) -> None:
    entries[1]["public"]["event"] = "refused"
    entries[1]["public"]["spent"] = [0, 0]


def exhausted_with_room(entries: Entries) -> None:
    for entry in entries:
        if entry["public"]["event"] == "exhausted":
            entry["public"]["charge"]["charges"] = [1, 1]


def another_kind(entries: Entries) -> None:
    entries[2]["public"]["event"] = "frozen"


def another_attempt(entries: Entries) -> None:
    entries[2]["public"]["attempt"] = 2


@pytest.mark.parametrize(
    "fault",
    [
        lower_charge, less_spent, larger_caps, others_sealed, another_reservation, more_admitted,
        started_twice, raised_downwards, refused_with_room, exhausted_with_room,
        another_kind, another_attempt,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_a_fault_is_found_though_the_chain_was_hashed_anew(fault: Callable[[Entries], None]) -> None:
    entries = journal()
    fault(entries)
    with pytest.raises(JournalBroken, match="entry"):
        fold(hashed_anew(entries), opener(), unsigned=True)
    assert fold(hashed_anew(journal()), opener(), unsigned=True)  # hashing anew alone changes nothing


def unpaid_above(entries: Entries) -> None:
    """The root's part of a charge is taken out, and its later sequence numbers moved up."""
    at = next(n for n, e in enumerate(entries) if e["public"].get("by") and e["public"]["budget"] == "acme")
    del entries[at]
    for entry in entries:
        if entry["public"]["budget"] == "acme" and entry["public"]["seq"] > 1:
            entry["public"]["seq"] -= 1


def paid_for_another(entries: Entries) -> None:
    next(e for e in entries if e["public"].get("by"))["public"]["by"] = "acme/other"


def thawed_by_nobody(entries: Entries) -> None:
    del next(e for e in entries if e["public"]["event"] == "unfrozen")["authority"]


def raised_by_another(entries: Entries) -> None:
    next(e for e in entries if e["public"]["event"] == "raised")["authority"]["by"] = "worker"


def larger_than_the_parent(entries: Entries) -> None:
    for entry in entries:
        if entry["public"]["budget"] == "acme/support":
            entry["public"]["epsilon"] = 9.0


def refreshed_backwards(entries: Entries) -> None:
    next(e for e in entries if e["public"]["event"] == "refreshed")["public"]["period"] -= 3


def corrected_downwards(entries: Entries) -> None:
    next(e for e in entries if e["public"]["event"] == "corrected")["public"]["corrected"] = [0, 0, 0]


def a_share_not_reached(entries: Entries) -> None:
    next(e for e in entries if e["public"]["event"] == "threshold")["public"]["threshold"] = 1.0


def parts_exchanged(entries: Entries) -> None:
    first = next(n for n, e in enumerate(entries) if "part" in e)
    entries[first]["sealed"], entries[first + 1]["sealed"] = (
        entries[first + 1]["sealed"],
        entries[first]["sealed"],
    )


@pytest.mark.parametrize(
    "fault",
    [
        unpaid_above, paid_for_another, thawed_by_nobody, raised_by_another, larger_than_the_parent,
        refreshed_backwards, corrected_downwards, a_share_not_reached, parts_exchanged,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_a_fault_in_a_tree_is_found_though_the_chain_was_hashed_anew(
    fault: Callable[[Entries], None],
) -> None:
    entries = journal("v2")
    fault(entries)
    key = FileKeyProvider(FOLDER / "keys").ledger()
    with pytest.raises(JournalBroken, match="entry") as caught:
        fold(hashed_anew(entries, key=key), opener())
    assert "ledger's key" not in str(caught.value)
    assert fold(hashed_anew(journal("v2"), key=key), opener())
