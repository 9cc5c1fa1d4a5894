"""Apache Kafka (KRaft) as child processes: one node on loopback, or several that are one cluster.

No wheel has it: Maven fetches its jars once into a cache folder (55 MB, seconds), by the coordinates in
`kafka/pom.xml`. A data folder that is there is used again: same cluster, same records; only the ports are
new. A node of a cluster keeps its ports too, since the others and their clients know them.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from veilstream.embedded.service import HOST, Broker, free_ports
from veilstream.errors import BrokerUnavailable

__all__ = [
    "KAFKA_VERSION",
    "LocalKafka",
    "Member",
    "Membership",
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


@dataclass(frozen=True, slots=True)
class Member:
    """A node of a cluster: broker and controller at once. Its address must be ours to listen on."""

    node: int
    host: str
    port: int
    controller_port: int


@dataclass(frozen=True, slots=True)
class Membership:
    """A cluster of several nodes, and which of them this one is."""

    cluster: str
    """Cluster id, the same for all: `new_cluster_id()`."""
    members: tuple[Member, ...]
    node: int

    @staticmethod
    def new_cluster_id() -> str:
        """A random one, as Kafka writes them: 16 bytes in URL-safe base64."""
        while True:
            made = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
            if not made.startswith("-"):  # the tool would take it for an option
                return made

    @property
    def me(self) -> Member:
        return next(member for member in self.members if member.node == self.node)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{member.host}:{member.port}" for member in self.members)

    def properties(self) -> dict[str, str]:
        """Every topic of Kafka's own on three nodes where there are three, and one may be lost."""
        copies = str(min(3, len(self.members)))
        needed = str(min(2, len(self.members)))
        voters = ",".join(f"{m.node}@{m.host}:{m.controller_port}" for m in self.members)
        return {
            "node.id": str(self.node),
            "controller.quorum.voters": voters,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": needed,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": needed,
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

    Args:
        settings: lines of `server.properties` that come after ours.
        membership: makes it a node of a cluster, with an address of its own that a restart keeps. Then it
            counts as ready when its port is open: that the cluster has its leaders is the caller's to see.
        heap: options of the Java machine, in place of ours.
        records: folder of the log, by default inside the data folder.
        enter: a command that runs its arguments, put before Java's: `nsenter --net=…`.
    """

    name = "kafka"

    def __init__(
        self,
        data_dir: Path,
        *,
        cache_dir: Path | None = None,
        detached: bool = False,
        settings: Mapping[str, str] | None = None,
        membership: Membership | None = None,
        heap: Sequence[str] = _HEAP,
        records: Path | None = None,
        enter: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir, detached=detached)
        self._cache_dir = cache_dir
        self._settings = dict(settings or {})
        self._membership = membership
        self._heap = tuple(heap)
        self._records_dir = records
        self._enter = tuple(enter)

    def prepare(self) -> Sequence[str]:
        java = _java()
        if java is None:
            raise BrokerUnavailable(f"Java {_JAVA} or later is not here", hint=_NO_JAVA)
        classes = f"{fetch_kafka(self._cache_dir)}/*"
        if self._membership is None:
            self.port, controller_port = free_ports(2)
        else:
            self.port, controller_port = self._membership.me.port, self._membership.me.controller_port
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
        return [*self._enter, java, *self._heap, *options, "kafka.Kafka", str(properties)]

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return HOST if self._membership is None else self._membership.me.host

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def answers(self, timeout_seconds: float) -> bool:
        """True when a Metadata request is answered; for a node of a cluster, when its port is open."""
        if self._membership is None:
            return super().answers(timeout_seconds)
        try:
            with socket.create_connection((self.host, self.port), timeout=timeout_seconds):
                return True
        except OSError:
            return False

    @property
    def _records(self) -> Path:
        return self._records_dir or self.data_dir / "records"

    def _properties(self, controller_port: int) -> str:
        lines = {
            **_SETTINGS,
            "listeners": f"CLIENTS://{self.host}:{self.port},CONTROLLER://{self.host}:{controller_port}",
            "advertised.listeners": f"CLIENTS://{self.host}:{self.port}",
            "controller.quorum.voters": f"1@{self.host}:{controller_port}",
            "log.dirs": str(self._records),
            **(self._membership.properties() if self._membership else {}),
            **self._settings,
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())

    def _format(self, java: str, options: Sequence[str], properties: Path) -> None:
        """Give the data folder a cluster id. A format that was cut short is done again."""
        cluster = self._membership.cluster if self._membership else Membership.new_cluster_id()
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
