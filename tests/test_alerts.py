"""The alert rules, by Prometheus' own tool, and that they speak of metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.adapters.metrics import Metrics

FOLDER = Path(__file__).resolve().parents[1] / "grafana" / "prometheus"


@pytest.mark.slow
def test_the_alert_rules_tell_what_they_should_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is needed: apt install prometheus")
    shown = subprocess.run(
        [promtool, "test", "rules", FOLDER / "rules_test.yml"], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_the_alert_rules_name_metrics_that_there_are() -> None:
    named = set(re.findall(r"discogs_proxy_\w+", (FOLDER / "rules.yml").read_text()))
    assert named <= {family.name for family in Metrics().registry.collect()}
