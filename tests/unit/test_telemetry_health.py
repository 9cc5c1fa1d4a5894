"""A role's pages, and which metrics stand on which."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson
import pytest

from veilstream.telemetry import metrics
from veilstream.telemetry.catalogue import EVENTS, METRICS
from veilstream.telemetry.health import Health
from veilstream.telemetry.logs import emit


@pytest.fixture
def health() -> Iterator[Health]:
    made = Health("test", stale_seconds=0.2)
    yield made
    made.close()


def get(port: int, page: str) -> tuple[int, bytes]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def test_ready_only_when_it_says_so(health: Health) -> None:
    port = health.serve("127.0.0.1", 0)
    assert get(port, "/readyz")[0] == 503
    health.ready()
    assert get(port, "/readyz")[0] == 200
    health.not_ready("the store does not answer")
    status, body = get(port, "/readyz")
    assert (status, orjson.loads(body)["reason"]) == (503, "the store does not answer")


def test_a_loop_that_hangs_is_dead(health: Health) -> None:
    port = health.serve("127.0.0.1", 0)
    health.beat()
    assert get(port, "/livez")[0] == 200
    health.stale_seconds = 0.0
    assert get(port, "/livez")[0] == 503


def test_the_public_page_has_no_operator_metric(health: Health) -> None:
    metrics.counter("records_processed", outcome="protected").inc()
    metrics.gauge("window_people", model="health").set(17)
    metrics.gauge("budget_fraction", budget="health").set(0.5)
    port = health.serve("127.0.0.1", 0)
    _, everything = get(port, "/metrics")
    _, public = get(port, "/metrics/public")
    assert b"veilstream_window_people" in everything
    assert b'veilstream_budget_fraction{budget="health"} 0.5' in everything
    assert b'veilstream_budget_fraction{budget="health"} 0.5' in public
    for name, spec in METRICS.items():
        if spec.audience == "operator":
            assert f"veilstream_{name}".encode() not in public


def test_what_the_catalogue_does_not_have_cannot_be_recorded() -> None:
    with pytest.raises(KeyError):
        metrics.counter("surprise")
    with pytest.raises(KeyError):
        metrics.counter("budget_fraction", budget="b")  # a gauge
    with pytest.raises(KeyError, match="no field"):
        emit("record_quarantined", payload="ann@example.com")
    with pytest.raises(KeyError):
        emit("surprise")
    assert "record_quarantined" in EVENTS


def test_an_unknown_page_lists_the_pages(health: Health) -> None:
    status, body = get(health.serve("127.0.0.1", 0), "/")
    assert status == 404
    assert "/metrics/public" in orjson.loads(body)["pages"]
