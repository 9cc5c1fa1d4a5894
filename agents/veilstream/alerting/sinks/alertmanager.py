"""Prometheus Alertmanager, by its API v2: `POST /api/v2/alerts`.

A firing alert is sent without an end; Alertmanager drops it after its `resolve_timeout` (5 minutes by
default) unless it hears of it again, so delivery tells it again every `resend_seconds`. A resolved alert is
sent with its end. Alertmanager then groups, routes, silences and repeats by its own rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from veilstream.alerting.sinks.forms import alert_annotations, alert_labels, link, started
from veilstream.alerting.sinks.http import Poster
from veilstream.errors import SettingInvalid
from veilstream.events.codec import dumps
from veilstream.settings import Settings

__all__ = ["AlertmanagerSink", "body", "from_settings"]


def from_settings(settings: Settings) -> AlertmanagerSink:
    """Raises SettingInvalid where `alerting.alertmanager_url` is not set."""
    alerting = settings.alerting
    if alerting.alertmanager_url is None:
        raise SettingInvalid(
            "alerting.alertmanager_url: is not set; the sink alertmanager needs an Alertmanager's address"
        )
    return AlertmanagerSink(
        alerting.alertmanager_url,
        resend_seconds=alerting.alertmanager_resend_seconds,
        timeout_seconds=alerting.sink_timeout_seconds,
        source_url=alerting.source_url,
    )


class AlertmanagerSink:
    """Posts each alert to one Alertmanager. `url` is its base address, path prefix included."""

    name = "alertmanager"

    def __init__(
        self,
        url: SecretStr | str,
        *,
        resend_seconds: float = 60.0,
        timeout_seconds: float = 10.0,
        source_url: str | None = None,
    ) -> None:
        """Raises SettingInvalid unless the address is an absolute http or https one; it is not shown."""
        self.resend_seconds = resend_seconds
        self._source_url = source_url
        self._poster = Poster(
            url,
            setting="alerting.alertmanager_url",
            timeout_seconds=timeout_seconds,
            path="/api/v2/alerts",
        )

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Return when Alertmanager has taken it. Raises as `Poster.post`."""
        await self._poster.post(body(alert, source_url=self._source_url))


def body(alert: Mapping[str, Any], *, source_url: str | None = None) -> bytes:
    """The request's body: a list of one alert, `postableAlerts` of Alertmanager's API v2."""
    form: dict[str, Any] = {"labels": alert_labels(alert), "annotations": alert_annotations(alert)}
    begun = started(alert)
    if begun is not None:
        form["startsAt"] = begun  # without one Alertmanager keeps what it knows, else takes the end
    if alert["state"] == "resolved":
        form["endsAt"] = alert["time"]
    page = link(alert, source_url)
    if page is not None:
        form["generatorURL"] = page
    return dumps([form])
