"""The webhook: each alert as the JSON body of a POST, a CloudEvent in HTTP's binary mode.

Made with urllib, so that the base install gains no HTTP library (`docs/decisions/0001-dependencies.md`). Only
http and https are spoken, redirects are refused (the address is a setting, not something a server may
change), and proxies of the environment are used. The answer's body is not read.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from veilstream.alerting.sinks.cloudevent import attributes
from veilstream.alerting.sinks.thread import in_thread
from veilstream.errors import SettingInvalid
from veilstream.events.codec import dumps

__all__ = ["WebhookRefused", "WebhookSink"]

_TRY_AGAIN = {408, 425, 429}


class WebhookRefused(Exception):
    """The receiver said that it will never take this alert (a 4xx other than 408, 425 and 429)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class WebhookSink:
    """POSTs alerts to one address."""

    name = "webhook"

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        """Raises SettingInvalid unless the address is an absolute http or https one; it is not shown."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise SettingInvalid(
                "alerting.webhook_url: got a value that is not shown; it takes an http:// or https:// address"
            )
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._opener = urllib.request.build_opener(_NoRedirect())

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Return when the receiver has answered 2xx.

        Raises:
            WebhookRefused: trying again is of no use.
            OSError, TimeoutError, http.client.HTTPException: it may be.
        """
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked in __init__
            self._url,
            data=dumps(alert),
            method="POST",
            headers=_headers(alert),
        )
        await in_thread(lambda: self._post(request), timeout_seconds=self._timeout_seconds)

    def _post(self, request: urllib.request.Request) -> None:
        try:
            with self._opener.open(request, timeout=self._timeout_seconds):
                return
        except urllib.error.HTTPError as error:
            with error:
                if 300 <= error.code < 500 and error.code not in _TRY_AGAIN:
                    raise WebhookRefused(error.code) from None
                raise


def _headers(alert: dict[str, Any]) -> dict[str, str]:
    """CloudEvents' HTTP binding, binary mode: `ce-` headers. `ce-id` is the same at every attempt."""
    pairs = {name.replace("ce_", "ce-"): text.decode() for name, text in attributes(alert).to_headers()}
    return {**pairs, "User-Agent": "veilstream-alerting"}
