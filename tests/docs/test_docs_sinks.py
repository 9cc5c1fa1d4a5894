"""docs/sinks.md has every sink, answer, inhibition and metric, as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

from veilstream.alerting import delivery, delivery_queue, delivery_told
from veilstream.alerting.silences import load_inhibitions, parse_inhibitions
from veilstream.alerting.sinks.http import LONGEST_RETRY_AFTER_SECONDS, NOT_NOW
from veilstream.alerting.sinks.registry import BUILT_IN, GROUP
from veilstream.events.signatures import SIGNATURE_HEADER, TOLERANCE_SECONDS
from veilstream.settings import AlertingSettings
from veilstream.telemetry.catalogue import METRICS

TEXT = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text()


def test_every_sink_and_the_settings_that_it_needs() -> None:
    section = TEXT.split("## The sinks")[1].split("###")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, flags=re.MULTILINE)
    assert [name for name, _ in rows] == sorted(BUILT_IN)
    for _, needs in rows:
        for setting in re.findall(r"`(\w+)`", needs):
            assert setting in AlertingSettings.model_fields
    assert GROUP in TEXT


def test_the_answers_and_the_figures() -> None:
    assert ", ".join(map(str, sorted(NOT_NOW))) in TEXT
    assert f"4 … {delivery_told.LONGEST_PAUSE_SECONDS:.0f} seconds" in TEXT
    assert LONGEST_RETRY_AFTER_SECONDS == 3600
    assert delivery_queue._PATIENCE == 3
    assert f"in {delivery._SESSION_MS // 1000} seconds" in TEXT
    assert f"more than {delivery._MOST_WAITING:,} alerts" in TEXT
    assert SIGNATURE_HEADER in TEXT
    assert TOLERANCE_SECONDS == 300


def test_every_metric_of_delivery() -> None:
    named = set(re.findall(r"`veilstream_(alert_deliver\w+?)(?:_total)?\{", TEXT))
    assert named == {name for name in METRICS if name.startswith("alert_deliver")}


def test_the_built_in_inhibitions() -> None:
    section = TEXT.split("<!-- inhibitions -->")[1].split("\n\n")[0]
    rows = [[re.findall(r"`([\w-]+)`", c) for c in line.split("|")[1:4]] for line in section.splitlines()[3:]]
    found = [(name[0], tuple(source), tuple(target)) for name, source, target in rows]
    assert found == [
        (rule.name, rule.source.patterns[0][1], rule.target.patterns[0][1]) for rule in load_inhibitions(None)
    ]


def test_the_example_of_an_inhibition_can_be_used() -> None:
    example = TEXT.split("## Inhibition")[1].split("```toml\n")[1].split("```")[0]
    (rule,) = parse_inhibitions(example, "the example")
    assert rule.equal == ("tenant",)
