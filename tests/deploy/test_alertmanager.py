"""Alertmanager takes its configuration, and each severity reaches whom it should."""

from __future__ import annotations

import pytest

from monitoring import DEPLOY, program, run

CONFIG = DEPLOY / "alertmanager" / "alertmanager.yml"


def test_amtool_takes_the_configuration() -> None:
    done = run(program("amtool"), "check-config", CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "pager"), ("warning", "operators"), ("info", "operators")]
)
def test_each_severity_reaches_its_receiver(severity: str, receiver: str) -> None:
    tool = program("amtool")
    labels = (f"severity={severity}", "alertname=VeilstreamLag", "budget=acme/support")
    done = run(tool, "config", "routes", "test", f"--config.file={CONFIG}", *labels)
    assert done.stdout.split() == [receiver]
