"""What `protocol_model` explores: states, the steps between them, and what must hold in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar

__all__ = ["Model", "Protocol", "State"]

T = TypeVar("T")
Phase = Literal["away", "fence", "read", "ready", "send", "offsets", "end", "commit"]
Kind = Literal["fence", "produce", "offsets", "end", "commit"]

NAMES: Final = "ABCDEFGH"
BATCH: Final = 2
"""The most records in one fetch."""
WORDS: Final[Mapping[Kind, str]] = {
    "fence": "InitProducerId",
    "produce": "Produce of record",
    "offsets": "TxnOffsetCommit of offset",
    "end": "EndTxn",
    "commit": "OffsetCommit of offset",
}


@dataclass(frozen=True)
class Protocol:
    """The rules that a lane follows. The defaults are the product's; each other value is a mutant."""

    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    offset: Literal["with", "after", "before"] = "with"
    """When the offset is committed: in the outputs' transaction, or by itself after or before them."""
    transactional_id: Literal["partition", "process"] = "partition"
    fences_before_reading: bool = True
    drops_below_next: bool = True
    discards_old_fetches: bool = True
    """What was fetched before the lane was opened is thrown away: it may lie *above* the next offset."""
    refences_after_unknown_commit: bool = True
    rereads_after_fence: bool = True
    returns_after_fence: bool = True
    """A fenced lane begins again, from the fence, unless it hears that the partition is gone."""
    broker_refuses_older_epochs: bool = True


class Lane(NamedTuple):
    """What a worker knows. `next`: records done, -1 unknown; `todo`: what of its batch is to be sent."""

    phase: Phase = "away"
    next: int = -1
    todo: tuple[int, ...] = ()
    upto: int = -1
    newest: bool = False
    """Whether its producer epoch is the newest of its transactional id."""
    held: int = -1
    """The end of what the process has ever fetched (kept up only where old fetches are taken)."""


class Request(NamedTuple):
    """A request that nobody waits for any more and that has not arrived yet."""

    kind: Kind
    producer: int
    newest: bool
    value: int = 0


class Output(NamedTuple):
    """An entry of the output's log; `producer`: the transactional id that still holds it, or -1."""

    record: int
    producer: int


class Transaction(NamedTuple):
    """`offset` -1: none pending."""

    state: Literal["none", "open", "decided"] = "none"
    offset: int = -1


class State(NamedTuple):
    """`committed`: how many records the group's visible offset says are done; `owner` -1: nobody."""

    log: tuple[Output, ...]
    transactions: tuple[Transaction, ...]
    committed: int
    owner: int
    lanes: tuple[Lane, ...]
    network: tuple[Request, ...]
    left: int


Step = tuple[str, State, bool]
"""What happens, the state after it, and whether it is a fault."""


def _put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])


@dataclass(frozen=True)
class Model:
    """The steps from a state, and what must hold in it."""

    protocol: Protocol
    workers: int
    records: int

    @property
    def transactional(self) -> bool:
        return self.protocol.delivery == "exactly_once"

    def initial(self, faults: int) -> State:
        """Worker A has just been assigned the partition (by symmetry it does not matter which)."""
        ids = self.workers if self.protocol.transactional_id == "process" else 1
        lanes = (self.opened(Lane()),) + (Lane(),) * (self.workers - 1)
        return State((), (Transaction(),) * ids, 0, 0, lanes, (), faults)

    def opened(self, lane: Lane) -> Lane:
        """The lane at its beginning: it knows nothing."""
        fence = self.transactional and self.protocol.fences_before_reading
        return Lane("fence" if fence else "read", held=lane.held)

    def producer(self, worker: int) -> int:
        return worker if self.protocol.transactional_id == "process" else 0

    # The broker

    def arrive(self, state: State, request: Request) -> tuple[State, bool] | None:
        """The broker's answer: the state after it and whether it was accepted; None: it has to wait."""
        kind, producer, newest, value = request
        if kind == "commit":
            return (state._replace(committed=value), True) if newest else (state, False)
        if not self.transactional:
            seen = state.log[-1].record if state.log else 0
            return (state if value <= seen else state._replace(log=(*state.log, Output(value, -1)))), True
        transaction = state.transactions[producer]
        if kind != "fence" and not newest and self.protocol.broker_refuses_older_epochs:
            return state, False
        if transaction.state == "decided":
            return None
        if kind == "fence":
            return self.aborted(state, producer), True
        log = state.log
        if kind == "produce":
            transaction, log = transaction._replace(state="open"), (*log, Output(value, producer))
        elif kind == "offsets":
            transaction = Transaction("open", value)
        elif transaction.state == "open":
            transaction = transaction._replace(state="decided")
        transactions = _put(state.transactions, producer, transaction)
        return state._replace(log=log, transactions=transactions), True

    def aborted(self, state: State, producer: int) -> State:
        """The id's epoch is raised: its open transaction is aborted, whoever held the epoch is fenced."""
        ids = range(self.workers)
        lanes = tuple(
            lane._replace(newest=False) if self.producer(i) == producer else lane
            for i, lane in zip(ids, state.lanes, strict=True)
        )
        return state._replace(
            log=tuple(output for output in state.log if output.producer != producer),
            transactions=_put(state.transactions, producer, Transaction()),
            lanes=lanes,
            network=tuple(r for r in state.network if r.producer != producer or r.kind == "fence"),
        )

    def markers(self, state: State) -> Iterator[Step]:
        """The two markers of a decided transaction, in either order; the second one completes it."""
        for producer, transaction in enumerate(state.transactions):
            if transaction.state != "decided":
                continue
            inside = any(output.producer == producer for output in state.log)
            pending = transaction.offset
            if inside:
                log = tuple(Output(o.record, -1) if o.producer == producer else o for o in state.log)
                after = transaction if pending >= 0 else Transaction()
                transactions = _put(state.transactions, producer, after)
                yield (
                    "the commit marker reaches the output",
                    state._replace(log=log, transactions=transactions),
                    False,
                )
            if pending >= 0 or not inside:
                after = Transaction("decided") if inside else Transaction()
                committed = pending if pending >= 0 else state.committed
                transactions = _put(state.transactions, producer, after)
                word = f"the commit marker reaches the group: the committed offset is {committed}"
                yield word, state._replace(committed=committed, transactions=transactions), False

    # The workers

    def request(self, state: State, worker: int) -> Request | None:
        """The request that the lane makes next, if its next step is one."""
        lane, producer = state.lanes[worker], self.producer(worker)
        if lane.phase == "fence":
            return Request("fence", producer, True)
        if lane.phase == "send":
            return Request("produce", producer, lane.newest, lane.todo[0])
        if lane.phase == "offsets":
            return Request("offsets", producer, lane.newest, lane.upto)
        if lane.phase == "end":
            return Request("end", producer, lane.newest)
        if lane.phase == "commit":
            return Request("commit", -1, state.owner == worker, lane.upto)
        return None

    def answered(self, lane: Lane) -> Lane:
        """The lane after its request was accepted."""
        done = Lane("ready", lane.upto, newest=lane.newest, held=lane.held)
        offset = self.protocol.offset
        if lane.phase == "fence":
            return lane._replace(phase="read" if lane.next < 0 else "ready", newest=True)
        if lane.phase == "send":
            if len(lane.todo) > 1:
                return lane._replace(todo=lane.todo[1:])
            last: Phase = "offsets" if offset == "with" else "end"
            if not self.transactional:
                last = "commit"
            return done if last == "commit" and offset == "before" else lane._replace(todo=(), phase=last)
        if lane.phase == "offsets":
            return lane._replace(phase="end")
        if lane.phase == "end":
            return lane._replace(phase="commit") if offset == "after" else done
        return lane._replace(phase="send") if lane.todo else done

    def refused(self, lane: Lane) -> Lane:
        """The lane after a fence (or a generation that is over): it lets go of all it knows."""
        if not self.protocol.returns_after_fence:
            return Lane(held=lane.held)
        if not self.protocol.rereads_after_fence and lane.phase != "commit":
            return Lane("fence", lane.next, held=lane.held)
        return self.opened(lane)

    def unknown(self, lane: Lane) -> Lane:
        """The lane after an answer that did not come: it begins again."""
        if lane.phase == "end" and not self.protocol.refences_after_unknown_commit:
            return Lane("ready", lane.next, newest=lane.newest, held=lane.held)
        return self.opened(lane)

    def fetches(self, lane: Lane) -> Iterator[tuple[str, Lane]]:
        """Batches that may come: from the next offset, from any below it, and (mutant) from any once held."""
        first: Phase = "commit" if self.protocol.offset == "before" else "send"
        old = not self.protocol.discards_old_fetches
        for start in range(max(lane.next, lane.held if old else -1) + 1):
            for end in range(start + 1, min(start + BATCH, self.records) + 1):
                low = max(start, lane.next) if self.protocol.drops_below_next else start
                if low >= end or (start > lane.next and end > lane.held):
                    continue
                todo = tuple(range(low + 1, end + 1))
                held = max(lane.held, end) if old else -1
                stale = ", fetched earlier" if start != lane.next else ""
                yield f"takes records {todo}{stale}", Lane(first, lane.next, todo, end, lane.newest, held)

    def abandoned(self, state: State, worker: int, lane: Lane) -> Iterator[tuple[str, State]]:
        """The lane becomes `lane`; a request that it was making may still be under way, and arrive later."""
        base = state._replace(lanes=_put(state.lanes, worker, lane))
        yield "", base
        request = self.request(state, worker)
        if request and request.newest and request not in state.network:
            word = f", its {_words(request)} still under way"
            yield word, base._replace(network=tuple(sorted((*state.network, request))))

    def steps(self, state: State) -> Iterator[Step]:
        """Every step that may come next."""
        yield from self.markers(state)
        for index, request in enumerate(state.network):
            if answer := self.arrive(state._replace(network=_without(state.network, index)), request):
                yield f"the late {_words(request)} arrives", answer[0], False
        for worker in range(self.workers):
            yield from self.worker_steps(state, worker)
        yield from self.group_steps(state)
        if state.left:
            left = state.left - 1
            for producer, transaction in enumerate(state.transactions):
                if transaction.state == "open":
                    yield (
                        "the transaction's timeout aborts it",
                        self.aborted(state, producer)._replace(left=left),
                        True,
                    )

    def worker_steps(self, state: State, worker: int) -> Iterator[Step]:
        lane, name = state.lanes[worker], NAMES[worker]
        if lane.phase == "read":
            fenced = self.protocol.fences_before_reading or not self.transactional
            after = lane._replace(phase="ready" if fenced else "fence", next=state.committed)
            yield f"{name} reads the committed offset {state.committed}", _lane(state, worker, after), False
        elif lane.phase == "ready":
            for word, after in self.fetches(lane):
                yield f"{name} {word}", _lane(state, worker, after), False
        request = self.request(state, worker)
        if not request:
            return
        answer = self.arrive(state, request)
        words = _words(request)
        if answer and answer[1]:
            done = self.answered(answer[0].lanes[worker] if request.kind == "fence" else lane)
            yield f"{name}: {words}", _lane(answer[0], worker, done), False
        elif answer:
            yield f"{name}: {words} is refused", _lane(state, worker, self.refused(lane)), False
        if state.left and request.newest:
            left = state.left - 1
            after = self.unknown(lane)
            if answer:
                lost = _lane(answer[0], worker, after)._replace(left=left)
                yield f"{name}: {words} is done, but the answer is lost", lost, True
            for word, given_up in list(self.abandoned(state, worker, after))[1:]:
                yield f"{name} gives up waiting{word}", given_up._replace(left=left), True

    def group_steps(self, state: State) -> Iterator[Step]:
        """Assignment, its loss, and the death of workers."""
        for worker, lane in enumerate(state.lanes):
            name = NAMES[worker]
            if state.owner == -1:
                for word, after in self.abandoned(state, worker, self.opened(lane)):
                    yield f"{name} is assigned the partition{word}", after._replace(owner=worker), False
            if state.owner != worker and lane.phase != "away":
                for word, after in self.abandoned(state, worker, Lane(held=lane.held)):
                    yield f"{name} hears that the partition is gone{word}", after, False
            if state.left and lane.phase != "away":
                left = state.left - 1
                owner = -1 if state.owner == worker else state.owner
                for word, after in self.abandoned(state, worker, Lane()):
                    network = after.network if owner == state.owner else _uncommitting(after.network)
                    yield (
                        f"{name} is killed{word}",
                        after._replace(owner=owner, left=left, network=network),
                        True,
                    )
        if state.left and state.owner >= 0:
            left = state.left - 1
            word = f"the group takes the partition from {NAMES[state.owner]}, which has not heard of it"
            yield word, state._replace(owner=-1, left=left, network=_uncommitting(state.network)), True

    # What must hold

    def broken(self, state: State) -> str | None:
        """What is wrong in this state, in words; None if nothing is."""
        view: list[int] = []
        for output in state.log:
            if output.producer >= 0:
                break
            view.append(output.record)
        reader = (
            "a read_committed reader" if self.transactional else "a reader that drops what it has applied"
        )
        if view != list(range(1, len(view) + 1)):
            return f"{reader} sees the records {view}"
        if not self.transactional:
            return (
                f"the offset {state.committed} is beyond the output {view}"
                if state.committed > len(view)
                else None
            )
        if self.protocol.offset != "with":
            return None  # two commits cannot agree in between: such a mutant is judged by what a reader sees
        decided = [i for i, transaction in enumerate(state.transactions) if transaction.state == "decided"]
        outputs = [output.record for output in state.log if output.producer < 0 or output.producer in decided]
        offset = max(state.committed, *(state.transactions[i].offset for i in decided), 0)
        wrong = outputs != list(range(1, offset + 1))
        return f"outputs {outputs} are committed with the offset {offset}" if wrong else None

    def delivered(self, state: State) -> bool:
        """Everything is with the reader and, in a transaction, the offset too."""
        complete = len(state.log) == self.records and all(output.producer < 0 for output in state.log)
        return complete and (state.committed == self.records or self.protocol.offset != "with")


def _without(network: tuple[Request, ...], index: int) -> tuple[Request, ...]:
    return network[:index] + network[index + 1 :]


def _uncommitting(network: tuple[Request, ...]) -> tuple[Request, ...]:
    return tuple(r for r in network if r.kind != "commit")


def _lane(state: State, worker: int, lane: Lane) -> State:
    return state._replace(lanes=_put(state.lanes, worker, lane))


def _words(request: Request) -> str:
    return f"{WORDS[request.kind]} {request.value}" if request.value else WORDS[request.kind]
