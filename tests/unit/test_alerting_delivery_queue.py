"""The queue of one sink: who is tried next and when, after failures, refusals, silences."""

from __future__ import annotations

from typing import Any

import pytest

from alert_world import alert
from veilstream.alerting.delivery_board import Board, Place
from veilstream.alerting.delivery_queue import SinkQueue
from veilstream.alerting.delivery_told import Action, Told, pause_seconds
from veilstream.alerting.silences import Silence, load_inhibitions, parse_matchers

TOPIC = "budget.alerts"
NOW = 1_800_000_000.0


class Desk:
    """A queue with its board; `put` is the topic."""

    def __init__(self, told: dict[str, Told] | None = None, **options: Any) -> None:
        self.board = Board(())
        self.queue = SinkQueue(told or {}, {TOPIC: 0}, self.board, **options)
        self.offset = 0

    def put(self, *records: dict[str, Any] | Silence) -> None:
        for record in records:
            place = Place(TOPIC, self.offset)
            self.offset += 1
            if isinstance(record, Silence):
                self.board.see_silence(record, place)
                self.queue.skip(place)
            else:
                self.board.see_alert(record, place)
                self.queue.offer(record, place)

    def next(self, now: float) -> tuple[int, str] | None:
        action = self.queue.next(now)
        return None if action is None else (int(action.mark, 16), action.alert["state"])

    def act(self, now: float) -> Action:
        action = self.queue.next(now)
        assert action is not None
        self.queue.intend(action)
        return action

    def take(self, now: float) -> tuple[int, str]:
        action = self.act(now)
        self.queue.succeeded(action, now)
        return int(action.mark, 16), action.alert["state"]

    def fail(self, now: float, **how: Any) -> int:
        action = self.act(now)
        self.queue.failed(action, now, **how)
        return int(action.mark, 16)


def silence(seconds: float, name: str = "s-1", starts: float = NOW) -> Silence:
    return Silence(name, parse_matchers(["budget=*"]), starts, starts + seconds, "me", "why")


def test_pauses_grow_to_a_minute_and_no_further_and_are_spread() -> None:
    assert [pause_seconds(n) for n in (1, 2, 3, 6, 7, 8, 10**6)] == [1.0, 2.0, 4.0, 32.0, 60.0, 60.0, 60.0]
    assert [pause_seconds(3, jitter) for jitter in (0.0, 0.5, 1.0)] == [2.0, 3.0, 4.0]


def test_after_a_failure_the_sink_is_left_alone_and_the_same_alert_tried_again() -> None:
    desk = Desk()
    desk.put(alert(1), alert(2))
    assert desk.fail(NOW) == 1
    assert desk.next(NOW + 0.999) is None
    assert desk.queue.wait_seconds(NOW + 0.25) == pytest.approx(0.75)
    assert desk.fail(NOW + 1.0) == 1
    assert desk.next(NOW + 2.999) is None
    assert desk.take(NOW + 3.0) == (1, "firing")
    assert desk.take(NOW + 3.0) == (2, "firing")
    assert desk.queue.committed() == {TOPIC: 2}


def test_the_wait_that_a_receiver_asks_for_is_kept_but_none_shorter_than_ours() -> None:
    desk = Desk()
    desk.put(alert(1))
    desk.fail(NOW, after=17.0)
    assert desk.next(NOW + 16.9) is None
    assert desk.fail(NOW + 17.0, after=0.0) == 1
    assert desk.next(NOW + 18.9) is None
    assert desk.next(NOW + 19.0) == (1, "firing")


def test_an_alert_that_a_receiver_chokes_on_delays_the_others_for_seconds_and_is_never_dropped() -> None:
    desk = Desk()
    desk.put(alert(1), *(alert(number) for number in range(2, 8)))
    now, tries = NOW, 0
    taken: list[int] = []
    while len(taken) < 6:
        action = desk.queue.next(now)
        if action is None:
            now += 0.5
            continue
        desk.queue.intend(action)
        if action.mark == f"{1:032x}":
            tries += 1
            desk.queue.failed(action, now)
        else:
            desk.queue.succeeded(action, now)
            taken.append(int(action.mark, 16))
    assert taken == [2, 3, 4, 5, 6, 7]
    assert now - NOW <= 8.0
    assert tries == 3
    # It is tried for ever, once a minute in the end, and holds the place on the topic.
    for _ in range(20):
        now += 61.0
        assert desk.fail(now) == 1
    assert desk.queue.committed() == {TOPIC: 0}
    assert desk.take(now + 61.0) == (1, "firing")
    assert desk.queue.committed() == {TOPIC: 7}


def test_a_lane_keeps_its_order_also_behind_others() -> None:
    desk = Desk()
    desk.put(alert(1), alert(1, "resolved"), alert(2))
    now = NOW
    for _ in range(3):
        assert desk.fail(now) == 1
        now += 61
    assert desk.take(now) == (2, "firing")
    assert desk.take(now) == (1, "firing")
    assert desk.take(now) == (1, "resolved")


def test_a_refused_alert_is_given_up_with_its_end_and_shown_while_it_fires() -> None:
    desk = Desk()
    desk.put(alert(1), alert(2))
    told = desk.queue.refused(desk.act(NOW), NOW)
    assert told is not None
    assert (told.outcome, desk.queue.given_up) == ("refused", 1)
    assert desk.take(NOW) == (2, "firing"), "the sink lives: nobody waits"
    desk.put(alert(1, "resolved"))
    assert desk.next(NOW) is None
    assert (desk.queue.given_up, desk.queue.outcomes) == (0, ["untold"])
    assert desk.queue.ended() == [f"{1:032x}"]


def test_an_alert_that_is_refused_is_tried_once_more_after_a_restart() -> None:
    """The setting may have been put right."""
    place = Place(TOPIC, 0)
    board = Board(())
    board.see_alert(alert(1), place)
    refused = {f"{1:032x}": Told("firing", "refused", place, None)}
    queue = SinkQueue(refused, {TOPIC: 1}, board)
    action = queue.next(NOW)
    assert action is not None
    assert (action.kind, action.mark) == ("held", f"{1:032x}")


def test_what_is_silenced_is_told_at_the_end_to_the_second_and_not_before() -> None:
    desk = Desk()
    desk.put(silence(60.0), alert(1), alert(2), alert(2, "resolved"))
    assert desk.next(NOW) is None
    assert desk.queue.outcomes == ["silenced", "silenced", "untold"]
    assert desk.queue.committed() == {TOPIC: 4}, "a silence does not hold the place"
    assert desk.queue.wait_seconds(NOW + 15) == pytest.approx(45.0)
    assert desk.next(NOW + 59.999) is None
    assert desk.take(NOW + 60.0) == (1, "firing")
    assert desk.next(NOW + 61.0) is None
    assert desk.queue.held == 0


def test_a_silence_is_ended_early_or_taken_away_by_a_record() -> None:
    for ending in ("expired", "tombstone"):
        desk = Desk()
        desk.put(silence(600.0), alert(1))
        assert desk.next(NOW) is None
        if ending == "expired":
            desk.put(silence(5.0))
        else:
            desk.board.see_tombstone("silence/s-1", Place(TOPIC, desk.offset))
        assert desk.next(NOW + 10) == (1, "firing")


def test_the_end_of_what_was_told_is_told_although_it_is_silenced() -> None:
    desk = Desk()
    desk.put(alert(1))
    desk.take(NOW)
    desk.put(silence(600.0), alert(1, "resolved"))
    assert desk.take(NOW) == (1, "resolved")


def test_a_held_alert_that_fails_is_tried_again() -> None:
    desk = Desk()
    desk.put(silence(60.0), alert(1), alert(2))
    assert desk.next(NOW) is None
    assert desk.fail(NOW + 60) == 1
    assert desk.take(NOW + 62) in ((1, "firing"), (2, "firing"))
    assert desk.take(NOW + 62) in ((1, "firing"), (2, "firing"))
    assert desk.next(NOW + 200) is None


@pytest.mark.parametrize(("seq", "told"), [(1, [1, 2]), (2, [2])])
def test_only_a_worse_alert_of_the_same_or_an_earlier_event_inhibits(seq: int, told: list[int]) -> None:
    """However far a sink has read ahead: an alert that was first is told first."""
    board = Board(load_inhibitions(None))
    queue = SinkQueue({}, {TOPIC: 0}, board)
    for offset, one in enumerate([alert(1, seq=seq), alert(2, seq=2, severity="critical")]):
        board.see_alert(one, Place(TOPIC, offset))
        queue.offer(one, Place(TOPIC, offset))
    heard = []
    while (action := queue.next(NOW)) is not None:
        queue.succeeded(action, NOW)
        heard.append(int(action.mark, 16))
    assert heard == told


def test_a_tombstone_ends_the_telling() -> None:
    desk = Desk(resend_seconds=60.0)
    desk.put(alert(1), silence(60.0), alert(2, budget="other"))
    desk.queue.succeeded(desk.act(NOW - 1), NOW - 1)
    assert desk.next(NOW) is None
    for mark in (f"{1:032x}", f"{2:032x}"):
        desk.board.see_tombstone(mark, Place(TOPIC, 10))
        desk.queue.forget(mark)
    assert desk.next(NOW + 3600) is None


def test_a_sink_that_forgets_is_told_again_oldest_first_and_only_while_it_fires() -> None:
    desk = Desk(resend_seconds=60.0)
    desk.put(alert(1), alert(2))
    desk.take(NOW)
    desk.take(NOW + 10)
    assert desk.next(NOW + 59) is None
    assert desk.queue.wait_seconds(NOW + 59) == pytest.approx(1.0)
    assert desk.take(NOW + 60) == (1, "firing")
    assert desk.next(NOW + 69) is None
    assert desk.take(NOW + 70) == (2, "firing")
    desk.put(alert(1, "resolved"))
    assert desk.take(NOW + 71) == (1, "resolved")
    assert desk.take(NOW + 130) == (2, "firing")
    assert desk.next(NOW + 180) is None


def test_a_clock_that_jumps_back_makes_nothing_wait_an_hour() -> None:
    desk = Desk(resend_seconds=60.0)
    desk.put(alert(1), alert(2))
    desk.take(NOW)
    desk.fail(NOW)
    assert desk.next(NOW - 3600) is None
    assert desk.next(NOW - 3599) == (2, "firing")
    assert desk.take(NOW - 3599) == (2, "firing")
    assert desk.take(NOW - 3540) == (1, "firing"), "and is told again in time"


def test_a_failure_in_doubt_has_its_end_told_and_a_sure_one_not() -> None:
    """A timeout may have been heard. What was refused a connection was not."""
    for unsure, heard in ((True, (1, "resolved")), (False, None)):
        desk = Desk()
        desk.put(alert(1))
        desk.fail(NOW, unsure=unsure)
        desk.put(silence(600.0), alert(1, "resolved"))
        assert desk.next(NOW + 5) == heard
        if heard is None:
            assert desk.queue.told == {}, "that it was tried is taken back"


def test_what_was_noted_is_passed_over_when_it_is_read_again() -> None:
    """Killed after the note and before the commit."""
    told = {f"{1:032x}": Told("resolved", "delivered", Place(TOPIC, 2), None)}
    desk = Desk(told)
    desk.put(alert(1), alert(2), alert(1, "resolved"), alert(1))
    assert desk.take(NOW) == (2, "firing")
    assert desk.take(NOW) == (1, "firing")
    assert desk.next(NOW) is None
    assert desk.queue.outcomes == ["repeated", "repeated"]


def test_a_thousand_alerts_cost_a_thousand_steps() -> None:
    """Not a million: the next one is found without looking at the others."""
    import time

    desk = Desk()
    desk.put(*(alert(number) for number in range(1, 20_001)))
    began = time.process_time()
    while desk.queue.next(NOW) is not None:
        desk.take(NOW)
        desk.queue.committed()
    assert time.process_time() - began < 2.0, "a second at most; quadratic would be minutes"


def test_an_attempt_that_may_have_been_heard_is_not_taken_back_by_a_later_one_that_was_not() -> None:
    """A time-out, then a refused connection, then a silence: else it would stay open there for ever."""
    desk = Desk()
    desk.put(alert(1))
    desk.fail(NOW, unsure=True)
    desk.fail(NOW + 100.0)
    desk.put(silence(3600.0), alert(1, "resolved"))
    assert desk.next(NOW + 1000.0) == (1, "resolved")
