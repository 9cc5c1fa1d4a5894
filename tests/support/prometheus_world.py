"""A Prometheus and an Alertmanager on loopback, with the shipped files at another speed.

Every duration in rules and routes is divided by `HASTE`, so that the same expressions are evaluated in
seconds.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from monitoring import DEPLOY, PROMETHEUS, program

__all__ = ["HASTE", "Receiver", "alertmanager", "ask", "hastened", "prometheus", "tell", "until"]

HASTE = 120
"""How much faster: five minutes become 2.5 s, an hour becomes half a minute."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=offset )(\d+)([smhd])")


def _shorter(text: str) -> str:
    return f"{int(text[:-1]) * _UNITS[text[-1]] * 1000 // HASTE}ms"


def hastened(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The rule file with every window, offset and `for` divided by `HASTE`; nothing else is changed."""
    groups = []
    for group in rules["groups"]:
        changed = []
        for rule in group["rules"]:
            expression = _DURATION.sub(lambda found: _shorter(found[0]), rule["expr"])
            lasting = {"for": _shorter(rule["for"])} if "for" in rule else {}
            changed.append({**rule, "expr": expression, **lasting})
        groups.append({**group, "rules": changed})
    return {"groups": groups}


class Receiver:
    """Takes what Alertmanager's webhook tells; `told` holds (status, labels) of each alert in its order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.told += [(alert["status"], alert["labels"]) for alert in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def statuses(self, **labels: str) -> list[str]:
        """What it was told of the alerts with these labels."""
        return [status for status, found in self.told if labels.items() <= found.items()]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def alertmanager(folder: Path, receiver: Receiver) -> Iterator[str]:
    """Its address. The shipped routes and inhibitions; every receiver tells `receiver`."""
    config = yaml.safe_load((DEPLOY / "alertmanager/alertmanager.yml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        for name in ("group_wait", "group_interval"):
            if name in route:
                route[name] = _shorter(route[name])
    for entry in config["receivers"]:
        entry["webhook_configs"] = [{"url": receiver.url, "send_resolved": True}]
    folder.mkdir()
    (folder / "alertmanager.yml").write_text(json.dumps(config))
    with _running(
        folder,
        [
            program("alertmanager"),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            "--cluster.listen-address=",
        ],
    ) as url:
        yield url


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, int], alertmanager_url: str) -> Iterator[str]:
    """Its address. It reads the ports of `targets` (by job) and evaluates the shipped rules, all in haste."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    folder.mkdir()
    for name in config["rule_files"]:
        rules = yaml.safe_load((PROMETHEUS / name).read_text())
        (folder / name).write_text(json.dumps(hastened(rules)))
    speed = "250ms"
    config["global"] = {"scrape_interval": speed, "scrape_timeout": speed, "evaluation_interval": speed}
    config["scrape_configs"] = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for job, port in targets.items()
    ]
    address = alertmanager_url.removeprefix("http://")
    config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    with _running(
        folder,
        [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--rules.alert.resend-delay=1s",
        ],
    ) as url:
        yield url


@contextmanager
def _running(folder: Path, command: list[str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        try:
            until(lambda: _ready(process, url, folder / "log"), "it is ready", seconds=30)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert process.poll() is None, "it ended: " + " | ".join(log.read_text().splitlines()[-3:])
    with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
        urllib.request.urlopen(f"{url}/-/ready", timeout=2).close()  # noqa: S310 - loopback
        return True
    return False


def ask(url: str) -> Any:
    """The JSON at this address."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def tell(alertmanager_url: str, labels: Mapping[str, str]) -> None:
    """An alert with these labels, as Prometheus would send it."""
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{alertmanager_url}/api/v2/alerts",
        data=json.dumps([{"labels": labels}]).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - loopback


def until(holds: Callable[[], object], what: str, *, seconds: float) -> None:
    """Wait until it holds. AssertionError with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
