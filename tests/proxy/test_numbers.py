"""What operators are told is what happened: recomputed from the counters of the simulated Discogs and of the client."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.settings import Settings
from tests.conftest import STORE, Proxy, StartProxy, running_proxy
from tests.simulated_discogs import SimulatedDiscogs

METRICS = "/api/admin/metrics"


async def numbers(proxy: Proxy, query: str = "") -> dict[str, Any]:
    response, body = await proxy.admin("GET", METRICS + query)
    assert response.status == 200
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


async def exposed(proxy: Proxy, metric: str) -> int:
    """The sum of all its series."""
    _, body = await proxy.get("/metrics")
    return round(
        sum(map(float, re.findall(rf"^discogs_proxy_{metric}(?:{{.*}})? (\S+)$", body.decode(), re.MULTILINE)))
    )


@dataclass
class Shop:
    """A client that counts by itself what it would have asked Discogs, and what it got without a wait for that."""

    requests: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    async def load(self, proxy: Proxy, path: str, store: str | None = None) -> None:
        response, body = await proxy.get(path)
        if response.status >= 400 and not path.startswith("/users/"):
            return
        rows = json.loads(body).get("results") if path.startswith("/api/") else None
        self.calls += 1 if rows is None else max(1, -(-len(rows) // 100))
        if store:
            self.requests[store] += 1
            told = response.headers["Cache-Status"]
            self.hits[store] += "; hit" in told and "stale" not in told


async def day(shop: Shop, proxy: Proxy) -> None:
    for page in (1, 2):
        await shop.load(proxy, f"/users/{STORE}/inventory?sort=listed&per_page=100&page={page}", STORE)
    for _ in range(3):
        await shop.load(proxy, f"/api/stores/{STORE}/inventory", STORE)
        await shop.load(proxy, "/users/small_shop/inventory?sort=price", "small_shop")
        await shop.load(proxy, f"/api/stores/{STORE}/inventory?year=never", STORE)
        await shop.load(proxy, "/artists/194")
    for path in ("/api/admin/nothing", "/healthz", f"/api/stores/{STORE}/inventory?sort=odd"):
        await proxy.get(path)


def is_quiet(found: dict[str, Any], discogs: SimulatedDiscogs) -> bool:
    """All is matched, and no call is under way."""
    waiting: int = found["queue"]["queued"] + found["queue"]["processing"]
    upstream: int = found["api_calls"]["upstream"]
    return waiting == 0 and upstream == len(discogs.calls)


@pytest.mark.slow
async def test_numbers_are_those_of_discogs_and_of_the_client_across_a_restart(
    database_dsn: str, discogs: SimulatedDiscogs, tmp_path: Path
) -> None:
    settings = Settings.from_environment(
        {
            "STORES": f"{STORE},small_shop",
            "DISCOGS_API_URL": discogs.url,
            "DISCOGS_RATE_LIMIT": "0",
            "DATA_DIR": str(tmp_path),
            "MATCH_PROVIDERS": "discogs_videos",
        }
    )
    shop, prometheus, began = Shop(), Counter[str](), datetime.now(UTC)
    for _ in range(2):
        async with running_proxy(settings, database_dsn) as proxy:
            await day(shop, proxy)
            async with asyncio.timeout(30):
                while not is_quiet(found := await numbers(proxy), discogs):
                    await asyncio.sleep(0.05)
            for metric in ("client_calls_total", "upstream_calls_total"):
                prometheus[metric] += await exposed(proxy, metric)
        assert prometheus["upstream_calls_total"] == len(discogs.calls)
    assert found["api_calls"]["client"] == shop.calls == prometheus["client_calls_total"]
    assert found["api_calls"]["upstream"] == len(discogs.calls)
    assert found["api_calls"]["reduction"] == pytest.approx(1 - len(discogs.calls) / shop.calls, abs=1e-4)
    for name, of_store in found["stores"].items():
        assert of_store["requests"] == shop.requests[name]
        assert of_store["hits"] == shop.hits[name]
        assert of_store["hit_rate"] == pytest.approx(shop.hits[name] / shop.requests[name], abs=1e-4)
        assert 0 < of_store["load_ms"]["p50"] <= of_store["load_ms"]["p95"] < 60_000
    assert found["stores"].keys() == {STORE, "small_shop"}
    queue, matching = found["queue"], found["matching"]
    assert matching["releases"] == queue["matched"] + queue["unmatched"] > 5
    assert matching["matched"] == queue["matched"]
    assert matching["success_rate"] == pytest.approx(queue["matched"] / matching["releases"], abs=1e-4)
    assert found["budget"] == {"limit": None, "remaining": None}
    assert timedelta(hours=24) <= began - datetime.fromisoformat(found["since"]) < timedelta(hours=25, minutes=1)


async def test_where_nothing_was_there_is_nothing_to_divide_by(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(DISCOGS_RATE_LIMIT="40")
    found = await numbers(proxy, "?hours=1")
    assert found["stores"] == {}
    assert found["api_calls"] == {"client": 0, "upstream": 0, "reduction": None}
    assert found["matching"] == {"releases": 0, "matched": 0, "success_rate": None}
    assert found["budget"] == {"limit": 40, "remaining": 40}


async def test_each_process_tells_the_budget_that_all_share(start_proxy: StartProxy, tmp_path: Path) -> None:
    limit = {"DISCOGS_RATE_LIMIT": "40"}
    idle = await start_proxy(**limit)
    assert (await numbers(idle))["budget"] == {"limit": 40, "remaining": 40}
    busy = await start_proxy(**limit, DATA_DIR=str(tmp_path / "busy"))
    for page in (1, 2, 3):
        await busy.get(f"/users/{STORE}/inventory?sort=price&per_page=50&page={page}")
    assert (await numbers(idle))["budget"] == {"limit": 40, "remaining": 37}
    _, body = await idle.admin("GET", "/admin/budget.json")
    shown = json.loads(body)
    assert (shown["remaining"], shown["shopper_calls"]) == (37, 3)
    _, body = await idle.admin("GET", "/admin/budget")
    assert 'data-figure="remaining">37<' in body.decode()


async def test_hours_tell_how_far_to_look_back(proxy: Proxy) -> None:
    await proxy.get("/artists/194")
    assert (await numbers(proxy, "?hours=168"))["api_calls"]["client"] == 1
    for wrong in ("0", "169", "x", "1.5", "-1", ""):
        response, body = await proxy.admin("GET", f"{METRICS}?hours={wrong}")
        assert response.status == 400
        assert json.loads(body)["message"]
