"""The dashboards as files are what the code gives, name metrics that there are, and explain themselves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from grafana.dashboards import DASHBOARDS, FOLDER, written
from proxy.adapters.metrics import Metrics


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
