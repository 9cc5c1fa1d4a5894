"""Laws of delivery to one sink, over any sequence of alerts, silences, failures, kills and restarts.

The world below is the shell's order of things around the pure queue: tell, note, commit; a kill may fall
between any two. With it:

* of one fingerprint a sink hears firing, resolved, firing, resolved …, whatever happens;
* without a kill nothing is told twice, and without silences nothing is lost: exactly the changes of state;
* nothing is told to fire while it is silenced or inhibited;
* in the end, when the sink lives and nothing holds back, it believes what the topic says.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alert_world import alert
from veilstream.alerting.delivery_board import Board, Place
from veilstream.alerting.delivery_queue import SinkQueue
from veilstream.alerting.delivery_told import Told
from veilstream.alerting.silences import Silence, load_inhibitions, parse_matchers

TOPIC = "budget.alerts"
RULES = load_inhibitions(None)


class World:
    """A topic, a log of what was told, a committed place, and a sink. `kill` says where the process dies."""

    def __init__(self) -> None:
        self.topic: list[dict[str, Any] | Silence] = []
        self.notes: dict[str, Told] = {}
        self.place: int | None = None
        self.heard: list[tuple[int, str]] = []
        self.healthy = True
        self.now = 1_800_000_000.0
        self.read = 0
        self.start()

    def start(self) -> None:
        """A process begins: everything that it knows is from the topics."""
        self.board = Board(RULES)
        for offset, record in enumerate(self.topic):
            self._see(record, Place(TOPIC, offset))
        if self.place is None:
            self.place = len(self.topic)
        self.queue = SinkQueue(self.notes, {TOPIC: self.place}, self.board)
        self.read = self.place

    def run(self, kill: str | None = None) -> None:
        """Read what is there and tell what may be told; die at the first chance if `kill` says so."""
        for offset in range(self.read, len(self.topic)):
            record, place = self.topic[offset], Place(TOPIC, offset)
            self._see(record, place)
            if isinstance(record, Silence):
                self.queue.skip(place)
            else:
                self.queue.offer(record, place)
        self.read = len(self.topic)
        while (action := self.queue.next(self.now)) is not None:
            intended = self.queue.intend(action)
            if intended is not None:
                self.notes[action.mark] = intended
            if not self.healthy:
                self.queue.failed(action, self.now)
                self._note(action.mark)
                continue
            if action.alert["state"] == "firing":
                assert self.board.verdict(action.alert, self.now, action.place) is None
            self.heard.append((int(action.mark, 16), action.alert["state"]))
            if kill == "before the note":
                return self.start()
            self.queue.succeeded(action, self.now)
            self._note(action.mark)
            if kill == "before the commit":
                return self.start()
        self.place = self.queue.committed()[TOPIC]
        if kill == "before forgetting":
            return self.start()
        for mark in self.queue.ended():
            self.notes.pop(mark, None)
        return None

    def _note(self, mark: str) -> None:
        told = self.queue.told.get(mark)
        if told is None:
            self.notes.pop(mark, None)
        else:
            self.notes[mark] = told

    def _see(self, record: dict[str, Any] | Silence, place: Place) -> None:
        if isinstance(record, Silence):
            self.board.see_silence(record, place)
        else:
            self.board.see_alert(record, place)

    def settle(self) -> None:
        """The sink lives, silences are over: time passes until nothing is left to do."""
        self.healthy = True
        quiet = 0
        while quiet < 2:
            before = len(self.heard)
            self.now += 100_000.0
            self.run()
            quiet = quiet + 1 if len(self.heard) == before else 0
        assert self.queue.waiting == 0
        assert self.place == len(self.topic)

    def last(self) -> dict[int, str]:
        alerts = [one for one in self.topic if not isinstance(one, Silence)]
        return {int(one["fingerprint"], 16): one["state"] for one in alerts}


MARKS = st.integers(1, 4)
SEVERITY = {1: "critical", 2: "warning", 3: "info", 4: "warning"}


def make(mark: int, state: str) -> dict[str, Any]:
    """1, 2 and 3 are of one rule and budget, so 1 inhibits 2 and 3, and 2 inhibits 3; 4 is alone."""
    return alert(mark, state, seq=1, severity=SEVERITY[mark], budget="other" if mark == 4 else "acme/demo")


ALERTS = st.tuples(st.just("alert"), MARKS, st.sampled_from(["firing", "resolved"]))
SILENCES = st.tuples(
    st.just("silence"), st.sampled_from(["*", "acme/*", "other"]), st.floats(0, 500), st.floats(1, 500)
)
CALM = st.one_of(
    ALERTS,
    st.tuples(st.just("health"), st.booleans()),
    st.tuples(st.just("time"), st.floats(0.1, 200)),
    st.tuples(st.just("run"), st.none()),
    st.tuples(st.just("restart")),
)
KILLS = st.tuples(
    st.just("run"), st.sampled_from(["before the note", "before the commit", "before forgetting"])
)


def play(world: World, story: list[Any]) -> None:
    for number, (what, *details) in enumerate(story):
        match what:
            case "alert":
                world.topic.append(make(*details))
            case "silence":
                glob, begins, lasts = details
                starts = world.now + begins
                matcher = parse_matchers([f"budget={glob}"])
                world.topic.append(Silence(f"s-{number}", matcher, starts, starts + lasts, "me", "why"))
            case "health":
                world.healthy = details[0]
            case "time":
                world.now += details[0]
            case "run":
                world.run(details[0])
            case "restart":
                world.start()


def changes(states: list[str]) -> list[str]:
    """What is to be heard of states that were published: the changes, from a first firing on."""
    heard = [state for state, _ in groupby(states)]
    return heard[1:] if heard[:1] == ["resolved"] else heard


@settings(max_examples=200, deadline=None)
@given(st.lists(CALM, max_size=40))
def test_without_kills_and_silences_exactly_the_changes_are_heard(story: list[Any]) -> None:
    world = World()
    play(world, story)
    world.settle()
    lonely = [one["state"] for one in world.topic if not isinstance(one, Silence) and one["seq"] == 1
              and one["fingerprint"] == f"{4:032x}"]  # fmt: skip
    assert [state for mark, state in world.heard if mark == 4] == changes(lonely)
    for mark in (1, 2, 3):
        heard = [state for other, state in world.heard if other == mark]
        assert heard == changes(heard), "inhibited or not, it alternates"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(CALM, SILENCES, KILLS), max_size=50))
def test_whatever_happens_it_alternates_and_ends_as_the_topic_says(story: list[Any]) -> None:
    world = World()
    play(world, story)
    world.settle()
    told = {mark: [state for other, state in world.heard if other == mark] for mark in SEVERITY}
    for states in told.values():
        # A kill before the note repeats what was told: told twice, never out of order.
        assert changes(states) == [state for state, _ in groupby(states)]
    last = world.last()
    held = {
        mark
        for mark, state in last.items()
        if state == "firing" and world.board.verdict(make(mark, "firing"), world.now) is not None
    }
    for mark, state in last.items():
        believed = (told[mark] or ["resolved"])[-1]
        assert believed == state or mark in held


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(CALM, SILENCES), max_size=50))
def test_without_a_kill_nothing_is_told_twice(story: list[Any]) -> None:
    world = World()
    play(world, story)
    world.settle()
    for mark in SEVERITY:
        states = [state for other, state in world.heard if other == mark]
        assert states == changes(states)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(CALM, SILENCES, KILLS), max_size=50), st.integers(0, 2))
def test_a_kill_repeats_at_most_what_was_under_way(story: list[Any], extra: int) -> None:
    world = World()
    play(world, story + [("run", None)] * extra)
    world.settle()
    repeats = sum(
        len(list(group)) - 1
        for mark in SEVERITY
        for _, group in groupby(state for other, state in world.heard if other == mark)
    )
    assert repeats <= sum(1 for what, *details in story if what == "run" and details == ["before the note"])
