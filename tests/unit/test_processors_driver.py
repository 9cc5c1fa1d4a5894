"""What may be committed, what is light to import, and what the Faust app is set to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from veilstream.detection import PatternEngine
from veilstream.keys import FileKeyProvider, PersonKeys
from veilstream.processors.driver import credentials
from veilstream.processors.pipeline import Outcome, Pipeline
from veilstream.processors.protect import make_app
from veilstream.protection import Protector, load_policy
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


class NoStore:
    async def get_or_create(self, proposals: dict[bytes, bytes]) -> dict[bytes, bytes]:
        return proposals


async def test_the_app_has_the_settings_that_held(tmp_path: Path) -> None:
    provider = FileKeyProvider(tmp_path)
    provider.ensure("acme")
    settings = Settings.model_validate(
        {"kafka": {"bootstrap": "127.0.0.1:1,127.0.0.1:2"}, "processor": {"instance": "one"}}
    )
    pipeline = Pipeline(
        protector=Protector(PatternEngine(), load_policy("strict")),
        provider=provider,
        people=PersonKeys(provider, NoStore()),
        topic="veil.interactions.raw",
        incarnation="abc",
        limit_bytes=1_000_000,
        quarantine_limit_bytes=4_000_000,
    )

    class Nobody:
        def opened(self, partition: int) -> None: ...
        def delivered(self, partition: int, outcomes: Sequence[Outcome], seconds: float) -> None: ...
        def failed(self, partition: int, error: BaseException, records: int) -> None: ...
        def waiting(self) -> None: ...
        def assigned(self, partitions: list[int]) -> None: ...

    app, flow = make_app(settings, pipeline, Nobody())
    app.finalize()
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
