"""Which sinks there are, and which of them the settings ask for.

A sink is an entry point of the group `veilstream.alert_sinks`: a callable that takes the `Settings` and
returns a `veilstream.contracts.AlertSink`, or raises SettingInvalid where a setting that it needs is missing.
Nobody's entry point replaces a built-in sink: a package that is merely installed must not redirect alerts.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from veilstream.contracts import AlertSink
from veilstream.errors import SettingInvalid
from veilstream.settings import Settings

__all__ = ["BUILT_IN", "GROUP", "available", "build_sinks", "chosen"]

GROUP = "veilstream.alert_sinks"

BUILT_IN = {
    "alertmanager": "veilstream.alerting.sinks.alertmanager:from_settings",
    "console": "veilstream.alerting.sinks.console:from_settings",
    "email": "veilstream.alerting.sinks.email:from_settings",
    "pagerduty": "veilstream.alerting.sinks.pagerduty:from_settings",
    "slack": "veilstream.alerting.sinks.slack:from_settings",
    "webhook": "veilstream.alerting.sinks.webhook:from_settings",
}
"""The same as in pyproject.toml, so that they are there also in an environment made before them."""

_NEEDED = {
    "alertmanager": "alertmanager_url",
    "email": "email_host",
    "pagerduty": "pagerduty_routing_key",
    "slack": "slack_url",
    "webhook": "webhook_url",
}


def chosen(settings: Settings) -> tuple[str, ...]:
    """Names of the sinks that the settings ask for, each once."""
    names = settings.alerting.sinks
    if names is not None:
        return tuple(dict.fromkeys(names))
    addressed = [name for name, needed in _NEEDED.items() if getattr(settings.alerting, needed) is not None]
    return ("console", *addressed)


def available() -> dict[str, EntryPoint | None]:
    """Every sink there is; None for a built-in one."""
    found: dict[str, EntryPoint | None] = {point.name: point for point in entry_points(group=GROUP)}
    return {**found, **dict.fromkeys(BUILT_IN)}


def build_sinks(settings: Settings) -> list[AlertSink]:
    """The sinks beside the topic that the settings ask for; `operator_sinks` are marked by their `audience`.

    Raises:
        SettingInvalid: there is no such sink, it cannot be loaded, or a setting of it is missing or wrong.
    """
    names, operators = chosen(settings), settings.alerting.operator_sinks
    there = available()
    for setting, wanted in (("sinks", names), ("operator_sinks", operators)):
        for name in wanted:
            if name not in there:
                raise SettingInvalid(
                    f"alerting.{setting}: got {name!r:.40}; there are {', '.join(sorted(there))}"
                )
    sinks = []
    for name in names:
        sink = _factory(name, there[name])(settings)
        sink.name = name
        sink.audience = "operator" if name in operators else "public"
        sinks.append(sink)
    return sinks


def _factory(name: str, point: EntryPoint | None) -> Callable[[Settings], Any]:
    try:
        if point is not None:
            made: Callable[[Settings], Any] = point.load()
            return made
        module, _, attribute = BUILT_IN[name].partition(":")
        made = getattr(import_module(module), attribute)
        return made
    except (ImportError, AttributeError) as error:
        raise SettingInvalid(
            f"alerting.sinks: {name!r:.40} cannot be loaded ({type(error).__name__})",
            hint="see that the package which brings it is installed whole",
        ) from None
