from __future__ import annotations

import json
import re
from pathlib import Path

from tests.conftest import STORE, Proxy
from tests.simulated_discogs import SimulatedDiscogs

README = Path(__file__).resolve().parents[3] / "README.md"


async def test_the_process_lives(proxy: Proxy) -> None:
    response, body = await proxy.get("/healthz")
    assert (response.status, json.loads(body)) == (200, {"status": "ok"})


async def test_nothing_is_degraded(proxy: Proxy) -> None:
    response, body = await proxy.get("/readyz")
    assert (response.status, json.loads(body)) == (200, {"status": "ready", "degraded": {}})


async def test_requests_and_calls_are_counted(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await proxy.get(f"/users/{STORE}/inventory")
    _, body = await proxy.get("/metrics")
    text = body.decode()
    assert 'discogs_proxy_requests_total{kind="inventory",source="miss",status="200",store="other"} 1.0' in text
    assert 'discogs_proxy_upstream_calls_total{lane="shopper",outcome="2xx"} 1.0' in text


async def test_the_readme_names_every_metric_and_no_other(proxy: Proxy) -> None:
    documented = {name.removesuffix("_total") for name in re.findall(r"`(discogs_proxy_\w+)`", README.read_text())}
    _, body = await proxy.get("/metrics")
    assert documented == set(re.findall(r"^# HELP (discogs_proxy_\w+?)(?:_total)? ", body.decode(), re.MULTILINE))
