"""What the roles stand on: three Kafka nodes, each broker and controller, and a Valkey that syncs all.

Every topic has three replicas and needs two, so one node may be lost. Addresses are kept over restarts.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from veilstream.bench.chaos.disks import Disk
from veilstream.bench.chaos.network import Network
from veilstream.embedded import LocalKafka, LocalValkey
from veilstream.embedded.kafka import Member, Membership
from veilstream.embedded.service import HOST, free_ports

__all__ = ["NODES", "Cluster"]

NODES = (1, 2, 3)
_HEAP = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_DISK_MEGABYTES = 1500


class _Store(LocalValkey):
    """Valkey at an address that it keeps."""

    def __init__(self, data_dir: Path, host: str) -> None:
        super().__init__(data_dir)
        self._host = host
        self._kept_port = 0

    def prepare(self) -> Sequence[str]:
        argv = super().prepare()
        config = self.data_dir / "valkey.conf"
        chosen, self._kept_port = self.port, self._kept_port or self.port
        self.port = self._kept_port
        lines = config.read_text().replace(f"port {chosen}\n", f"port {self.port}\n")
        if self._host != HOST:  # on our own bridge, which nobody else is on
            lines = lines.replace(f"bind {HOST}\n", f"bind {HOST} {self._host}\n")
            lines = lines.replace("protected-mode yes\n", "protected-mode no\n")
        config.write_text(lines)
        return argv

    @property
    def address(self) -> str:
        return f"{self._host}:{self.port}"


class Cluster:
    """Three nodes and the store.

    Args:
        folder: where everything is written.
        network: the nodes' namespaces, `kafka-1` to `kafka-3`; None for loopback.
        disks: give each node a disk of its own.
    """

    def __init__(self, folder: Path, network: Network | None, *, disks: bool) -> None:
        if network is None:
            ports = free_ports(2 * len(NODES))
            places = [(HOST, ports[2 * at], ports[2 * at + 1]) for at in range(len(NODES))]
        else:
            places = [(network.host(f"kafka-{node}"), 9092, 9093) for node in NODES]
        members = tuple(Member(node, *place) for node, place in zip(NODES, places, strict=True))
        cluster = Membership.new_cluster_id()
        self.disks = {node: Disk(folder / f"disk-{node}", _DISK_MEGABYTES) for node in NODES if disks}
        self.nodes = {
            node: LocalKafka(
                folder / f"kafka-{node}",
                membership=Membership(cluster, members, node),
                heap=_HEAP,
                records=self.disks[node].folder / "records" if disks else None,
                enter=network.enter(f"kafka-{node}") if network else (),
            )
            for node in NODES
        }
        self.store = _Store(folder / "valkey", network.gateway if network else HOST)
        self.bootstrap = Membership(cluster, members, NODES[0]).bootstrap

    async def start(self) -> None:
        """Start all of it; ready when every port is open."""
        for disk in self.disks.values():
            disk.mount()
        for node in self.nodes.values():
            node.data_dir.mkdir(parents=True, exist_ok=True)
        # Making the folders takes a Java machine each: side by side, and in threads, since they end by
        # themselves. What stays is started in this thread: a child ends with the thread that started it.
        await asyncio.gather(*(asyncio.to_thread(node.prepare) for node in self.nodes.values()))
        for node in self.nodes.values():
            node.launch()
        self.store.launch()
        waits = [asyncio.to_thread(node.wait_ready, 90.0) for node in self.nodes.values()]
        await asyncio.gather(*waits, asyncio.to_thread(self.store.wait_ready))

    async def start_node(self, node: int) -> None:
        self.nodes[node].launch()
        await asyncio.to_thread(self.nodes[node].wait_ready, 60.0)

    async def stop_node(self, node: int) -> None:
        """SIGTERM: it hands its partitions over first."""
        await asyncio.to_thread(self.nodes[node].stop)

    def kill_node(self, node: int) -> None:
        self.nodes[node].kill()

    def pause_node(self, node: int, paused: bool) -> None:
        process = self.nodes[node]._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def node_runs(self, node: int) -> bool:
        process = self.nodes[node]._process
        return process is not None and process.poll() is None

    async def start_store(self) -> None:
        self.store.launch()
        await asyncio.to_thread(self.store.wait_ready)

    def stop(self) -> None:
        """End everything at once; what it held is of no use any more."""
        for node in self.nodes.values():
            node.kill()
        self.store.kill()
        for disk in self.disks.values():
            disk.unmount()
