"""The ledger under every interleaving: hypothesis drives workers, a relay, crashes and rebuilds on a real
Valkey: a tree of a root and two children, charges of up to 40 people in runs of 8, journal entries in parts.
After each step everything must be what a plain oracle says (`ledger_oracle`), and:

* spent ≥ released: whatever was trained stands paid in the journal, and was started once;
* who was admitted, and what was refused, is what the caps of all budgets of the path allow;
* the same manifest again charges nothing; who has no lease any more changes nothing;
* the store is what the journal and the outbox say (`verify`), wherever a process died or the store was lost.
"""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import veilstream.ledger.ledger as charging
import veilstream.ledger.scripts as scripts
from ledger_machine import PEOPLE_A_RUN, Machine
from veilstream.errors import VeilstreamError


@pytest.fixture(autouse=True)
def _store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Machine.url = store_url
    monkeypatch.setattr(charging, "people_per_script", lambda orders, levels: PEOPLE_A_RUN)


# Without shrinking: each step asks a real store, and some 30 steps are short enough to read.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

TestLedger = Machine.TestCase
TestLedger.settings = settings(max_examples=18, stateful_step_count=30, deadline=None, phases=PHASES)


@pytest.mark.slow
class TestLedgerLong(Machine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=150, stateful_step_count=60, deadline=None, phases=PHASES)


PENDING = "if redis.call('EXISTS', KEYS[2]) == 1 then return { 'pending' } end"
FAULTS = {
    "the bitmap of earlier runs is lost": ("advance", "pending[5] .. charge_people", "charge_people"),
    "a charge is not fenced": (
        "charge", "if fenced(KEYS[2], ARGV[1], ARGV[2]) then return { 'fenced' } end", ""
    ),
    "a transition does not wait for a charge": ("transition", PENDING, ""),
    "an amendment does not wait for a charge": ("amend", PENDING, ""),
    "an attempt of a lost store starts": ("transition", "return { 'rebuilt' }", "local lost = true"),
    "an attempt starts before the journal has it": (
        "transition", "return { 'unacknowledged' }", "local early = true"
    ),
    "a started attempt starts again": (
        "transition", "if not allowed then", "if not allowed and ARGV[5] ~= 'started' then"
    ),
    "a release is committed twice": (
        "transition", "if not allowed then", "if not allowed and ARGV[5] ~= 'committed' then"
    ),
    "a repeated manifest is not known": ("charge", "if known[1] then return", "if false then return"),
    "people have no limit": ("charge", "if not fits then return 0 end", ""),
    "only the charged budget's people pay": (
        "charge", "for l = 1, #levels do redis.call('HSET'", "for l = 1, 1 do redis.call('HSET'"
    ),
    "a period begins before its time": ("amend", "return { 'early' }", "local early = true"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_script_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an answer that the oracle does not expect, or by the ledger itself."""
    faulty, right, wrong = FAULTS[fault]
    assert right in scripts.source(faulty)
    source = scripts.source

    def changed(name: str) -> str:
        return source(name).replace(right, wrong) if name in (faulty, "advance") else source(name)

    monkeypatch.setattr(scripts, "source", changed)
    few = settings(max_examples=80, stateful_step_count=40, deadline=None, phases=PHASES, database=None)
    found = (AssertionError, VeilstreamError, pytest.fail.Exception)
    with pytest.raises(found):
        run_state_machine_as_test(Machine, settings=few)
