"""prometheus-client metrics, made from the catalogue on first use.

Two registries, one for each side of the guarantee's boundary: `PUBLIC` and `OPERATOR`.
"""

from __future__ import annotations

from functools import cache
from typing import cast

from prometheus_client import REGISTRY as OPERATOR
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from veilstream.telemetry.catalogue import METRICS

__all__ = ["OPERATOR", "PUBLIC", "counter", "gauge", "histogram"]

PUBLIC = CollectorRegistry()

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


@cache
def _metric(name: str) -> Counter | Gauge | Histogram:
    spec = METRICS[name]
    text = f"{spec.help} ({spec.audience})"
    side = PUBLIC if spec.audience == "public" else OPERATOR
    if spec.kind == "histogram":
        return Histogram(f"veilstream_{name}", text, spec.labels, buckets=_BUCKETS, registry=side)
    kind: type[Counter] | type[Gauge] = Counter if spec.kind == "counter" else Gauge
    return kind(f"veilstream_{name}", text, spec.labels, registry=side)


def _labelled(name: str, kind: str, labels: dict[str, str]) -> Counter | Gauge | Histogram:
    if METRICS[name].kind != kind:
        raise KeyError(f"{name} is a {METRICS[name].kind}, not a {kind}")
    metric = _metric(name)
    return metric.labels(**labels) if labels else metric


def counter(name: str, **labels: str) -> Counter:
    """The catalogued counter with these labels. KeyError where the catalogue has none."""
    return cast(Counter, _labelled(name, "counter", labels))


def gauge(name: str, **labels: str) -> Gauge:
    """The catalogued gauge with these labels."""
    return cast(Gauge, _labelled(name, "gauge", labels))


def histogram(name: str, **labels: str) -> Histogram:
    """The catalogued histogram with these labels."""
    return cast(Histogram, _labelled(name, "histogram", labels))
