"""What may be committed, what is light to import, and what the Faust app is set to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipelines import pipeline_of
from veilstream.processors.driver import App, _Consumer, credentials
from veilstream.processors.flow import Flow
from veilstream.processors.pipeline import Outcome
from veilstream.processors.protect import make_app
from veilstream.settings import KafkaSettings, Settings


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_the_users_cluster_is_reached_with_its_credentials(mechanism: str) -> None:
    assert credentials(KafkaSettings.model_validate({})) is None
    secure = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_username": "veil",
        "sasl_password": "p",
    }
    found = credentials(KafkaSettings.model_validate(secure))
    assert (found.protocol.value, found.mechanism.value, found.username) == ("SASL_SSL", mechanism, "veil")
    assert found.ssl_context is not None
    plain = credentials(KafkaSettings.model_validate({**secure, "security_protocol": "SASL_PLAINTEXT"}))
    assert plain.ssl_context is None
    tls = credentials(KafkaSettings.model_validate({"security_protocol": "SSL"}))
    assert tls.protocol.value == "SSL"


class Nobody:
    def opened(self, partition: int) -> None: ...
    def delivered(self, partition: int, outcomes: Sequence[Outcome], seconds: float) -> None: ...
    def failed(self, partition: int, error: BaseException, records: int) -> None: ...
    def waiting(self) -> None: ...
    def assigned(self, partitions: list[int]) -> None: ...


def app_and_flow() -> tuple[App, Flow]:
    settings = Settings.model_validate(
        {"kafka": {"bootstrap": "127.0.0.1:1,127.0.0.1:2"}, "processor": {"instance": "one"}}
    )
    app, flow = make_app(settings, pipeline_of("acme")[1], Nobody())
    app.finalize()
    return app, flow


async def test_the_app_has_the_settings_that_held() -> None:
    app, flow = app_and_flow()
    conf = app.conf
    assert conf.id == "veil.veilstream-protect"
    assert [url.port for url in conf.broker] == [1, 2]
    assert conf.broker_commit_interval == 0.5
    assert conf.stream_wait_empty
    assert conf.topic_disable_leader
    assert not conf.topic_allow_declare
    assert not conf.web_enabled
    assert str(conf.processing_guarantee.value) == "at_least_once"
    assert conf.consumer_group_instance_id == "one"
    assert 6 <= conf.broker_session_timeout < conf.broker_request_timeout
    assert [topic.get_topic_name() for topic in app.topics] == ["veil.interactions.raw"]
    assert app.committable() == flow.next_offsets == {}


async def test_a_processor_that_fetches_nothing_stays_in_the_group() -> None:
    app, _ = app_and_flow()
    thread = app.consumer._new_consumer_thread()
    made = thread._create_worker_consumer(app.transport)
    # aiokafka leaves after this time without a fetch and does not come back: a spare would never take over.
    assert made._max_poll_interval_ms > 1000 * 86_400 * 20
    assert made._isolation_level == "read_committed"
    await made.stop()


@pytest.mark.parametrize("error", [GroupAuthorizationFailedError(), CommitFailedError(), TimeoutError()])
async def test_a_commit_that_is_refused_is_tried_again_later(error: Exception) -> None:
    async def refused(call: Any) -> None:
        raise error

    offsets = {TopicPartition("raw", 0): OffsetAndMetadata(1, "one")}
    owner = SimpleNamespace(
        committable=lambda: offsets, kafka=KafkaSettings.model_validate({}), committing=asyncio.Lock()
    )
    half: Any = SimpleNamespace(app=owner, run=refused)
    assert await _Consumer.commit(half) is False


def test_the_processor_loads_no_training_stack_and_the_room_itself_no_faust() -> None:
    heavy = ("torch", "transformers", "opacus")
    script = f"""
import sys
import veilstream.processors.quarantine, veilstream.processors.pipeline
print([name for name in {(*heavy, "faust", "presidio_analyzer", "redis")!r} if name in sys.modules])
import veilstream.processors.run, veilstream.processors.protect
from veilstream.detection import PatternEngine
PatternEngine()
print([name for name in {heavy!r} if name in sys.modules], "faust" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[] True"]
