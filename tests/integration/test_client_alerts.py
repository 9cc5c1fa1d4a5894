"""The subscriber against a real Kafka: what it delivers, where it goes on, how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from veilstream.client import Alert, AlertSubscriber, SyncAlertSubscriber
from veilstream.embedded.tansu import LocalTansu
from veilstream.errors import BrokerUnavailable, SettingInvalid, TopicMismatch
from veilstream.events import codec
from veilstream.events.cloudevents import Attributes
from veilstream.events.topics import topic_name
from veilstream.events.types import ALERT, ALERT_SILENCE
from veilstream.settings import KafkaSettings, Settings
from veilstream.transport import ensure_topics, producer


def settings_for(kafka: KafkaSettings) -> Settings:
    return Settings.model_validate({"kafka": kafka})


def alert(
    number: int, *, tenant: str = "acme", severity: str = "warning", budget: str = "default"
) -> dict[str, Any]:
    value = {
        "fingerprint": f"f-{number}",
        "rule": "threshold",
        "severity": severity,
        "state": "firing",
        "tenant": tenant,
        "budget": budget,
        "seq": number,
        "time": "2026-11-24T07:00:00Z",
        "summary": "half is spent",
        "description": "half of the budget is spent",
        "runbook": "docs/operations.md#threshold",
        "epsilon": 3.0,
        "epsilon_spent": 1.5,
        "delta": 1e-5,
        "fraction": 0.5,
        "threshold": 0.5,
    }
    codec.check(ALERT, value)
    return value


async def publish(kafka: KafkaSettings, *alerts: dict[str, Any] | bytes | None) -> None:
    async with producer(kafka) as sender:
        for value in alerts:
            data = codec.dumps(value) if isinstance(value, dict) else value
            await sender.send_and_wait(
                topic_name(kafka, "budget.alerts"),
                data,
                key=b"fingerprint",
                headers=Attributes(ALERT, "test").to_headers(),
            )


async def take(count: int, subscriber: AlertSubscriber) -> list[Alert]:
    found = []
    async for item in subscriber:
        found.append(item)
        if len(found) == count:
            break
    return found


async def within(seconds: float, work: Any) -> Any:
    return await asyncio.wait_for(work, seconds)


async def test_alerts_come_from_the_beginning_and_filtered(kafka_fresh: KafkaSettings) -> None:
    await publish(
        kafka_fresh,
        alert(1),
        alert(2, tenant="other"),
        b"not json",
        None,
        alert(3, severity="critical"),
        alert(4),
    )
    settings = settings_for(kafka_fresh)
    everything = await within(15, take(4, AlertSubscriber(from_beginning=True, settings=settings)))
    assert [item.seq for item in everything] == [1, 2, 3, 4]
    assert everything[0] == Alert(**alert(1))
    mine = await within(15, take(3, AlertSubscriber(tenant="acme", from_beginning=True, settings=settings)))
    assert [item.seq for item in mine] == [1, 3, 4]
    severe = AlertSubscriber(severity="critical", from_beginning=True, settings=settings)
    assert [item.seq for item in await within(15, take(1, severe))] == [3]


async def test_several_tenants_severities_and_budgets_are_chosen(kafka_fresh: KafkaSettings) -> None:
    await publish(
        kafka_fresh,
        alert(1, severity="info", budget="acme"),
        alert(2, tenant="other", severity="critical", budget="other/x"),
        alert(3, tenant="third", budget="third"),
        alert(4, severity="critical", budget="acme/support/tool-choice"),
    )
    settings = settings_for(kafka_fresh)

    async def seqs(count: int, **choice: Any) -> list[int]:
        found = await within(
            15, take(count, AlertSubscriber(from_beginning=True, settings=settings, **choice))
        )
        return [item.seq for item in found]

    assert await seqs(3, tenant=["acme", "other"]) == [1, 2, 4]
    assert await seqs(3, min_severity="warning") == [2, 3, 4]
    assert await seqs(3, severity=("info", "critical")) == [1, 2, 4]
    assert await seqs(1, budget="acme/*") == [4]
    assert await seqs(2, budget=["acme", "acme/*"]) == [1, 4]
    assert await seqs(1, budget="acme/*", min_severity="critical", tenant="acme") == [4]


async def test_silences_and_alerts_of_a_later_version_are_passed_over(kafka_fresh: KafkaSettings) -> None:
    silence = {
        "id": "s-1",
        "matchers": {"budget": "*"},
        "starts": "2026-11-24T07:00:00Z",
        "ends": "2026-11-24T08:00:00Z",
        "by": "me",
        "comment": "why",
    }
    codec.check(ALERT_SILENCE, silence)
    async with producer(kafka_fresh) as sender:
        await sender.send_and_wait(
            topic_name(kafka_fresh, "budget.alerts"),
            codec.dumps(silence),
            key=b"silence/s-1",
            headers=Attributes(ALERT_SILENCE, "test").to_headers(),
        )
    known = {"value": 14.5, "limit": 14.4, "labels": {"team": "privacy"}}
    await publish(kafka_fresh, {**alert(1), "colour": "red"}, {**alert(2), **known})
    subscriber = AlertSubscriber(from_beginning=True, settings=settings_for(kafka_fresh))
    (found,) = await within(15, take(1, subscriber))
    assert (found.seq, found.value, found.limit, found.labels) == (2, 14.5, 14.4, {"team": "privacy"})
    assert found in {found}, "an alert can be put into a set"


async def test_a_new_group_begins_at_the_true_end_also_where_the_broker_tells_another(
    own_tansu: LocalTansu,
) -> None:
    """Tansu answers with the first offset of the last batch plus one: what is after it would come again."""
    kafka = KafkaSettings.model_validate(
        {"bootstrap": own_tansu.bootstrap, "idempotence": own_tansu.idempotence, "topic_prefix": "t."}
    )
    await ensure_topics(kafka)
    topic = topic_name(kafka, "budget.alerts")
    for group in (None, "pagers"):
        async with producer(kafka) as sender:
            batch = sender.create_batch()
            for number in range(1, 6):
                headers = Attributes(ALERT, "test").to_headers()
                batch.append(key=b"k", value=codec.dumps(alert(number)), timestamp=None, headers=headers)
            await sender.partitions_for(topic)
            await (await sender.send_batch(batch, topic, partition=0))
        async with AlertSubscriber(group=group, settings=settings_for(kafka)) as alerts:
            await publish(kafka, alert(6))
            assert [item.seq for item in await within(15, take(1, alerts))] == [6]


async def test_only_what_comes_after_the_start_is_delivered_by_default(kafka_fresh: KafkaSettings) -> None:
    await publish(kafka_fresh, alert(1))
    async with AlertSubscriber(settings=settings_for(kafka_fresh)) as alerts:
        await publish(kafka_fresh, alert(2))
        assert [item.seq for item in await within(15, take(1, alerts))] == [2]


async def test_a_group_goes_on_where_it_stopped(kafka_fresh: KafkaSettings) -> None:
    settings = settings_for(kafka_fresh)
    await publish(kafka_fresh, alert(1))
    async with AlertSubscriber(group="pagers", settings=settings):
        pass  # nothing taken, but the place is kept
    await publish(kafka_fresh, alert(2), alert(3))
    first = await within(20, take(1, AlertSubscriber(group="pagers", settings=settings)))
    assert [item.seq for item in first] == [2]
    await publish(kafka_fresh, alert(4))
    rest = await within(20, take(2, AlertSubscriber(group="pagers", settings=settings)))
    assert [item.seq for item in rest] == [3, 4]


async def test_closing_ends_a_loop_that_waits(kafka_fresh: KafkaSettings) -> None:
    subscriber = AlertSubscriber(settings=settings_for(kafka_fresh))
    await subscriber.start()
    loop = asyncio.create_task(take(1, subscriber))
    await asyncio.sleep(0.5)
    await within(10, subscriber.aclose())
    assert await within(10, loop) == []


async def test_leaving_the_loop_stops_the_consumer(kafka_fresh: KafkaSettings) -> None:
    await publish(kafka_fresh, alert(1))
    subscriber = AlertSubscriber(from_beginning=True, settings=settings_for(kafka_fresh))
    await within(15, take(1, subscriber))
    for _ in range(100):
        if subscriber._consumer is None:
            break
        await asyncio.sleep(0.05)
    assert subscriber._consumer is None
    assert [item.seq for item in await within(15, take(1, subscriber))] == [1]  # and it can be used again


def test_the_synchronous_form_delivers_and_closes(kafka_fresh: KafkaSettings) -> None:
    asyncio.run(publish(kafka_fresh, alert(1), alert(2)))
    subscriber = SyncAlertSubscriber(from_beginning=True, settings=settings_for(kafka_fresh))
    found = []
    for item in subscriber:
        found.append(item.seq)
        if len(found) == 2:
            break
    assert found == [1, 2]
    subscriber.close()
    with SyncAlertSubscriber(from_beginning=True, settings=settings_for(kafka_fresh)) as again:
        assert next(iter(again)).seq == 1


async def test_what_is_wrong_at_the_start_is_said_at_once(kafka_fresh: KafkaSettings) -> None:
    with pytest.raises(SettingInvalid, match="info, warning, critical"):
        AlertSubscriber(severity="loud", settings=settings_for(kafka_fresh))
    with pytest.raises(SettingInvalid, match="one of the two"):
        AlertSubscriber(severity="info", min_severity="info", settings=settings_for(kafka_fresh))
    with pytest.raises(SettingInvalid, match="tenant: got an empty choice"):
        AlertSubscriber(tenant=[], settings=settings_for(kafka_fresh))
    dead = kafka_fresh.model_copy(update={"bootstrap": "127.0.0.1:1"})
    with pytest.raises(BrokerUnavailable):
        await within(5, take(1, AlertSubscriber(settings=settings_for(dead))))
    away = kafka_fresh.model_copy(update={"topic_prefix": "nobody-made."})
    with pytest.raises(TopicMismatch):
        await within(5, take(1, AlertSubscriber(settings=settings_for(away))))
