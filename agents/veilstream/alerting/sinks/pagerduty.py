"""PagerDuty, by its Events API v2: an alert triggers an incident, its end resolves the same one.

The fingerprint is the `dedup_key`: sent twice, it is one incident.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from veilstream.alerting.sinks.forms import alert_annotations, alert_labels, link
from veilstream.alerting.sinks.http import Poster
from veilstream.errors import SettingInvalid, SinkFailed, SinkRefused
from veilstream.events.codec import dumps
from veilstream.settings import Settings

__all__ = ["PagerDutySink", "body", "from_settings"]

_SUMMARY_CHARACTERS = 1024  # more is refused


def from_settings(settings: Settings) -> PagerDutySink:
    """Raises SettingInvalid where `alerting.pagerduty_routing_key` is not set."""
    alerting = settings.alerting
    if alerting.pagerduty_routing_key is None:
        raise SettingInvalid(
            "alerting.pagerduty_routing_key: is not set; the sink pagerduty needs a service's integration key"
        )
    return PagerDutySink(
        alerting.pagerduty_routing_key,
        url=alerting.pagerduty_url,
        timeout_seconds=alerting.sink_timeout_seconds,
        source_url=alerting.source_url,
    )


class PagerDutySink:
    """Sends events for one PagerDuty service."""

    name = "pagerduty"

    def __init__(
        self,
        routing_key: SecretStr,
        *,
        url: SecretStr | str = "https://events.pagerduty.com/v2/enqueue",
        timeout_seconds: float = 10.0,
        source_url: str | None = None,
    ) -> None:
        """Raises SettingInvalid unless the address is an absolute http or https one; it is not shown."""
        self._routing_key = routing_key
        self._source_url = source_url
        self._poster = Poster(url, setting="alerting.pagerduty_url", timeout_seconds=timeout_seconds)

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Return when PagerDuty has taken it. Raises as `Poster.post`.

        It says 400 to a wrong routing key as well, which can be put right: tried again, as elsewhere.
        """
        try:
            await self._poster.post(body(alert, self._routing_key, source_url=self._source_url))
        except SinkRefused as error:
            raise SinkFailed(error.message, hint="see alerting.pagerduty_routing_key") from None


def body(alert: Mapping[str, Any], routing_key: SecretStr, *, source_url: str | None = None) -> bytes:
    """The event: `trigger` while it fires, `resolve` at its end."""
    resolved = alert["state"] == "resolved"
    event: dict[str, Any] = {
        "routing_key": routing_key.get_secret_value(),
        "event_action": "resolve" if resolved else "trigger",
        "dedup_key": alert["fingerprint"],
    }
    if resolved:
        return dumps(event)
    summary = alert["summary"]
    event["payload"] = {
        "summary": summary[:_SUMMARY_CHARACTERS],
        "source": f"veilstream/{alert['budget']}",
        "severity": alert["severity"],  # info, warning, critical: words of theirs too
        "timestamp": alert["time"],
        "component": alert["budget"],
        "group": alert["tenant"],
        "class": alert["rule"],
        "custom_details": {**alert_labels(alert), **alert_annotations(alert)},
    }
    event["client"] = "veilstream"
    pages = {link(alert, None): "Runbook", source_url: "Budget"}
    event["links"] = [{"href": page, "text": text} for page, text in pages.items() if page]
    return dumps(event)
