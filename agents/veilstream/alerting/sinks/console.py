"""The console: a panel where a person looks on, a line of JSON where a program reads."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from veilstream.alerting.sinks.thread import in_thread
from veilstream.events.codec import dumps
from veilstream.settings import Settings

__all__ = ["ConsoleSink", "from_settings", "render"]

_COLOURS = {"info": "cyan", "warning": "yellow", "critical": "red"}


def from_settings(settings: Settings) -> ConsoleSink:
    """Needs no setting."""
    return ConsoleSink(timeout_seconds=settings.alerting.sink_timeout_seconds)


class ConsoleSink:
    """Writes to `stream`: standard error by default, since standard output belongs to a command's result."""

    name = "console"

    def __init__(self, stream: TextIO | None = None, *, timeout_seconds: float = 5.0) -> None:
        self._stream = stream or sys.stderr
        self._timeout_seconds = timeout_seconds
        self._writing = False  # a write that nobody reads hangs, and is the only one

    async def deliver(self, alert: dict[str, Any]) -> None:
        """Raises OSError where the stream is closed, TimeoutError where nobody reads it."""
        if self._writing:
            raise TimeoutError
        text = render(alert, as_panel=self._stream.isatty())
        self._writing = True
        await in_thread(lambda: self._write(text), timeout_seconds=self._timeout_seconds)

    def _write(self, text: str) -> None:
        try:
            self._put(text)
        finally:
            self._writing = False

    def _put(self, text: str) -> None:
        """Past the stream's own lock where it is a file: the log lines of the process go through that."""
        try:
            number = self._stream.fileno()
        except (OSError, ValueError, AttributeError):  # in memory
            self._stream.write(text)
            self._stream.flush()
            return
        left = text.encode()
        while left:
            left = left[os.write(number, left) :]


def render(alert: dict[str, Any], *, as_panel: bool) -> str:
    """The text of an alert, line end included."""
    if not as_panel:
        return dumps({"alert": alert}).decode() + "\n"
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    resolved = alert["state"] == "resolved"
    body = Text(f"{alert['description']}\n")
    body.append(f"Runbook: {alert['runbook']}", style="dim")
    panel = Panel(
        body,
        title=Text(f"{'resolved' if resolved else alert['severity']} · {alert['summary']}"),
        border_style="green" if resolved else _COLOURS[alert["severity"]],
        title_align="left",
    )
    console = Console(force_terminal=True)
    with console.capture() as captured:
        console.print(panel)
    return captured.get()
