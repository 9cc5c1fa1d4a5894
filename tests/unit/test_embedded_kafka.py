"""Getting Kafka: once, by whichever process comes first; where it cannot be had, what to do."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest

from veilstream.embedded import kafka as room
from veilstream.embedded.kafka import KAFKA_VERSION, LocalKafka, fetch_kafka, kafka_available
from veilstream.embedded.stack import Stack
from veilstream.embedded.tansu import LocalTansu
from veilstream.errors import BrokerUnavailable

MAVEN = f"""#!{sys.executable} -S
import pathlib, sys, time
calls = pathlib.Path(__file__).parent / "calls"
with calls.open("a") as file:
    file.write("x")
(target,) = [word.split("=", 1)[1] for word in sys.argv if word.startswith("-DoutputDirectory=")]
folder = pathlib.Path(target)
folder.mkdir()
(folder / "one.jar").write_text("1")
time.sleep(0.5)
(folder / "two.jar").write_text("2")
if (calls.parent / "fail").exists():
    print("no network")
    sys.exit(1)
"""


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an `mvn` that counts its calls and copies two jars, slowly."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mvn").write_text(MAVEN)
    (folder / "mvn").chmod(0o700)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_java", lambda: None)


def test_version_of_the_pom_and_of_the_code_are_one() -> None:
    text = files("veilstream.embedded").joinpath("kafka", "pom.xml").read_text()
    pom = ElementTree.fromstring(text)  # noqa: S314  # our own file
    (version,) = pom.iter("{http://maven.apache.org/POM/4.0.0}kafka.version")
    assert version.text == KAFKA_VERSION


def test_fetched_once_and_kept(maven: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    jars = fetch_kafka(cache)
    assert sorted(path.name for path in jars.iterdir()) == ["one.jar", "two.jar"]
    assert fetch_kafka(cache) == jars
    assert (maven / "calls").read_text() == "x"
    assert not list(cache.glob("kafka-fetch-*"))


def test_two_processes_at_once_fetch_once(maven: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from veilstream.embedded.kafka import fetch_kafka;"
        "print(sorted(p.name for p in fetch_kafka(pathlib.Path(sys.argv[1])).iterdir()))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "cache")]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["['one.jar', 'two.jar']\n"] * 2
    assert (maven / "calls").read_text() == "x"


def test_a_fetch_that_failed_leaves_nothing_and_is_tried_again(maven: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (maven / "fail").touch()
    with pytest.raises(BrokerUnavailable, match="could not fetch Kafka") as caught:
        fetch_kafka(cache)
    assert str(cache / "maven.log") in caught.value.hint
    assert "no network" in (cache / "maven.log").read_text()
    assert not [path for path in cache.iterdir() if path.is_dir()]
    (maven / "fail").unlink()
    assert fetch_kafka(cache).is_dir()


def test_no_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerUnavailable, match="mvn") as caught:
        fetch_kafka(tmp_path / "cache")
    assert "install Maven" in caught.value.hint
    assert "tansu" in caught.value.hint


@pytest.mark.usefixtures("no_java")
def test_no_java(tmp_path: Path) -> None:
    assert not kafka_available()
    with pytest.raises(BrokerUnavailable, match="Java 17") as caught:
        LocalKafka(tmp_path / "kafka").start()
    assert "install a Java runtime" in caught.value.hint
    assert "tansu" in caught.value.hint
    assert Stack(tmp_path, "auto").kind == "tansu"
    assert Stack(tmp_path, "kafka").kind == "kafka"  # asked for by name: an error, not another broker


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ('openjdk version "17.0.15" 2025-04-15', True),
        ('openjdk version "25" 2025-09-16', True),
        ('openjdk version "11.0.2" 2019-01-15', False),
        ('java version "1.8.0_202"', False),
        ("Error: no such thing", False),
    ],
)
def test_versions_of_java(said: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    java.chmod(0o700)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    room._java.cache_clear()
    try:
        assert (room._java() == str(java)) is found
    finally:
        room._java.cache_clear()


def test_a_program_that_ends_at_once_is_an_error_with_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalTansu, "_program", lambda _: "/bin/false")
    with pytest.raises(BrokerUnavailable, match="tansu ended at its start") as caught:
        LocalTansu(tmp_path / "tansu").start()
    assert str(tmp_path / "tansu" / "tansu.out") in caught.value.hint


def test_where_the_jars_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert room.default_cache_dir() == tmp_path / "veilstream"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert room.default_cache_dir() == tmp_path / ".cache" / "veilstream"


def test_endpoints_are_what_the_settings_read(tmp_path: Path) -> None:
    written = tomllib.loads(Stack(tmp_path, "tansu")._endpoints())
    assert set(written) == {"kafka", "store"}
    assert set(written["kafka"]) == {"bootstrap", "idempotence"}
    assert written["kafka"]["idempotence"] is False
    assert set(written["store"]) == {"url"}
