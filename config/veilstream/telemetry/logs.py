"""Structured logs: one JSON object a line on standard error.

`emit` takes only events and fields of the catalogue, so no payload, key or error text can slip in. Lines of
libraries are reduced to their logger, their message template and the type of the exception: their arguments
may hold a record. The same line of a library is shown once in ten seconds.
"""

from __future__ import annotations

import logging
import sys

import orjson

from veilstream.telemetry.catalogue import EVENTS

__all__ = ["configure", "emit"]

_ours = logging.getLogger("veilstream.event")

_SELDOM_SECONDS = 10.0
_SHOWN_AT_MOST = 1000

Scalar = str | int | float | bool | None | list[int] | list[str]


def emit(event: str, /, *, level: int = logging.INFO, **fields: Scalar) -> None:
    """Log a catalogued event.

    Raises:
        KeyError: the event, or one of the fields, is not in the catalogue.
    """
    unknown = set(fields) - set(EVENTS[event].fields)
    if unknown:
        raise KeyError(f"log event {event} has no field {sorted(unknown)}")
    if _ours.isEnabledFor(level):
        _ours.log(level, event, extra={"veil_fields": fields})


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z"
        line: dict[str, object] = {"time": time, "level": record.levelname.lower()}
        if record.name == _ours.name:
            line["event"] = record.msg
            line.update(getattr(record, "veil_fields", {}))
        else:
            line["event"] = "third_party"
            line["logger"] = record.name
            # A message formatted before it got here may hold data: only a template with arguments is shown.
            line["template"] = str(record.msg) if record.args else f"{len(str(record.msg))} characters"
            if record.exc_info and record.exc_info[0]:
                line["error_type"] = record.exc_info[0].__name__
        return orjson.dumps(line, default=str).decode()


class _Seldom(logging.Filter):
    """A library's same line is shown once in a while: a lost broker is news, not a flood."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._shown: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == _ours.name:
            return True
        line = (record.name, str(record.msg) if record.args else record.pathname + str(record.lineno))
        if record.created - self._shown.get(line, 0.0) < self._seconds:
            return False
        if len(self._shown) >= _SHOWN_AT_MOST:
            self._shown.clear()
        self._shown[line] = record.created
        return True


def configure(level: str = "INFO") -> None:
    """Send everything to standard error as JSON lines; libraries from WARNING up."""
    import time

    formatter = _JsonLines()
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(_Seldom(_SELDOM_SECONDS))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _ours.setLevel(level)
