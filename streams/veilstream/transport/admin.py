"""Creates the topic catalogue on a broker and checks it.

What the guarantee rests on must be so, or nothing starts: the number of partitions (order, and a person's
records in one place), the cleanup policy, broker append time where windows are sealed by it, room for the
largest record, and that what is kept for ever is. The rest (retention of what is deleted anyway, replicas
that must have a record) is reported. A broker that does not tell its settings is believed, and said so.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from veilstream.errors import BrokerUnavailable, TopicMismatch
from veilstream.events.topics import TopicSpec, specs
from veilstream.settings import KafkaSettings
from veilstream.telemetry.logs import emit
from veilstream.transport.connecting import connected, partition_counts
from veilstream.transport.errors import broker_errors

__all__ = ["TopicReport", "ensure_topics", "problems"]


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What `ensure_topics` found: names of topics, and sentences for what could not be held or checked."""

    created: tuple[str, ...]
    verified: tuple[str, ...]
    warnings: tuple[str, ...]


async def ensure_topics(kafka: KafkaSettings, *, create: bool = True) -> TopicReport:
    """Create what is missing of the catalogue, verify all of it. Running it again changes nothing.

    Two processes may do it at once. Nothing that exists is altered: a difference is an error or a warning.

    Raises:
        TopicMismatch: a topic is missing (without `create`), or breaks what the guarantee rests on; names
            each topic and setting, what it has and what it needs.
        BrokerUnavailable: no broker, or it refuses us.
    """
    wanted = {spec.name: spec for spec in specs(kafka)}
    async with connected(kafka) as client:
        with broker_errors():
            there = await partition_counts(client, wanted)
            missing = [spec for name, spec in wanted.items() if name not in there]
            created: list[str] = []
            if missing and create:
                created = await _create(client, missing, kafka.request_timeout_seconds)
            elif missing:
                raise TopicMismatch(
                    "topics are missing: " + ", ".join(spec.name for spec in missing),
                    hint="create them with `veilstream topics create`",
                )
            there = await _wait_for(client, wanted, kafka.request_timeout_seconds)
            configs = await _describe(client, list(wanted))
    fatal: list[str] = []
    warnings: list[str] = []
    unreported: dict[str, int] = {}
    for spec in wanted.values():
        broken, doubtful, silent = problems(spec, there[spec.name], configs.get(spec.name, {}))
        fatal += broken
        warnings += doubtful
        for key in silent:
            unreported[key] = unreported.get(key, 0) + 1
    if fatal:
        raise TopicMismatch(
            "; ".join(fatal),
            hint="alter the topic, or use another kafka.topic_prefix: veilstream alters none",
        )
    if unreported:
        names = ", ".join(f"{key} of {count} topics" for key, count in sorted(unreported.items()))
        warnings.append(f"the broker does not report {names}: not verified")
    if not kafka.idempotence:
        # Tansu repeats every setting it was given and acts on none: nothing but its kind gives it away.
        warnings.append(
            "kafka.idempotence is off, as for a broker of the Tansu kind: whether it stamps append times,"
            " deletes and compacts was not verified"
        )
    emit("topics_ready", created=len(created), verified=len(wanted))
    return TopicReport(tuple(created), tuple(wanted), tuple(warnings))


def problems(
    spec: TopicSpec, partitions: int, configs: dict[str, str | None]
) -> tuple[list[str], list[str], list[str]]:
    """Compare a topic with its specification: what breaks the guarantee, what differs, what is not told."""
    broken: list[str] = []
    doubtful: list[str] = []
    silent: list[str] = []
    if partitions != spec.partitions:
        broken.append(f"{spec.name}: {partitions} partitions, {spec.partitions} are needed")
    for key, needed in spec.configs.items():
        has = configs.get(key)
        if has is None:
            silent.append(key)
        elif not _holds(key, has, needed):
            sentence = f"{spec.name}: {key} is {has}, {needed} is needed"
            (broken if _essential(key, needed) else doubtful).append(sentence)
    return broken, doubtful, silent


def _holds(key: str, has: str, needed: str) -> bool:
    match key:
        case "cleanup.policy":
            return set(has.replace(" ", "").split(",")) == set(needed.split(","))
        case "max.message.bytes" | "min.insync.replicas":
            return int(has) >= int(needed)
        case "max.compaction.lag.ms":
            return int(has) <= int(needed)
        case _:
            return has == needed


def _essential(key: str, needed: str) -> bool:
    kept_for_ever = key in ("retention.ms", "retention.bytes") and needed == "-1"
    return kept_for_ever or key in (
        "cleanup.policy",
        "message.timestamp.type",
        "max.message.bytes",
        "max.compaction.lag.ms",  # how long a shredded person's key may stay on disk
    )


async def _create(client: AIOKafkaClient, missing: list[TopicSpec], timeout_seconds: float) -> list[str]:
    request = CreateTopicsRequest(
        create_topic_requests=[
            (spec.name, spec.partitions, spec.replication_factor, [], list(spec.configs.items()))
            for spec in missing
        ],
        timeout=int(timeout_seconds * 1000),
        validate_only=False,
    )
    answer: Any = await client.send(_controller(client), request)
    created = []
    for name, code, *_message in answer.topic_errors:
        error = for_code(code)
        if error is NoError:
            created.append(name)
        elif (
            error is not TopicAlreadyExistsError
        ):  # another process was quicker: it is verified like the rest
            raise BrokerUnavailable(
                f"Kafka did not create topic {name} ({error.__name__})",
                hint="check kafka.replication_factor, kafka.min_insync_replicas and the broker's ACLs",
            )
    return created


def _controller(client: AIOKafkaClient) -> Any:
    controller = client.cluster.controller
    return controller.nodeId if controller is not None else client.get_random_node()


async def _wait_for(
    client: AIOKafkaClient, wanted: dict[str, TopicSpec], timeout_seconds: float
) -> dict[str, int]:
    """Until every topic has its leaders: creation is acknowledged before all brokers know of it."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        there = await partition_counts(client, wanted, led=True)
        absent = [name for name in wanted if name not in there]
        if not absent:
            return there
        if time.monotonic() > deadline:
            raise BrokerUnavailable(
                "Kafka has no leader for " + ", ".join(absent),
                hint="see that every broker of the cluster runs",
            )
        await asyncio.sleep(0.05)


async def _describe(client: AIOKafkaClient, topics: list[str]) -> dict[str, dict[str, str | None]]:
    """The settings of each topic, as far as the broker tells."""
    request = DescribeConfigsRequest([(ConfigResourceType.TOPIC, name, None) for name in topics], False)
    try:
        answer: Any = await client.send(client.get_random_node(), request)
    except (IncompatibleBrokerVersion, NotImplementedError):
        return {}
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for code, _message, _type, name, entries in answer.resources
        if code == 0
    }
