"""A real Prometheus watches the demo: every panel and variable has something to show, and no alert cries."""

from __future__ import annotations

import asyncio
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from grafana.dashboards import DASHBOARDS
from tests.test_demo_and_bench import demo, printed

pytestmark = pytest.mark.slow

RULES = Path(__file__).resolve().parents[1] / "grafana" / "prometheus"
SHOWN_WITHIN_S = 150.0
STEP_S = 3.0

LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


def installed(program: str) -> str:
    """Where it is; the test is skipped where it is not, but never where changes are checked."""
    found = shutil.which(program)
    if found is None and os.environ.get("CI") != "true":
        pytest.skip(f"{program} is needed: apt install prometheus")
    assert found, f"{program} is needed: apt install prometheus"
    return found


def test_the_configuration_is_one_that_prometheus_takes() -> None:
    shown = subprocess.run(
        [installed("promtool"), "check", "config", RULES / "prometheus.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr


async def test_every_panel_has_something_to_show_and_no_alert_cries(tmp_path: Path) -> None:
    installed("prometheus")
    async with demo(tmp_path), aiohttp.ClientSession() as session:
        api = await printed(tmp_path, r"Prometheus +(http\S+)") + "/api/v1"
        empty = dict(questions())
        until = asyncio.get_running_loop().time() + SHOWN_WITHIN_S
        while empty := {where: asked for where, asked in empty.items() if not await has_answer(session, api, *asked)}:
            assert asyncio.get_running_loop().time() < until, sorted(empty)
            await asyncio.sleep(STEP_S)
        assert not (await data(session, f"{api}/alerts", {}))["alerts"]


def questions() -> Iterator[tuple[str, tuple[str, dict[str, str]]]]:
    """What Grafana would ask of Prometheus, by what shows the answer."""
    for name, dashboard in DASHBOARDS.items():
        for variable in dashboard["templating"]["list"]:
            if found := LABEL_VALUES.fullmatch(str(variable["query"]["query"]) if variable["type"] == "query" else ""):
                yield f"{name}: ${variable['name']}", (f"label/{found[2]}/values", {"match[]": found[1]})
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{name}: {panel['title']} {target['refId']}", ("query", {"query": filled(target["expr"])})


def filled(expr: str) -> str:
    """As Grafana would with the last five minutes of one store."""
    for variable, value in (("$__rate_interval", "1m"), ("$__range", "5m"), ("$store", "vinyl_den")):
        expr = expr.replace(variable, value)
    assert "$" not in expr.replace('"$1xx"', ""), expr
    return expr


async def has_answer(session: aiohttp.ClientSession, api: str, path: str, query: dict[str, str]) -> bool:
    """Some series with a number."""
    found = await data(session, f"{api}/{path}", query)
    if isinstance(found, list):
        return bool(found)
    return any(not math.isnan(float(series["value"][1])) for series in found["result"])


async def data(session: aiohttp.ClientSession, url: str, query: dict[str, str]) -> Any:
    async with session.get(url, params=query) as response:
        answer = await response.json()
    assert answer["status"] == "success", answer
    return answer["data"]
