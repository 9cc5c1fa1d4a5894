"""The Faust app that protects: the raw topic's partitions, each with a lane.

Faust has the app, the consumer group and the rebalances; `driver` says what of it is replaced, `flow` and
`lane` what replaces it. Names are given, since Faust derives them from module paths.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.types.tuples import TP

from veilstream.events.topics import topic_name
from veilstream.processors.delivery import Acknowledged, Delivery, Transactional
from veilstream.processors.driver import App, LaneSource, credentials
from veilstream.processors.flow import Flow
from veilstream.processors.lane import Hooks
from veilstream.processors.work import Work
from veilstream.settings import Settings
from veilstream.transport import TopicIdentity

__all__ = ["APP", "RoleHooks", "make_app"]

APP = "veilstream-protect"
"""Name of the app and, with the topics' prefix, of its consumer group."""

_HEARTBEAT_SECONDS = 3.0


class RoleHooks(Hooks, Protocol):
    """What the role wants to hear of, beside the lanes' hooks."""

    def waiting(self) -> None: ...
    def assigned(self, partitions: list[int]) -> None: ...


def make_app(settings: Settings, work: Work, hooks: RoleHooks) -> tuple[App, Flow]:
    """The app, ready for `finalize()` and `start()` inside a running loop, and the lanes that it feeds."""
    kafka, processor = settings.kafka, settings.processor
    session_seconds = processor.session_seconds
    heartbeat_seconds = min(_HEARTBEAT_SECONDS, session_seconds / 5)
    group, raw = f"{kafka.topic_prefix}{APP}", topic_name(kafka, "interactions.raw")
    app = App(
        group,
        broker=[f"kafka://{server.strip()}" for server in kafka.bootstrap.split(",")],
        broker_credentials=credentials(kafka),
        broker_client_id=APP,
        broker_commit_interval=0.5,
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=heartbeat_seconds,
        broker_rebalance_timeout=max(60.0, session_seconds),
        broker_request_timeout=max(kafka.request_timeout_seconds, session_seconds) + 60.0,
        consumer_group_instance_id=processor.instance,
        processing_guarantee="at_least_once",  # of Faust's own streams: the lanes have their own
        stream_wait_empty=True,  # asks the lanes to settle before partitions go
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        web_enabled=False,
        autodiscover=False,
    )
    app.kafka, app.committing = kafka, asyncio.Lock()
    app.topics.add(app.topic(raw, key_type=bytes, value_type=bytes))
    identity = TopicIdentity(kafka, raw)

    def delivery(partition: int) -> Delivery:
        if settings.exactly_once:
            return Transactional(kafka, group, TopicPartition(raw, partition))
        return Acknowledged(kafka)

    flow = Flow(
        work=work,
        hooks=hooks,
        source=lambda partition: LaneSource(app, identity, TopicPartition(raw, partition)),
        delivery=delivery,
        waiting=hooks.waiting,
        batch_records=processor.batch_records,
        linger_seconds=processor.batch_seconds,
        # Until then the group has told a process that was away whether the partition is still its own.
        fenced_seconds=2 * heartbeat_seconds,
    )

    def committable() -> dict[TopicPartition, OffsetAndMetadata]:
        if settings.exactly_once:
            return {}  # they are in the transactions
        return {
            TopicPartition(raw, partition): OffsetAndMetadata(offset, flow.incarnation_of(partition))
            for partition, offset in flow.next_offsets.items()
        }

    app.on_drain, app.committable = flow.drain, committable

    @app.on_partitions_revoked.connect(weak=False)
    async def revoked(sender: Any, partitions: set[TP], **_: Any) -> None:
        await flow.close()

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(sender: Any, partitions: set[TP], **_: Any) -> None:
        await flow.close()
        if app.should_stop:
            return  # it was asked to while the lanes closed
        numbers = sorted(tp.partition for tp in partitions)
        hooks.assigned(numbers)
        flow.assign(numbers)

    @app.on_before_shutdown.connect(weak=False)
    async def stopping(sender: Any, **_: Any) -> None:
        await flow.close()
        await identity.close()

    return app, flow
