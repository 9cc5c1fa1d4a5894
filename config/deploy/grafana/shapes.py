"""What a dashboard is made of, and how Grafana writes it.

Rows are filled from left to right, 24 columns wide, in the order in which the panels are described.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Panel", "Query", "Row", "Step", "panels", "plot", "variable"]

_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS = 24

Step = tuple[float | None, str]
"""A value (None: from the beginning) and the colour from there on."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of Prometheus, and what a line of the answer is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `steps` are drawn as lines in a time series, as colours elsewhere."""

    title: str
    description: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "bargauge", "table"] = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    greatest: float | None = None
    steps: tuple[Step, ...] = ()
    stairs: bool = False
    columns: dict[str, str] = field(default_factory=dict)  # of a table: what Grafana calls it -> heading
    units: dict[str, str] = field(default_factory=dict)  # of a table: heading -> unit
    sort: str = ""  # of a table: heading


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and its panels."""

    title: str
    panels: tuple[Panel, ...]


def plot(title: str, description: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """A time series of expressions and their legends."""
    return Panel(title, description, tuple(Query(*query) for query in queries), **more)


def variable(name: str, label: str, query: str, every: str | None = None) -> dict[str, Any]:
    """A variable of the dashboard, whose values are labels; `every` is what "All" stands for."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        **({"allValue": every} if every else {}),
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _targets(panel: Panel) -> Iterator[dict[str, Any]]:
    for number, query in enumerate(panel.queries):
        instant = {"instant": True, "range": False} if panel.kind != "timeseries" else {}
        yield {
            "refId": chr(ord("A") + number),
            "expr": query.expr,
            "legendFormat": query.legend,
            "datasource": _SOURCE,
            **instant,
            **({"format": "table"} if panel.kind == "table" else {}),
        }


def _field(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind != "table":
        defaults["min"] = 0
    if panel.greatest is not None:
        defaults["max"] = panel.greatest
    custom: dict[str, Any] = {}
    if panel.stairs:
        custom["lineInterpolation"] = "stepAfter"
    if panel.steps:
        steps = [{"color": colour, "value": value} for value, colour in panel.steps]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        if panel.kind == "timeseries":
            custom["thresholdsStyle"] = {"mode": "dashed"}
    if custom:
        defaults["custom"] = custom
    overrides = [
        {
            "matcher": {"id": "byName", "options": heading},
            "properties": [{"id": "unit", "value": unit}],
        }
        for heading, unit in panel.units.items()
    ]
    return {"defaults": defaults, "overrides": overrides}


def _table(panel: Panel) -> list[dict[str, Any]]:
    """One row for each budget (or alert): the queries side by side, in the order of `columns`."""
    return [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": list(panel.columns)}}},
        {
            "id": "organize",
            "options": {
                "indexByName": {name: place for place, name in enumerate(panel.columns)},
                "renameByName": panel.columns,
            },
        },
    ]


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "bargauge":
        return {
            "orientation": "horizontal",
            "displayMode": "lcd",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        }
    if panel.kind == "table":
        return {"showHeader": True, "sortBy": [{"displayName": panel.sort, "desc": False}]}
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


def panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The rows and their panels, numbered and placed."""
    number, top = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        number, top = number + 1, top + 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            yield {
                "id": number,
                "type": panel.kind,
                "title": panel.title,
                "description": panel.description,
                "datasource": _SOURCE,
                "gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height},
                "targets": list(_targets(panel)),
                "fieldConfig": _field(panel),
                "options": _options(panel),
                **({"transformations": _table(panel)} if panel.kind == "table" else {}),
            }
            number, left, tallest = number + 1, left + panel.width, max(tallest, panel.height)
        top += tallest
