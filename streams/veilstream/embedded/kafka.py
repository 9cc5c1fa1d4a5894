"""Apache Kafka, one node (KRaft), as a child process on loopback.

No wheel has it: Maven fetches its jars once into a cache folder (55 MB, seconds), by the coordinates in
`kafka/pom.xml`. A data folder that is there is used again: same cluster, same records; only the ports are
new.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

from veilstream.embedded.service import HOST, Broker, free_ports
from veilstream.errors import BrokerUnavailable

__all__ = [
    "KAFKA_VERSION",
    "LocalKafka",
    "default_cache_dir",
    "fetch_kafka",
    "java_available",
    "kafka_available",
]

KAFKA_VERSION = "4.3.1"  # as in kafka/pom.xml; a test compares them

_JAVA = 17
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_SECONDS = 900
_OR_TANSU = "or use the broker `tansu`, which needs no Java"
_NO_JAVA = f"install a Java runtime, version {_JAVA} or later (Debian: openjdk-17-jre-headless), {_OR_TANSU}"
_NO_MAVEN = f"install Maven (Debian: maven), which fetches Kafka once, {_OR_TANSU}"

_HEAP = ("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC")
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "CLIENTS",
    # There is one node: the defaults, made for three, would leave these topics without enough replicas.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fifty partitions each are for large clusters, and take a second to make.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    # A crashed node is let in again after this time, not after nine seconds; a busy one is not yet shut out.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Small machine: index files are allocated in full for each partition, the cleaner's buffer at the start.
    "log.index.size.max.bytes": "1048576",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/veilstream`, or `~/.cache/veilstream`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "veilstream"


@cache
def _java() -> str | None:
    """The java command, where it is new enough."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    java = java or shutil.which("java")
    if java is None:
        return None
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=30)
    version = re.search(r'version "(\d+)', answer.stderr)
    return java if version and int(version[1]) >= _JAVA else None


def java_available() -> bool:
    """True where a Java of version 17 or later is found, in JAVA_HOME or on the PATH."""
    return _java() is not None


def kafka_available(cache_dir: Path | None = None) -> bool:
    """True where Kafka can be run: Java is here, and the jars are, or Maven to fetch them."""
    return java_available() and (_jars(cache_dir).is_dir() or shutil.which("mvn") is not None)


def _jars(cache_dir: Path | None) -> Path:
    pom = files("veilstream.embedded").joinpath("kafka", "pom.xml").read_bytes()
    # Another list of jars is another folder.
    name = f"kafka-{KAFKA_VERSION}-{hashlib.sha256(pom).hexdigest()[:8]}"
    return (cache_dir or default_cache_dir()) / name


def fetch_kafka(cache_dir: Path | None = None) -> Path:
    """The folder of Kafka's jars; fetched with Maven where it is not there. Safe in several processes.

    Raises:
        BrokerUnavailable: no Maven, or it failed; says what to do.
    """
    jars = _jars(cache_dir)
    if jars.is_dir():
        return jars
    jars.parent.mkdir(parents=True, exist_ok=True)
    with _locked(jars.parent / "kafka.lock"):
        if jars.is_dir():
            return jars
        maven = shutil.which("mvn")
        if maven is None:
            raise BrokerUnavailable("Maven (mvn) is not on the PATH", hint=_NO_MAVEN)
        with tempfile.TemporaryDirectory(dir=jars.parent, prefix="kafka-fetch-") as folder:
            pom, fetched = Path(folder) / "pom.xml", Path(folder) / "libs"
            pom.write_bytes(files("veilstream.embedded").joinpath("kafka", "pom.xml").read_bytes())
            argv = [maven, "-q", "-B", "-f", str(pom), _COPY, f"-DoutputDirectory={fetched}"]
            _run_maven(argv, jars.parent)
            fetched.rename(jars)  # all of it or nothing
    return jars


def _run_maven(argv: Sequence[str], cache_dir: Path) -> None:
    log = cache_dir / "maven.log"
    try:
        with log.open("wb") as output:
            code = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_FETCH_SECONDS,
            ).returncode
    except subprocess.TimeoutExpired:
        code = -1
    if code != 0:
        raise BrokerUnavailable(
            f"Maven could not fetch Kafka {KAFKA_VERSION} (exit {code})",
            hint=f"its output is in {log}: see that the network or a mirror can be reached, {_OR_TANSU}",
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; the system lets go of it when the process ends."""
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


class LocalKafka(Broker):
    """Kafka in a data folder. Ready in about three seconds, 300 MB.

    `settings` are lines of `server.properties` that come after ours.
    """

    name = "kafka"

    def __init__(
        self,
        data_dir: Path,
        *,
        cache_dir: Path | None = None,
        detached: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data_dir, detached=detached)
        self._cache_dir = cache_dir
        self._settings = dict(settings or {})

    def prepare(self) -> Sequence[str]:
        java = _java()
        if java is None:
            raise BrokerUnavailable(f"Java {_JAVA} or later is not here", hint=_NO_JAVA)
        classes = f"{fetch_kafka(self._cache_dir)}/*"
        self.port, controller_port = free_ports(2)
        properties = self.data_dir / "server.properties"
        properties.write_text(self._properties(controller_port))
        logging = self.data_dir / "log4j2.xml"
        logging.write_bytes(files("veilstream.embedded").joinpath("kafka", "log4j2.xml").read_bytes())
        options = [
            f"-Dlog4j2.configurationFile={logging}",
            f"-Dveilstream.kafka.log={self.data_dir / 'kafka.log'}",
            "-cp",
            classes,
        ]
        if not (self._records / "meta.properties").is_file():
            self._format(java, options, properties)
        return [java, *_HEAP, *options, "kafka.Kafka", str(properties)]

    @property
    def _records(self) -> Path:
        return self.data_dir / "records"

    def _properties(self, controller_port: int) -> str:
        lines = {
            **_SETTINGS,
            "listeners": f"CLIENTS://{HOST}:{self.port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"CLIENTS://{HOST}:{self.port}",
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "log.dirs": str(self._records),
            **self._settings,
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _format(self, java: str, options: Sequence[str], properties: Path) -> None:
        """Give the data folder a cluster id. A format that was cut short is done again."""
        cluster = "-"
        while cluster.startswith("-"):  # the tool would take it for an option
            cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster]
        tool += ["-c", str(properties)]
        with self.log_path.open("ab") as output:
            code = subprocess.run(
                [java, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *options, *tool],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=120,
            ).returncode
        if code != 0:
            raise BrokerUnavailable(f"Kafka's data folder could not be made (exit {code})", hint=self._see())
