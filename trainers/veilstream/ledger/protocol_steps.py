"""What `protocol_model` explores: states, the steps between them, and what must hold in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from veilstream.ledger.protocol_store import (
    FROM,
    LEAF,
    ROOT,
    Entry,
    Kind,
    Manifest,
    Plan,
    Scripts,
    Store,
    find,
    released,
)

__all__ = ["RELAY", "Model", "State", "outside"]

Phase = Literal["away", "ready", "charge", "begun", "wait", "train"]

NAMES: Final = "AB"
RELAY: Final = 2
"""The actor of a step that no worker takes."""


class Worker(NamedTuple):
    phase: Phase = "away"
    manifest: Manifest = (0, 0, 0)
    plan: Plan | None = None
    """(Mutant) a plan made before the script that it is for."""


class State(NamedTuple):
    """`trained`: every training that began, whatever the store forgot since. `faults`: left to happen.

    `zombie`: what a relay whose lease another has taken has read, and not appended yet.
    """

    store: Store
    journal: tuple[Entry, ...]
    workers: tuple[Worker, ...]
    faults: int
    zombie: tuple[Entry, ...] = ()
    trained: tuple[Manifest, ...] = ()
    owed: tuple[Entry, ...] = ()
    """(Mutant) acknowledged and not appended yet."""
    wrong: str = ""


Step = tuple[str, int, State, bool]
"""What happens, who does it, the state after it, and whether it is a fault."""


def outside(journal: tuple[Entry, ...]) -> tuple[object, ...]:
    """The public events of a journal, in order: whose manifest and who was admitted are not in them."""
    return tuple((e.budget, e.seq, e.kind, e.manifest[:2], e.spent, e.runs) for e in journal)


@dataclass(frozen=True)
class Model(Scripts):
    """The steps from a state, and what must hold in it."""

    def initial(self, faults: int) -> State:
        """Both budgets are in the journal; A has the lease (by symmetry it does not matter who)."""
        return State(Store(holder=0), (), (Worker("ready"), Worker()), faults)

    # The steps

    def steps(self, state: State) -> Iterator[Step]:
        """Every step that may come next."""
        for worker in range(len(state.workers)):
            yield from self.worker_steps(state, worker)
        yield from self.relay_steps(state)
        store = state.store
        open_to_all = store.pending is None or not self.protocol.pending_keeps_others_out
        if state.faults and not store.raises and open_to_all:
            after = state._replace(store=self.amend(store), faults=state.faults - 1)
            yield "an operator raises the root", RELAY, after, True

    def worker_steps(self, state: State, me: int) -> Iterator[Step]:
        given, store, name = state.workers[me], state.store, NAMES[me]
        if given.phase == "away":
            held = store.holder not in (-1, me) and state.workers[store.holder].phase != "away"
            if state.faults or not held:
                word = f"{name} takes the lease" + (
                    f", which {NAMES[1 - me]} has let run out" if held else ""
                )
                after = _letting_go(state)._replace(store=store._replace(holder=me))
                after = _worker(after, me, Worker("ready"))._replace(faults=state.faults - held)
                yield word, me, after, held
            return
        if state.faults:
            plan = store.pending
            if plan and plan.manifest[2] == me and not self.protocol.bitmap_in_the_store:
                plan = plan._replace(admitted=())
            after = state._replace(store=store._replace(pending=plan), faults=state.faults - 1)
            yield f"{name} is killed", me, _worker(after, me, Worker()), True
        if given.phase == "ready":
            yield from self.ready_steps(state, me)
        elif given.phase == "charge":
            yield from self.charging(state, me)
        elif given.phase == "begun":
            yield from self.finishing(state, me)
        elif given.phase == "wait":
            yield from self.moving(state, me, given.manifest, "started", Worker("train", given.manifest))
        else:
            yield from self.moving(state, me, given.manifest, "committed", Worker("ready"))

    def ready_steps(self, state: State, me: int) -> Iterator[Step]:
        """A caller of any kind: it gives up what is open, asks for it again, or charges what comes next."""
        store, name = state.store, NAMES[me]
        left_open = [known for known in store.reservations if known.state in FROM["abandoned"]]
        for number, known in enumerate(left_open):
            if number == 0:
                yield from self.moving(state, me, known.manifest, "abandoned", Worker("ready"))
            if known.manifest[2] == me:
                after = _worker(state, me, Worker("charge", known.manifest))
                yield f"{name} asks for {_words(known.manifest)} again", me, after, False
        done = released(store)
        window = next((w for w in range(len(self.windows)) if w not in done), None)
        if window is not None:
            manifest = (window, store.attempts[window] + 1, me)
            plan = None if self.protocol.refuses_moved else Plan(manifest, store.seq, store.spent)
            after = _worker(state, me, Worker("charge", manifest, plan))
            yield f"{name} wants {_words(manifest)}", me, after, False

    def charging(self, state: State, me: int) -> Iterator[Step]:
        """`Ledger.charge`."""
        given, name = state.workers[me], NAMES[me]
        status, store = self.charge(state.store, me, given.manifest, given.plan)
        if status == "pending":
            yield from self.helping(state, me, state.store.pending)
            return
        phase: dict[str, Phase] = {"begun": "begun", "charged": "wait", "repeated": "wait", "fenced": "away"}
        after = _worker(state, me, Worker(phase.get(status, "ready"), given.manifest))
        word = f"{name}: charge of {_words(given.manifest)}: {status}"
        yield word, me, self.written(after, me, store), False
        if state.faults:  # the client sends it again: the second answer counts
            status, twice = self.charge(store, me, given.manifest, given.plan)
            if twice != store:
                after = _worker(after, me, Worker(phase.get(status, "ready"), given.manifest))
                after = self.written(after, me, twice)._replace(faults=state.faults - 1)
                yield f"{word}; the answer is lost, and it is sent again: {status}", me, after, True

    def finishing(self, state: State, me: int) -> Iterator[Step]:
        """`Ledger.charge` after `begun`: finish it, or find that somebody did."""
        given, name = state.workers[me], NAMES[me]
        if state.store.pending:
            yield from self.helping(state, me, state.store.pending)
        else:
            there = find(state.store, given.manifest)
            after = Worker("wait" if there else "charge", given.manifest)
            yield f"{name} finds it finished", me, _worker(state, me, after), False

    def helping(self, state: State, me: int, plan: Plan | None) -> Iterator[Step]:
        """`Helping.finish_pending`: one run."""
        if plan is None:
            return
        if not self.protocol.anyone_advances and (plan.manifest[2], "begun") != (me, state.workers[me].phase):
            return
        word = f"{NAMES[me]}: advance of {_words(plan.manifest)}, run {plan.done + 1}"
        yield word, me, state._replace(store=self.advance(state.store, plan)), False

    def moving(self, state: State, me: int, manifest: Manifest, to: Kind, done: Worker) -> Iterator[Step]:
        """`Attempts.start`, `commit` and `abandon`."""
        status, store = self.move(state.store, me, manifest, to)
        if status == "pending":
            yield from self.helping(state, me, state.store.pending)
            return
        if status == "unacknowledged":
            return  # `wait_acknowledged` goes on waiting
        next_worker = done if status == "ok" else Worker("away" if status == "fenced" else "ready")
        after = _worker(state, me, next_worker)
        if status == "ok" and to == "started":
            after = after._replace(trained=tuple(sorted((*state.trained, manifest))))
        word = f"{NAMES[me]}: {_words(manifest)} is {to}: {status}"
        yield word, me, self.written(after, me, store), False
        if state.faults and status == "ok" and to == "committed":
            # The client sends it again: the mark of the call answers it.
            _, twice = self.move(store, me, manifest, to)
            if twice != store:
                again = self.written(after, me, twice)._replace(faults=state.faults - 1)
                yield f"{word}; the answer is lost, and it is sent again", me, again, True

    def written(self, state: State, me: int, store: Store) -> State:
        """The state with what a worker's script wrote; who wrote without the newest lease is found out."""
        wrong = "a process whose lease was taken changes something"
        if store != state.store and state.store.holder != me:
            return state._replace(store=store, wrong=wrong)
        return state._replace(store=store)

    def relay_steps(self, state: State) -> Iterator[Step]:
        """`Relay._move`, and the store's loss in the middle of it."""
        store, outbox, left = state.store, state.store.outbox, state.faults - 1
        if self.protocol.appends_before_acknowledging:
            if outbox:
                after = self.appended(state, outbox)._replace(store=store._replace(outbox=()))
                yield f"the relay moves {len(outbox)} entries", RELAY, after, False
        elif state.owed:
            after = self.appended(state, state.owed)._replace(owed=())
            yield f"the relay appends {len(state.owed)} entries", RELAY, after, False
            if state.faults:
                yield "the relay is killed", RELAY, state._replace(owed=(), faults=left), True
        elif outbox:
            after = state._replace(store=store._replace(outbox=()), owed=outbox)
            yield f"the relay acknowledges {len(outbox)} entries", RELAY, after, False
        if state.faults and outbox and outbox != state.zombie:
            word = f"another relay takes the lease of one that has read {len(outbox)} entries"
            yield word, RELAY, state._replace(zombie=outbox, faults=left), True
        if state.zombie:
            after = self.appended(state, state.zombie[:1])
            after = after._replace(zombie=after.zombie[1:] if after.zombie == state.zombie else after.zombie)
            yield f"the relay without a lease appends {_entry(state.zombie[0])}", RELAY, after, False
        if state.faults:
            for appended in range(len(outbox) + 1):
                after = self.rebuilt(self.appended(state, outbox[:appended]), outbox[appended:])
                word = "the store is lost, and made again from the journal"
                word += f", of which the relay had just appended {appended} entries" if appended else ""
                yield word, RELAY, after._replace(faults=left), True

    def appended(self, state: State, entries: tuple[Entry, ...]) -> State:
        """The journal with entries at its end; repeats are dropped, by whoever reads it."""
        journal = state.journal
        for entry in entries:
            if entry in journal:
                continue
            if any((e.budget, e.seq) == (entry.budget, entry.seq) for e in journal):
                return state._replace(wrong="two different entries of one sequence number are in the journal")
            journal = (*journal, entry)
        return state._replace(journal=journal, zombie=tuple(e for e in state.zombie if e not in journal))

    def rebuilt(self, state: State, unwritten: tuple[Entry, ...]) -> State:
        """`rebuild.rebuild`: leases, and what the journal does not have, are gone."""
        store = self.fold(state.journal).store
        store = store._replace(rebuilt=store.seq[LEAF])
        zombie = () if self.protocol.rebuilds_without_relays else state.zombie or unwritten
        return _letting_go(state)._replace(store=store, zombie=zombie, owed=())

    # What must hold

    def broken(self, state: State) -> str | None:
        """What is wrong in this state, in words; None if nothing is."""
        if state.wrong:
            return state.wrong
        store = state.store
        durable = self.fold(state.journal)
        if durable.wrong:
            return durable.wrong
        if len(set(state.trained)) != len(state.trained):
            return "an attempt is trained twice"
        paid = {known.manifest for known in durable.store.reservations}
        if not paid.issuperset(state.trained) or min(durable.store.spent) < len(state.trained):
            return "more is trained than the journal shows as spent"
        if store.pending is None or self.protocol.pending_keeps_others_out:
            told = self.fold(state.journal + tuple(e for e in store.outbox if e not in state.journal))
            if told.wrong:
                return told.wrong
            differs = self.differs(store, told.store)
            if differs and self.protocol.appends_before_acknowledging:
                return differs
        return None

    def differs(self, store: Store, told: Store) -> str | None:
        """`rebuild.verify`: the store is what journal, outbox and a charge under way say."""
        if store.pending is not None:
            people = list(told.people)
            for person in store.pending.admitted:
                people[person] += 1
            told = told._replace(people=(people[0], people[1]))
        for field in ("seq", "spent", "people", "attempts", "reservations", "raises", "told"):
            if getattr(store, field) != getattr(told, field):
                return f"the store differs from journal and outbox: {field}"
        return None

    def settled(self, state: State) -> bool:
        """Nothing is under way, and each window is released or the root's odometer is full."""
        store = state.store
        done = [known.state for known in store.reservations]
        if store.pending or store.outbox or "reserved" in done or "started" in done:
            return False
        return len(released(store)) == len(self.windows) or store.spent[ROOT] >= self.charges + store.raises

    def may_go_on(self, state: State, worker: int) -> bool:
        """Whether a worker has the lease, or may take it without a fault."""
        holder = state.store.holder
        return holder in (-1, worker) or state.workers[holder].phase == "away"


def _worker(state: State, me: int, given: Worker) -> State:
    workers = state.workers
    return state._replace(workers=(*workers[:me], given, *workers[me + 1 :]))


def _letting_go(state: State) -> State:
    """The state when nobody's lease is the newest: who has nothing under way can do nothing more with it."""
    workers = tuple(Worker() if given.phase == "ready" else given for given in state.workers)
    return state._replace(workers=workers)


def _words(manifest: Manifest) -> str:
    window, attempt, whose = manifest
    return f"{NAMES[whose]}'s attempt {attempt} at window {window}"


def _entry(entry: Entry) -> str:
    where = "the root's" if entry.budget == ROOT else "the leaf's"
    return f"{where} entry {entry.seq}, {entry.kind}"
