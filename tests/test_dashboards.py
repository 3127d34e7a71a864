"""The dashboards as files are what the code gives, name metrics that there are, and explain themselves."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from grafana.dashboards import DASHBOARDS, FOLDER, written
from grafana.queries import MOST_SHOWN
from proxy.adapters.metrics import Metrics
from tests.test_demo_watched import filled, installed


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_file_of_a_dashboard_is_what_the_code_gives(name: str) -> None:
    found = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert found == written(DASHBOARDS[name]), "python -m grafana.dashboards writes it anew"


def test_there_is_no_other_dashboard() -> None:
    assert {each.stem for each in FOLDER.glob("*.json")} == set(DASHBOARDS)


def panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{name}: {panel['title']}")
        for name, dashboard in DASHBOARDS.items()
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    ]


@pytest.mark.parametrize("panel", panels())
def test_a_panel_answers_a_question_and_helps_to_read_the_answer(panel: dict[str, Any]) -> None:
    assert panel["title"].endswith("?")
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("panel", panels())
def test_where_processes_are_told_apart_workers_are_too(panel: dict[str, Any]) -> None:
    for target in panel.get("targets", []):
        assert ("{{instance}}" in target["legendFormat"]) == ("{{worker}}" in target["legendFormat"])
        assert not re.search(r"by \([^)]*instance(?!, worker)", target["expr"])


def test_dashboards_name_metrics_that_there_are() -> None:
    text = json.dumps(DASHBOARDS)
    named = set(re.findall(r"discogs_proxy_[a-z_]+", text))
    known: set[str] = set()
    for family in Metrics().registry.collect():
        known |= {family.name, f"{family.name}_total", *(f"{family.name}_{end}" for end in ("bucket", "sum", "count"))}
    assert named <= known


def test_no_panel_overlaps_another() -> None:
    for dashboard in DASHBOARDS.values():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])
            }
            assert not cells & taken
            assert place["x"] + place["w"] <= 24
            taken |= cells


OF_STORES = (
    ("requests_total", 'source="hit"'),
    ("requests_total", 'source="miss"'),
    ("client_calls_total", ""),
    ("store_upstream_calls_total", 'lane="check"'),
    ("inventory_load_seconds_bucket", 'le="1.0"'),
    ("inventory_load_seconds_bucket", 'le="+Inf"'),
    ("listing_age_seconds", ""),
)


def test_a_table_of_stores_has_no_more_rows_than_it_says(tmp_path: Path) -> None:
    """Each of its columns, by a real Prometheus, of more stores than are shown; one has no hit and needed no call."""
    table = next(each for each in DASHBOARDS["overview"]["panels"] if each["type"] == "table")
    series = [
        {"series": f'discogs_proxy_{metric}{{store="s{store:02}", {labels}}}', "values": f"0+{store + 1}x60"}
        for metric, labels in OF_STORES
        for store in range(MOST_SHOWN + 2)
        if store < MOST_SHOWN or labels not in ('source="hit"', 'lane="check"')
    ]
    wanted = [
        {
            "expr": f"count by (kind) (label_replace({expr}, 'kind', '$1', 'store', '(s).*'))",
            "eval_time": "10m",
            "exp_samples": [{"labels": '{kind="s"}', "value": MOST_SHOWN}],
        }
        for expr in (filled(target["expr"]) for target in table["targets"])
    ]
    asked = tmp_path / "asked.yml"
    asked.write_text(json.dumps({"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": wanted}]}))
    told = subprocess.run([installed("promtool"), "test", "rules", asked], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
