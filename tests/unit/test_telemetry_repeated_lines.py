"""A library that says the same line hundreds of times a second is heard once; our own events always are."""

from __future__ import annotations

import logging

import pytest

from veilstream.telemetry.logs import _Seldom


def line(name: str, template: str, *arguments: object, created: float, number: int = 1) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.WARNING, "client.py", number, template, arguments, None)
    record.created = created
    return record


def test_the_same_line_is_shown_once_in_its_time() -> None:
    seldom = _Seldom(10.0)
    shown = [seldom.filter(line("aiokafka", "no node %s", n, created=1000.0 + n)) for n in range(25)]
    assert [n for n, each in enumerate(shown) if each] == [0, 10, 20]


def test_other_lines_and_other_loggers_are_not_held_back() -> None:
    seldom = _Seldom(10.0)
    assert seldom.filter(line("aiokafka", "no node %s", 1, created=1000.0))
    assert seldom.filter(line("aiokafka", "no answer from %s", 1, created=1000.0))
    assert seldom.filter(line("mode", "no node %s", 1, created=1000.0))
    # Without arguments the text may differ each time, so its place in the program stands for it.
    assert seldom.filter(line("aiokafka", "gone: 17", created=1000.0, number=2))
    assert not seldom.filter(line("aiokafka", "gone: 18", created=1000.0, number=2))


@pytest.mark.parametrize("count", [3, 50])
def test_our_events_are_always_shown(count: int) -> None:
    seldom = _Seldom(10.0)
    assert all(seldom.filter(line("veilstream.event", "role_started", created=1000.0)) for _ in range(count))
