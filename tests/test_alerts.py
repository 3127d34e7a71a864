"""The alert rules, by Prometheus' own tool, and that they speak of metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy.adapters.metrics import Metrics

FOLDER = Path(__file__).resolve().parents[1] / "grafana" / "prometheus"
RUNBOOK = Path(__file__).resolve().parents[1] / "docs" / "alerts.md"


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
    named = {
        name.removesuffix("_total") for name in re.findall(r"discogs_proxy_\w+", (FOLDER / "rules.yml").read_text())
    }
    assert named <= {family.name for family in Metrics().registry.collect()}


def test_every_alert_is_tested_and_leads_to_what_is_to_be_done() -> None:
    rules = (FOLDER / "rules.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert set(alerts) == set(re.findall(r"alertname: (\w+)", (FOLDER / "rules_test.yml").read_text()))
    assert re.findall(r"runbook: docs/alerts.md#(\w+)", rules) == [alert.lower() for alert in alerts]
    assert re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE) == alerts
