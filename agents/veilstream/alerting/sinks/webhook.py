"""The webhook: each alert as a POST in the form of Alertmanager's own webhooks, version "4", signed.

Who has a receiver for Alertmanager can point veilstream at it. The body holds one alert.
`X-Veilstream-Delivery` is the same at every attempt, so that a receiver can drop a repetition;
`X-Veilstream-Signature` (where `alerting.webhook_secret` is set) proves who sent it and when:
`veilstream.client.verify_webhook` checks it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from veilstream.alerting.sinks.forms import NEVER, alert_annotations, alert_labels, link, started
from veilstream.alerting.sinks.http import Poster
from veilstream.errors import SettingInvalid
from veilstream.events.codec import dumps
from veilstream.events.signatures import SIGNATURE_HEADER, sign
from veilstream.settings import Settings

__all__ = ["WebhookSink", "body", "from_settings"]

_COMMON = ("alertname", "severity", "tenant", "budget")


def from_settings(settings: Settings) -> WebhookSink:
    """Raises SettingInvalid where `alerting.webhook_url` is not set, or is no address."""
    alerting = settings.alerting
    if alerting.webhook_url is None:
        raise SettingInvalid("alerting.webhook_url: is not set; the sink webhook needs an address")
    return WebhookSink(
        alerting.webhook_url,
        secret=alerting.webhook_secret,
        timeout_seconds=alerting.webhook_timeout_seconds,
        source_url=alerting.source_url,
    )


class WebhookSink:
    """POSTs alerts to one address."""

    name = "webhook"

    def __init__(
        self,
        url: SecretStr | str,
        *,
        secret: SecretStr | None = None,
        timeout_seconds: float = 10.0,
        source_url: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises SettingInvalid unless the address is an absolute http or https one; it is not shown."""
        self._secret = secret
        self._source_url = source_url
        self._clock = clock
        self._poster = Poster(url, setting="alerting.webhook_url", timeout_seconds=timeout_seconds)

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Return when the receiver has answered 2xx. Raises as `Poster.post`."""
        data = body(alert, source_url=self._source_url)
        headers = {"X-Veilstream-Delivery": f"{alert['fingerprint']}/{alert['state']}"}
        if self._secret is not None:
            secret = self._secret.get_secret_value().encode()
            headers[SIGNATURE_HEADER] = sign(secret, data, timestamp=int(self._clock()))
        await self._poster.post(data, headers)


def body(alert: Mapping[str, Any], *, source_url: str | None = None) -> bytes:
    """The request's body: Alertmanager's webhook message, version 4, with one alert."""
    named, said = alert_labels(alert), alert_annotations(alert)
    group = {name: named[name] for name in _COMMON if name in named and name != "severity"}
    ended = alert["time"] if alert["state"] == "resolved" else NEVER
    return dumps(
        {
            "version": "4",
            "groupKey": f'{{}}:{{fingerprint="{alert["fingerprint"]}"}}',
            "truncatedAlerts": 0,
            "status": alert["state"],
            "receiver": "veilstream",
            "groupLabels": group,
            "commonLabels": named,
            "commonAnnotations": said,
            "externalURL": source_url or "",
            "alerts": [
                {
                    "status": alert["state"],
                    "labels": named,
                    "annotations": said,
                    "startsAt": started(alert) or alert["time"],
                    "endsAt": ended,
                    "generatorURL": link(alert, source_url) or "",
                    "fingerprint": alert["fingerprint"],
                }
            ],
        }
    )
