"""Where settings come from, and what is said when one is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from veilstream.errors import SettingInvalid
from veilstream.settings import KafkaSettings, kafka_options, load_settings


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_need_no_file() -> None:
    assert load_settings().kafka.topic_prefix == "veil."


def test_environment_beats_file_beats_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / ".veilstream"
    data.mkdir()
    (data / "endpoints.toml").write_text(
        '[kafka]\nbootstrap = "one:1"\npartitions = 2\nreplication_factor = 2\n'
    )
    (tmp_path / "veilstream.toml").write_text("[kafka]\npartitions = 3\nreplication_factor = 3\n")
    monkeypatch.setenv("VEILSTREAM_KAFKA__REPLICATION_FACTOR", "4")
    kafka = load_settings().kafka
    assert (kafka.bootstrap, kafka.partitions, kafka.replication_factor) == ("one:1", 3, 4)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VEILSTREAM_KAFKA__PARTITIONS", "none", ("kafka.partitions", "'none'", "integer")),
        ("VEILSTREAM_KAFKA__PARTITIONS", "0", ("kafka.partitions", "'0'", "greater than or equal to 1")),
        ("VEILSTREAM_WORKER__SAMPLING_RATE", "1.5", ("worker.sampling_rate", "less than or equal to 1")),
        ("VEILSTREAM_KAFKA__COLOUR", "red", ("kafka.colour", "no such setting")),
        ("VEILSTREAM_CONFIG", "nowhere.toml", ("VEILSTREAM_CONFIG", "not there")),
    ],
)
def test_wrong_setting_says_which_what_and_why(
    name: str, value: str, said: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingInvalid) as caught:
        load_settings()
    assert all(words in str(caught.value) for words in said), str(caught.value)


def test_broken_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "veilstream.toml").write_text("[kafka\n")
    with pytest.raises(SettingInvalid, match="not TOML"):
        load_settings()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEILSTREAM_KAFKA__SASL_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("VEILSTREAM_KAFKA__SASL_PASSWORD", '{"a": "hunter2"}')
    monkeypatch.setenv("VEILSTREAM_STORE", '{"url": ["hunter2"]}')
    with pytest.raises(SettingInvalid) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_command_line_exits_2_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "veilstream.toml").write_text("[kafka]\npartitions = -1\n")
    done = subprocess.run(
        [sys.executable, "-m", "veilstream.cli", "topics", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("veilstream: kafka.partitions: got -1")
    assert len(done.stderr.splitlines()) == 1


def test_sasl_and_tls_reach_the_client() -> None:
    options = kafka_options(
        KafkaSettings(
            security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="u", sasl_password="p"
        )
    )
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_password"] == "p"
    assert options["ssl_context"].verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize("name", ["VEILSTREAM_KAFKA_BOOTSTRAP", "VEILSTREAM_FOO", "VEILSTREAM_FOO__BAR"])
def test_a_variable_that_is_no_setting_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingInvalid, match=rf"{name}: no such setting"):
        load_settings()


@pytest.mark.parametrize("url", ["foo", "http://127.0.0.1:6379", "hunter2"])
def test_a_store_that_is_no_store_is_refused_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEILSTREAM_STORE__URL", url)
    with pytest.raises(SettingInvalid, match=r"store\.url") as caught:
        load_settings()
    assert "redis://host:port" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_compose_and_tests_use_is_no_setting_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEILSTREAM_STORE_PASSWORD", "x")
    monkeypatch.setenv("VEILSTREAM_DATA", "../shared/data")
    load_settings()
