"""A POST and what its answer means: taken, never, or not now.

Made with urllib, so that the base install gains no HTTP library (`docs/decisions/0001-dependencies.md`). Only
http and https are spoken, redirects are not followed (the address is a setting, not something a server may
change), and proxies of the environment are used. The answer's body is not read.

| answer | means | since |
|---|---|---|
| 2xx | taken | |
| 401, 403, 404, 407, 408, 421, 425, 429, 3xx, 5xx | not now | address, key or receiver can be put right |
| every other 4xx | never | it is about this alert |
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from veilstream.alerting.sinks.thread import in_thread
from veilstream.errors import SettingInvalid, SinkFailed, SinkRefused

__all__ = ["NOT_NOW", "Poster", "retry_after_seconds"]

NOT_NOW = frozenset({401, 403, 404, 407, 408, 421, 425, 429})
"""Statuses below 500 after which the same alert is sent again."""

LONGEST_RETRY_AFTER_SECONDS = 3600.0
_MOST_HANGING = 4


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Poster:
    """POSTs JSON to one address, which it never shows."""

    def __init__(self, url: SecretStr | str, *, setting: str, timeout_seconds: float, path: str = "") -> None:
        """Raises SettingInvalid unless the address is an absolute http or https one; names only the setting.

        Args:
            setting: name of the setting that the address comes from.
            path: what is added to the address.
        """
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not text.isascii() or re.search(r"[\x00-\x20\x7f]", text):
            raise SettingInvalid(
                f"{setting}: got a value that is not shown; it takes an http:// or https:// address"
            )
        self._url = (text.rstrip("/") + path) if path else text
        self._timeout_seconds = timeout_seconds
        self._opener = urllib.request.build_opener(_NoRedirect())
        self._hanging = 0

    async def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Return when the receiver has answered 2xx.

        Raises:
            SinkRefused: trying again is of no use.
            SinkFailed, OSError, TimeoutError: it may be.
        """
        if self._hanging >= _MOST_HANGING:
            # A thread cannot be ended. A receiver that drips bytes must not collect them.
            raise SinkFailed(f"{self._hanging} earlier requests still hang")
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked in __init__
            self._url,
            data=body,
            method="POST",
            headers={
                "Content-Type": "application/json",
                "User-Agent": "veilstream-alerting",
                **(headers or {}),
            },
        )
        await in_thread(lambda: self._post(request), timeout_seconds=self._timeout_seconds)

    def _post(self, request: urllib.request.Request) -> None:
        self._hanging += 1
        try:
            with self._opener.open(request, timeout=self._timeout_seconds):
                return
        except urllib.error.HTTPError as error:
            with error:
                status, said = error.code, error.headers.get("Retry-After") if error.headers else None
            if 400 <= status < 500 and status not in NOT_NOW:
                raise SinkRefused(f"HTTP {status}") from None
            raise SinkFailed(
                f"HTTP {status}", retry_after_seconds=retry_after_seconds(said, datetime.now(UTC))
            ) from None
        except http.client.HTTPException as error:  # its text quotes what the receiver sent
            raise SinkFailed(f"no HTTP answer ({type(error).__name__})") from None
        except urllib.error.URLError as error:  # its text may quote the address
            raise SinkFailed(f"no connection ({type(error.reason).__name__})") from None
        finally:
            self._hanging -= 1


def retry_after_seconds(text: str | None, now: datetime) -> float | None:
    """What a Retry-After header asks for (RFC 9110, 10.2.3: seconds, or a date), within 0 to an hour.

    None where there is none, or it cannot be read: a receiver's mistake changes nothing.
    """
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = float(text)
    else:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)
