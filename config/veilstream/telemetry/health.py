"""A role's /livez, /readyz, /metrics and /metrics/public.

* `/livez` fails when the role's loop has not said `beat()` for `stale_seconds`: a hung loop is dead.
* `/readyz` fails until `ready()` and after `not_ready(reason)`.
* `/metrics` is the Prometheus exposition of all metrics, operator ones among them: it listens on loopback
  unless told otherwise. `/metrics/public` is that of the public ones alone, which may be shown to anyone.

It runs in a thread of its own, so that it answers also when the role's loop does not.
"""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from veilstream.telemetry.metrics import OPERATOR, PUBLIC

__all__ = ["PAGES", "Health"]

PAGES = ("/livez", "/readyz", "/metrics", "/metrics/public")


class Health:
    """State and server of one role's health."""

    def __init__(self, role: str, *, stale_seconds: float = 60.0) -> None:
        self.role = role
        self.stale_seconds = stale_seconds
        self._beat = time.monotonic()
        self._reason: str | None = "starting"
        self._server: ThreadingHTTPServer | None = None

    def beat(self) -> None:
        self._beat = time.monotonic()

    def ready(self) -> None:
        self._reason = None
        self.beat()

    def not_ready(self, reason: str) -> None:
        self._reason = reason

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._beat < self.stale_seconds

    @property
    def reason(self) -> str | None:
        """Why the role is not ready; None when it is."""
        return self._reason

    def serve(self, host: str, port: int) -> int:
        """Start answering; returns the port."""
        health = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    both = generate_latest(OPERATOR) + generate_latest(PUBLIC)
                    self._answer(200, both, CONTENT_TYPE_LATEST)
                elif self.path == "/metrics/public":
                    self._answer(200, generate_latest(PUBLIC), CONTENT_TYPE_LATEST)
                elif self.path == "/livez":
                    self._json(200 if health.alive else 503, {"role": health.role, "alive": health.alive})
                elif self.path == "/readyz":
                    ready = health.reason is None
                    self._json(
                        200 if ready else 503, {"role": health.role, "ready": ready, "reason": health.reason}
                    )
                else:
                    self._json(404, {"error": "no such page", "pages": list(PAGES)})

            def _json(self, status: int, body: object) -> None:
                self._answer(status, orjson.dumps(body), "application/json")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass  # a scrape is not news

        self._server = ThreadingHTTPServer((host, port), Handler)
        threading.Thread(target=self._server.serve_forever, name=f"health-{self.role}", daemon=True).start()
        return int(self._server.server_address[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
