"""Slack, by an incoming webhook: a message of Block Kit blocks.

Slack's markup gives meaning to `&`, `<` and `>` in `mrkdwn` texts. Ours are `plain_text` wherever they hold
an alert's words, so none of them can mention a channel or make a link; only the runbook's link is markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from veilstream.alerting.sinks.forms import link
from veilstream.alerting.sinks.http import Poster
from veilstream.errors import SettingInvalid
from veilstream.events.codec import dumps
from veilstream.settings import Settings

__all__ = ["SlackSink", "body", "from_settings"]

_MARKS = {"info": ":large_blue_circle:", "warning": ":warning:", "critical": ":red_circle:"}
_HEADER_CHARACTERS = 150
_TEXT_CHARACTERS = 2900  # a section takes 3,000


def from_settings(settings: Settings) -> SlackSink:
    """Raises SettingInvalid where `alerting.slack_url` is not set."""
    alerting = settings.alerting
    if alerting.slack_url is None:
        raise SettingInvalid("alerting.slack_url: is not set; the sink slack needs the address of a webhook")
    return SlackSink(
        alerting.slack_url, timeout_seconds=alerting.sink_timeout_seconds, source_url=alerting.source_url
    )


class SlackSink:
    """Posts each alert to the channel of one incoming webhook."""

    name = "slack"

    def __init__(
        self, url: SecretStr | str, *, timeout_seconds: float = 10.0, source_url: str | None = None
    ) -> None:
        """Raises SettingInvalid unless the address is an absolute http or https one; it is not shown."""
        self._source_url = source_url
        self._poster = Poster(url, setting="alerting.slack_url", timeout_seconds=timeout_seconds)

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Return when Slack has taken it. Raises as `Poster.post`."""
        await self._poster.post(body(alert, source_url=self._source_url))


def body(alert: Mapping[str, Any], *, source_url: str | None = None) -> bytes:
    """The message: a header, the description, the figures, the runbook."""
    resolved = alert["state"] == "resolved"
    mark = ":white_check_mark:" if resolved else _MARKS[alert["severity"]]
    head = f"{'Resolved' if resolved else alert['severity'].capitalize()}: {alert['summary']}"
    fields = [
        ("Tenant", alert["tenant"]),
        ("Budget", alert["budget"]),
        ("ε spent", f"{alert['epsilon_spent']:.4g} of {alert['epsilon']:.4g}"),
        ("Rule", alert["rule"]),
    ]
    page = link(alert, None) or source_url
    runbook = f"<{_escaped(page)}|Runbook>" if page else f"Runbook: {_escaped(alert['runbook'])}"
    return dumps(
        {
            "text": _escaped(head),  # what a notification shows
            "blocks": [
                {"type": "header", "text": _plain(f"{mark} {head}", _HEADER_CHARACTERS)},
                {"type": "section", "text": _plain(alert["description"], _TEXT_CHARACTERS)},
                {"type": "section", "fields": [_plain(f"{name}\n{value}", 1900) for name, value in fields]},
                {
                    "type": "context",
                    "elements": [
                        {"type": "mrkdwn", "text": runbook},
                        _plain(f"{alert['time']} · {alert['fingerprint']}", 1900),
                    ],
                },
            ],
        }
    )


def _plain(text: str, most: int) -> dict[str, Any]:
    return {
        "type": "plain_text",
        "text": text if len(text) <= most else text[: most - 1] + "…",
        "emoji": True,
    }


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
