"""Writes the reference documents that are made from code: settings, telemetry, topics.

    python tests/docs/generate.py          write them
    python tests/docs/generate.py --check  exit 1 where one differs

`test_docs_generated.py` compares them in every run of the tests.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from veilstream.events.topics import CATALOGUE, specs
from veilstream.settings import KafkaSettings, Settings
from veilstream.telemetry.catalogue import EVENTS, METRICS

DOCS = Path(__file__).parents[2] / "docs"

_BOUNDS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}", "pattern": "matches `{}`"}
_WORDS: dict[Any, str] = {
    int: "integer",
    float: "number",
    bool: "true or false",
    str: "text",
    SecretStr: "text, secret",
    Path: "path",
}
_MADE = "<!-- Made by `python tests/docs/generate.py`: change the code, then run it. -->"


def _fill(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def settings() -> str:
    lines = [
        "# Settings",
        _MADE,
        "",
        *_fill(
            "Later wins: the default; `<data_dir>/endpoints.toml`, which `veilstream up` writes; the file "
            "that `VEILSTREAM_CONFIG` names, or `./veilstream.toml` where it is there; the environment. In "
            "TOML a setting is `name` in the table `[section]`; in the environment it has the name below. A "
            "setting that does not exist, or takes another value, stops the command with exit code 2 and "
            "says which and why; secrets are not shown."
        ),
        "",
        "```toml",
        "[kafka]",
        'bootstrap = "broker-1:9093,broker-2:9093"',
        'security_protocol = "SASL_SSL"',
        "",
        "[worker]",
        "window_seconds = 86400",
        "```",
        "",
        *_fill("Lists in the environment are JSON: `VEILSTREAM_ALERTING__THRESHOLDS='[0.5, 0.9]'`."),
    ]
    top = {n: f for n, f in Settings.model_fields.items() if _section(f) is None}
    lines += ["", "## Top level", "", *_rows("VEILSTREAM_", top)]
    for name, field in Settings.model_fields.items():
        section = _section(field)
        if section is not None:
            docstring = (section.__doc__ or "").strip()
            lines += ["", f"## `{name}`", "", docstring, ""]
            lines += _rows(f"VEILSTREAM_{name.upper()}__", section.model_fields)
    return "\n".join(lines) + "\n"


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _rows(prefix: str, fields: dict[str, FieldInfo]) -> list[str]:
    rows = ["| setting | takes | default | meaning | environment |", "|---|---|---|---|---|"]
    for name, field in fields.items():
        cells = (
            f"`{name}`",
            _takes(field),
            _default(field),
            field.description or "",
            f"`{prefix}{name.upper()}`",
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _takes(field: FieldInfo) -> str:
    return _type(field.annotation) + _constraints(field.metadata)


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return ", or ".join("unset" if a is NoneType else _type(a) for a in arguments)
    if origin is tuple:
        return f"list, each {_type(arguments[0])}"
    if hasattr(kind, "__metadata__"):
        return _type(arguments[0]) + _constraints(
            [m for part in kind.__metadata__ for m in getattr(part, "metadata", [part])]
        )
    return _WORDS[kind]


def _constraints(metadata: list[Any]) -> str:
    found = [
        text.format(value)
        for part in metadata
        for name, text in _BOUNDS.items()
        if (value := getattr(part, name, None)) is not None
    ]
    return "".join(f", {text}" for text in found)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, tuple):
        value = list(value)
    return f"`{value}`"


def telemetry() -> str:
    lines = [
        "# Telemetry",
        _MADE,
        "",
        *_fill(
            "Each role serves `/metrics` (Prometheus), `/livez` and `/readyz` at `telemetry.host` and "
            "`telemetry.port`. `/livez` answers 503 when the role's loop hangs; `/readyz` answers 503 with "
            "a reason while it cannot work. Nothing but what stands here can be recorded: code that tries "
            "gets an error."
        ),
        "",
        "## Metrics",
        "",
        *_fill(
            "Every name has the prefix `veilstream_`. A counter is exposed as `…_total`, a histogram as "
            "`…_bucket`, `…_sum` and `…_count`. **Public** metrics are functions of public parameters and "
            "may be shown to anyone. **Operator** metrics are exact counts, losses and denials: they stay "
            "inside the boundary of the guarantee ([guarantee](guarantee.md)). `/metrics` has both; "
            "`/metrics/public` has the public ones alone."
        ),
        "",
        "| metric | kind | labels | audience | meaning |",
        "|---|---|---|---|---|",
    ]
    for metric in METRICS.values():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.audience} | {metric.help} |")
    lines += [
        "",
        "## Log events",
        "",
        *_fill(
            "One JSON object a line on standard error: `time`, `level`, `event`, and the fields below and "
            "no others. No line holds a payload, a key or the text of a library's error; of a library's own "
            "log line only its logger, its template and the type of its exception are shown "
            "(`third_party`)."
        ),
        "",
        "| event | fields | meaning |",
        "|---|---|---|",
    ]
    for event in EVENTS.values():
        fields = ", ".join(f"`{field}`" for field in event.fields)
        lines.append(f"| `{event.name}` | {fields} | {event.help} |")
    return "\n".join(lines) + "\n"


def topics() -> str:
    kafka = KafkaSettings.model_validate({})
    lines = [
        "# Topics",
        _MADE,
        "",
        *_fill(
            "`veilstream topics create` makes them, `veilstream topics check` compares the broker's with "
            "these and changes nothing. The prefix is `kafka.topic_prefix`; partitions, replicas, retention "
            "and the record limit are settings ([settings](settings.md)), and the table shows their "
            "defaults. A topic that exists otherwise than this (partitions, cleanup, timestamp, record "
            "limit, or kept for less than ever) stops every role with `topic_mismatch`; other differences "
            "are warnings."
        ),
        "",
        "| topic | key | who may read | cleanup | kept | partitions | timestamp | largest batch, bytes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for topic, spec in zip(CATALOGUE.values(), specs(kafka), strict=True):
        retention = int(spec.configs["retention.ms"])
        kept = "for ever" if retention < 0 else f"{retention / 3_600_000:g} hours"
        cells = (
            f"`{spec.name}`",
            topic.key,
            topic.readers,
            spec.configs["cleanup.policy"],
            kept,
            str(spec.partitions),
            spec.configs["message.timestamp.type"],
            spec.configs["max.message.bytes"],
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        *_fill(
            "Veilstream does not set access rules. Set them on the broker so that the third column holds: "
            "the guarantee counts whoever can read the raw, protected, quarantine, journal or signals "
            "topics as inside its boundary. One partition means that the order is total. `LogAppendTime` "
            "means that the broker stamps the record: the training windows are sealed by that stamp, so no "
            "producer can move a record into another window. `compact` keeps the last record of each key; a "
            "topic kept for ever is never cut by time or size."
        ),
    ]
    return "\n".join(lines) + "\n"


DOCUMENTS: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "telemetry.md": telemetry,
    "topics.md": topics,
}


def main() -> int:
    differing = [n for n, make in DOCUMENTS.items() if not _same(DOCS / n, make())]
    if "--check" in sys.argv:
        return 1 if differing else 0
    for name in differing:
        (DOCS / name).write_text(DOCUMENTS[name]())
        print(f"wrote docs/{name}")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
