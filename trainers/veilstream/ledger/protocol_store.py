"""The store and the journal of `protocol_model`: the scripts, and what a journal's entries add up to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

__all__ = [
    "FROM",
    "LEAF",
    "ROOT",
    "WINDOWS",
    "Entry",
    "Kind",
    "Manifest",
    "Plan",
    "Protocol",
    "Scripts",
    "Store",
    "Windows",
    "find",
    "released",
    "without",
]

Kind = Literal["raised", "charged", "refused", "started", "committed", "abandoned"]
Windows = tuple[tuple[int, ...], ...]
Manifest = tuple[int, int, int]
"""Window, attempt, and whose it is: A's and B's are never the same."""

ROOT: Final = 0
LEAF: Final = 1
CAP: Final = 1
"""A person's, in charges: the least of the path (below it is in mode `individual`)."""
WINDOWS: Final[Windows] = ((0, 1), (0,))
"""The people of each window: the first takes two runs, the second fits one script."""
FROM: Final[dict[str, tuple[str, ...]]] = {
    "started": ("reserved",),
    "committed": ("started",),
    "abandoned": ("reserved", "started"),
}


@dataclass(frozen=True)
class Protocol:
    """The rules. The defaults are the product's; each other value is a mutant."""

    start_waits_for_journal: bool = True
    start_refuses_after_rebuild: bool = True
    starts_once: bool = True
    commits_once: bool = True
    refunds: bool = False
    fences_charges: bool = True
    fences_transitions: bool = True
    pending_keeps_others_out: bool = True
    anyone_advances: bool = True
    bitmap_in_the_store: bool = True
    """What the runs so far have admitted stands beside the plan, and not in the process that began."""
    asks_people: bool = True
    asks_odometer: bool = True
    answers_repeats: bool = True
    counts_attempts: bool = True
    refuses_moved: bool = True
    root_first: bool = True
    appends_before_acknowledging: bool = True
    rebuilds_without_relays: bool = True
    """Nobody is between reading the outbox and appending while the store is made again."""
    charges_windows_of_nobody: bool = True
    hides_runs: bool = True


class Entry(NamedTuple):
    """Of outbox and journal."""

    budget: int
    seq: int
    kind: Kind
    manifest: Manifest
    spent: int
    """The budget's public odometer after it."""
    admitted: tuple[int, ...] = ()
    """Inside the boundary: the people charged."""
    runs: int = 0
    """(Mutant) how many people there were, told outside."""


class Reservation(NamedTuple):
    manifest: Manifest
    seq: int
    state: str


class Plan(NamedTuple):
    """Made for the sequence numbers and odometers in it; what is `pending` has people charged so far, too."""

    manifest: Manifest
    seq: tuple[int, int]
    spent: tuple[int, int]
    done: int = 0
    admitted: tuple[int, ...] = ()


class Store(NamedTuple):
    """`holder`: whose lease of the model is the newest, -1 nobody's. Index 0 of a pair: the root."""

    holder: int = -1
    seq: tuple[int, int] = (1, 1)
    spent: tuple[int, int] = (0, 0)
    people: tuple[int, int] = (0, 0)
    attempts: tuple[int, int] = (0, 0)
    reservations: tuple[Reservation, ...] = ()
    raises: int = 0
    """Of the root; each makes room for one more charge."""
    told: tuple[tuple[int, int, int], ...] = ()
    """Refused charges that were told outside: window, attempt, raises then."""
    pending: Plan | None = None
    outbox: tuple[Entry, ...] = ()
    rebuilt: int = 1
    """The leaf's last sequence number when this store was made from the journal."""


class Folded(NamedTuple):
    """What entries add up to."""

    store: Store
    wrong: str


def without(windows: Windows, person: int) -> Windows:
    """The neighbour: one person taken out everywhere."""
    return tuple(tuple(one for one in who if one != person) for who in windows)


@dataclass(frozen=True)
class Scripts:
    """The scripts, each from a store to an answer and the store after it, and the fold."""

    protocol: Protocol
    charges: int = 2
    """How many the root's odometer has room for."""
    windows: Windows = WINDOWS

    def charge(
        self, store: Store, worker: int, manifest: Manifest, planned: Plan | None
    ) -> tuple[str, Store]:
        """`charge.lua`, with the reading and planning before it (`moved` says that nothing came between)."""
        rules = self.protocol
        window, attempt, _ = manifest
        if store.pending and rules.pending_keeps_others_out:
            return "pending", store
        if store.holder != worker and rules.fences_charges:
            return "fenced", store
        known = find(store, manifest)
        if known and rules.answers_repeats:
            return "repeated", store
        if not known and rules.counts_attempts and store.attempts[window] != attempt - 1:
            return "attempt", store
        if (window, attempt, store.raises) in store.told:
            return "refused", store
        if store.spent[ROOT] >= self.charges + store.raises and rules.asks_odometer:
            made = Entry(LEAF, store.seq[LEAF] + 1, "refused", manifest, store.spent[LEAF])
            return "refused", self.refused(store, manifest)._replace(outbox=(*store.outbox, made))
        plan = planned or Plan(manifest, store.seq, store.spent)
        if len(self.windows[window]) > 1:
            return "begun", store._replace(pending=plan)
        store, plan = self.run(store, plan)
        return "charged", self.apply(store, plan)

    def refused(self, store: Store, manifest: Manifest) -> Store:
        told = tuple(sorted((*store.told, (*manifest[:2], store.raises))))
        return store._replace(seq=(store.seq[ROOT], store.seq[LEAF] + 1), told=told)

    def amend(self, store: Store) -> Store:
        """`amend.lua`: an operator raises the root."""
        seq = (store.seq[ROOT] + 1, store.seq[LEAF])
        made = Entry(ROOT, seq[ROOT], "raised", (0, 0, 0), store.spent[ROOT])
        return store._replace(seq=seq, raises=store.raises + 1, outbox=(*store.outbox, made))

    def run(self, store: Store, plan: Plan) -> tuple[Store, Plan]:
        """`people.lua`, `charge_people`: a run is one person."""
        who = self.windows[plan.manifest[0]][plan.done : plan.done + 1]
        people = list(store.people)
        admitted = plan.admitted
        for person in who:
            if people[person] < CAP or not self.protocol.asks_people:
                people[person] += 1
                admitted = (*admitted, person)
        plan = plan._replace(done=plan.done + 1, admitted=admitted)
        return store._replace(people=(people[0], people[1])), plan

    def apply(self, store: Store, plan: Plan) -> Store:
        """`people.lua`, `apply`: all that a charge changes beside its people, at once."""
        if not plan.admitted and not self.protocol.charges_windows_of_nobody:
            return store
        seq = (plan.seq[ROOT] + 1, plan.seq[LEAF] + 1)
        spent = (plan.spent[ROOT] + 1, plan.spent[LEAF] + 1)
        window, attempt, _ = plan.manifest
        runs = 0 if self.protocol.hides_runs else len(self.windows[window])
        made = (
            Entry(ROOT, seq[ROOT], "charged", plan.manifest, spent[ROOT]),
            Entry(LEAF, seq[LEAF], "charged", plan.manifest, spent[LEAF], plan.admitted, runs),
        )
        attempts = list(store.attempts)
        attempts[window] = attempt
        return store._replace(
            seq=seq,
            spent=spent,
            attempts=(attempts[0], attempts[1]),
            reservations=(*store.reservations, Reservation(plan.manifest, seq[LEAF], "reserved")),
            outbox=(*store.outbox, *(made if self.protocol.root_first else made[::-1])),
        )

    def advance(self, store: Store, pending: Plan) -> Store:
        """`advance.lua`: the next run of what is pending; with the last one, everything else of it."""
        store, plan = self.run(store, pending)
        if plan.done < len(self.windows[plan.manifest[0]]):
            return store._replace(pending=plan)
        return self.apply(store, plan)._replace(pending=None)

    def move(self, store: Store, worker: int, manifest: Manifest, to: Kind) -> tuple[str, Store]:
        """`transition.lua`."""
        rules = self.protocol
        if store.pending and rules.pending_keeps_others_out:
            return "pending", store
        if store.holder != worker and rules.fences_transitions:
            return "fenced", store
        known = find(store, manifest)
        if known is None:
            return "none", store
        again = (to == "committed" and not rules.commits_once) or (to == "started" and not rules.starts_once)
        if known.state not in FROM[to] and not (again and known.state == to):
            return "state", store
        if to == "started":
            if known.seq <= store.rebuilt and rules.start_refuses_after_rebuild:
                return "rebuilt", store
            waiting = sum(entry.budget == LEAF for entry in store.outbox)
            if known.seq > store.seq[LEAF] - waiting and rules.start_waits_for_journal:
                return "unacknowledged", store
        store = self.moved(store, known, to)
        made = Entry(LEAF, store.seq[LEAF], to, manifest, store.spent[LEAF])
        return "ok", store._replace(outbox=(*store.outbox, made))

    def moved(self, store: Store, known: Reservation, to: Kind) -> Store:
        reservations = tuple(r._replace(state=to) if r == known else r for r in store.reservations)
        spent = store.spent
        if to == "abandoned" and self.protocol.refunds:
            spent = (spent[ROOT] - 1, spent[LEAF] - 1)
        seq = (store.seq[ROOT], store.seq[LEAF] + 1)
        return store._replace(seq=seq, spent=spent, reservations=reservations)

    # The journal

    def fold(self, entries: tuple[Entry, ...]) -> Folded:
        """`fold.fold`: what these entries say the state is, or what is wrong with them."""
        return _fold(self, entries)

    def fold_one(self, store: Store, entry: Entry) -> Store | str:
        budget, seq, kind, manifest, spent, admitted, _ = entry
        window, attempt, _ = manifest
        if seq != store.seq[budget] + 1:
            return f"entry {seq} of budget {budget} follows {store.seq[budget]}"
        known = find(store, manifest)
        if kind == "charged":
            store = store._replace(
                seq=_put(store.seq, budget, seq), spent=_put(store.spent, budget, store.spent[budget] + 1)
            )
            if store.spent[budget] != spent:
                return "the odometer is not what was charged"
            if store.spent[ROOT] > self.charges + store.raises:
                return "the odometer passes its cap"
            if budget == ROOT:
                return store
            if store.spent[ROOT] < store.spent[LEAF]:
                return "the root shows less than was charged below it"
            if known:
                return "a manifest is charged twice"
            if attempt != store.attempts[window] + 1:
                return f"attempt {attempt} at window {window} follows {store.attempts[window]}"
            people = list(store.people)
            for person in admitted:
                people[person] += 1
            if max(people) > CAP:
                return "a person passes their cap"
            return store._replace(
                people=(people[0], people[1]),
                attempts=_put(store.attempts, window, attempt),
                reservations=(*store.reservations, Reservation(manifest, seq, "reserved")),
            )
        if kind == "raised":
            return store._replace(seq=(seq, store.seq[LEAF]), raises=store.raises + 1)
        if kind == "refused":
            return self.refused(store, manifest)
        if known is None or known.state not in FROM[kind]:
            return f"an attempt is {kind} that is {known.state if known else 'not charged'}"
        store = self.moved(store, known, kind)
        return store if store.spent[LEAF] == spent else "the odometer is not what was charged"


@lru_cache(maxsize=1 << 18)
def _fold(scripts: Scripts, entries: tuple[Entry, ...]) -> Folded:
    if not entries:
        return Folded(Store(), "")
    before = _fold(scripts, entries[:-1])
    if before.wrong:
        return before
    after = scripts.fold_one(before.store, entries[-1])
    return Folded(before.store, after) if isinstance(after, str) else Folded(after, "")


def find(store: Store, manifest: Manifest) -> Reservation | None:
    return next((known for known in store.reservations if known.manifest == manifest), None)


def released(store: Store) -> set[int]:
    """The windows that have a release."""
    return {known.manifest[0] for known in store.reservations if known.state == "committed"}


def _put(pair: tuple[int, int], index: int, value: int) -> tuple[int, int]:
    return (value, pair[1]) if index == 0 else (pair[0], value)
