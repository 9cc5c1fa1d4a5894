"""Alerts to the topics: in order, without waiting for each other, told only when the broker has them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alert_replay import Ledger, Replay, built_in
from veilstream.alerting.writing import AlertWriter
from veilstream.errors import RecordInvalid
from veilstream.events.codec import loads


class Broker:
    """Acknowledges when told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.answers: list[asyncio.Future[Any]] = []

    async def send(
        self, topic: str, value: bytes, key: bytes, *, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[Any]:
        assert ("ce_type", b"ai.veilstream.alert.v1") in headers
        self.sent.append((topic, value, key))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


def some_alerts() -> list[dict[str, Any]]:
    ledger, replay = Ledger(), Replay(built_in())
    replay.event(ledger.charge("acme", 0.96, at=0))
    return replay.alerts


def writer(broker: Broker) -> tuple[AlertWriter, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    return AlertWriter(broker, public="budget.alerts", operator="operator.signals", told=told.append), told


async def test_nobody_is_told_before_the_broker_has_it_and_then_in_order() -> None:
    broker, alerts = Broker(), some_alerts()
    out, told = writer(broker)
    for alert in alerts:
        await out.send(alert)  # returns although nothing was acknowledged
    assert [loads(value) for _, value, _ in broker.sent] == alerts
    assert [key.decode() for _, _, key in broker.sent] == [alert["fingerprint"] for alert in alerts]
    settling = asyncio.create_task(out.settle())
    for answer in reversed(broker.answers):
        await asyncio.sleep(0)
        assert told == []
        answer.set_result(None)
    await settling
    assert told == alerts
    await out.settle()
    assert told == alerts


async def test_after_a_failure_what_came_later_is_not_told_and_the_error_is_the_callers() -> None:
    broker, alerts = Broker(), some_alerts()
    out, told = writer(broker)
    for alert in alerts[:3]:
        await out.send(alert)
    broker.answers[0].set_result(None)
    broker.answers[1].set_exception(ConnectionError())
    broker.answers[2].set_result(None)
    with pytest.raises(ConnectionError):
        await out.settle()
    assert told == alerts[:1]


async def test_what_is_for_operators_goes_to_their_topic_and_nothing_else_does() -> None:
    broker, (first, second, *_) = Broker(), some_alerts()
    out, _ = writer(broker)
    await out.send({**first, "audience": "operator"})
    await out.send(second)
    await out.send({key: value for key, value in second.items() if key != "audience"})
    assert [topic for topic, _, _ in broker.sent] == ["operator.signals", "budget.alerts", "budget.alerts"]


async def test_an_alert_that_breaks_its_schema_is_not_written() -> None:
    broker, (first, *_) = Broker(), some_alerts()
    out, _ = writer(broker)
    with pytest.raises(RecordInvalid):
        await out.send({**first, "severity": "loud"})
    assert broker.sent == []
