"""What is counted of each store: in Prometheus by process, in the database for all of them, for a day."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from matcher.errors import DatabaseUnavailable
from proxy import keys
from proxy.adapters import tracking
from proxy.adapters.metrics import Metrics
from proxy.domain.budget import Lane
from proxy.settings import Settings
from tests.conftest import STORE, Proxy, StartProxy, running_proxy
from tests.simulated_discogs import SimulatedDiscogs

INVENTORY = f"/users/{STORE}/inventory?sort=listed&per_page=100"


async def mirror(proxy: Proxy, username: str) -> None:
    await proxy.app[keys.SCHEDULER].watched()
    assert await proxy.app[keys.CHECKS].check(username, Lane.CHECK, "test").ended()


async def lines(proxy: Proxy) -> dict[str, float]:
    """Of /metrics, without the name that all have."""
    _, body = await proxy.get("/metrics")
    found = re.findall(r"^discogs_proxy_(\S+) (\S+)$", body.decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


async def stores(proxy: Proxy) -> dict[str, Any]:
    response, body = await proxy.admin("GET", "/api/admin/stores")
    assert response.status == 200
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    """With a mirror of one store."""
    found = await start_proxy(STORES=f"den={STORE}")
    await mirror(found, STORE)
    return found


async def test_of_a_tracked_store_calls_spared_and_made_and_staleness_are_counted(proxy: Proxy) -> None:
    for _ in range(4):
        await proxy.get(INVENTORY)
    await proxy.get("/api/stores/den/inventory")
    found = await lines(proxy)
    assert found[f'client_calls_total{{kind="inventory",store="{STORE}"}}'] == 4
    assert found[f'client_calls_total{{kind="store",store="{STORE}"}}'] == 2
    assert found[f'requests_total{{kind="inventory",source="hit",status="200",store="{STORE}"}}'] == 4
    assert found[f'store_upstream_calls_total{{lane="check",store="{STORE}"}}'] == 2
    assert found[f'store_upstream_calls_total{{lane="sweep",store="{STORE}"}}'] == 1
    assert found[f'staleness_seconds_count{{kind="inventory",store="{STORE}"}}'] == 4
    assert found[f'staleness_seconds_bucket{{kind="store",le="60.0",store="{STORE}"}}'] == 1


async def test_stores_that_are_not_tracked_share_a_label_and_what_is_of_no_store_has_none(proxy: Proxy) -> None:
    for _ in range(2):
        await proxy.get("/users/small_shop/inventory")
        await proxy.get("/users/Nobody_At_All/inventory")
        await proxy.get("/artists/194")
    found = await lines(proxy)
    assert found['client_calls_total{kind="inventory",store="other"}'] == 4
    assert found['store_upstream_calls_total{lane="shopper",store="other"}'] == 2
    assert found['client_calls_total{kind="database",store=""}'] == 2
    assert found['staleness_seconds_count{kind="database",store=""}'] == 1
    assert not [line for line in found if "small_shop" in line or "nobody" in line.lower()]


async def test_what_discogs_would_not_have_answered_spares_no_call(proxy: Proxy) -> None:
    for path in ("/healthz", "/api/nothing", "/api/stores/den/inventory?year=x", "/api/stores/a%2Fb/inventory"):
        await proxy.get(path)
    assert not [line for line in await lines(proxy) if line.startswith("client_calls")]


async def test_a_client_that_has_the_answer_would_have_asked_once(proxy: Proxy) -> None:
    response, _ = await proxy.get("/api/stores/den/inventory")
    response, _ = await proxy.get("/api/stores/den/inventory", If_None_Match=response.headers["ETag"])
    assert response.status == 304
    assert (await lines(proxy))[f'client_calls_total{{kind="store",store="{STORE}"}}'] == 2 + 1


async def test_a_feed_counts_as_asked_for_each_store_that_it_is_for(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(STORES=STORE)
    for username in (STORE, "small_shop"):
        await mirror(proxy, username)
    await proxy.get("/api/feed?limit=200")
    await proxy.get(f"/api/feed?stores=small_shop,{STORE}&limit=200")
    found = await lines(proxy)
    assert found['client_calls_total{kind="feed",store=""}'] == 2 + 1  # rows of two pages and of one
    assert found[f'client_calls_total{{kind="feed",store="{STORE}"}}'] == 2
    calls = {row["username"]: row["calls_24h"] for row in (await stores(proxy))["stores"]}
    assert (calls[STORE]["client"], calls[STORE]["replaced"]) == (4, 4)
    assert (calls["small_shop"]["client"], calls["small_shop"]["replaced"]) == (1, 1)


async def test_the_series_of_a_store_end_when_it_is_no_longer_tracked(proxy: Proxy) -> None:
    await proxy.admin("PUT", "/api/admin/stores/small_shop")
    for _ in range(2):
        await proxy.get("/users/small_shop/inventory?sort=listed")
    assert any("small_shop" in line for line in await lines(proxy))
    assert (await proxy.admin("DELETE", "/api/admin/stores/small_shop"))[0].status == 204
    await stores(proxy)
    assert not any("small_shop" in line for line in await lines(proxy))
    await proxy.get("/users/small_shop/inventory?sort=listed")
    assert (await lines(proxy))['client_calls_total{kind="inventory",store="other"}'] == 1


def test_a_thousand_names_make_no_series() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.answered("inventory", "hit", 200, 0.1, {f"store{number}": 1})
        metrics.served("inventory", {f"store{number}": 1}, 1, 3.0)
        metrics.called(f"store{number}", "check", "2xx", 0.1)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert not [sample for sample in samples if sample.labels.get("store", "other") != "other"]


async def test_a_sweep_shows_its_pages_until_it_has_ended(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    discogs.latency_ms = 300
    proxy = await start_proxy(STORES=STORE, BACKGROUND_PROCESSING_ENABLED="true", MATCH_PROVIDERS="deezer")

    async def shown() -> set[str]:
        return {line for line in await lines(proxy) if line.startswith("sweep_pages")}

    async with asyncio.timeout(10):
        while not (seen := await shown()):
            await asyncio.sleep(0.02)
        assert seen == {f'sweep_pages{{state="{state}",store="{STORE}"}}' for state in ("read", "left")}
        while await shown():
            await asyncio.sleep(0.02)


async def test_operators_see_what_was_spared_in_a_day_after_a_restart_and_from_any_process(
    database_dsn: str, discogs: SimulatedDiscogs, start_proxy: StartProxy, tmp_path: Path
) -> None:
    environment = {"STORES": STORE, "DISCOGS_API_URL": discogs.url, "DISCOGS_RATE_LIMIT": "0"}
    settings = Settings.from_environment(
        environment | {"DATA_DIR": str(tmp_path / "first"), "BACKGROUND_PROCESSING_ENABLED": "false"}
    )
    async with running_proxy(settings, database_dsn) as first:
        await mirror(first, STORE)
        for _ in range(9):
            await first.get(INVENTORY)
        await first.get("/artists/194")
    found = await stores(await start_proxy(STORES=STORE))
    (row,) = found["stores"]
    assert row["calls_24h"] == {
        "requests": 9,
        "hits": 9,
        "hit_rate": 1.0,
        "client": 9,
        "upstream": 3,
        "reduction": 0.6667,
        "replaced": 9,
        "checks": 0,
    }
    assert found["calls_24h"] == {
        "requests": 10,
        "hits": 9,
        "hit_rate": 0.9,
        "client": 10,
        "upstream": 4,
        "reduction": 0.6,
    }


async def demand_of(database_dsn: str) -> dict[int, int]:
    admin = await asyncpg.connect(database_dsn)
    rows = await admin.fetch("SELECT release_id, asked FROM release_demand")
    await admin.close()
    return {row["release_id"]: row["asked"] for row in rows}


async def test_how_often_a_release_is_asked_for_is_kept_by_all_processes_whatever_answers_it(
    start_proxy: StartProxy, proxy: Proxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    one, other = (each.release_id for each in discogs.catalogue.for_sale(STORE)[:2])
    second = await start_proxy(STORES=STORE)
    for asked, path, times in ((proxy, f"/releases/{one}", 3), (second, f"/releases/{one}?a=b", 2)):
        for _ in range(times):
            assert (await asked.get(path))[0].status == 200
    await proxy.get(f"/releases/{other}")
    await proxy.get("/releases/999999999")
    await proxy.get(INVENTORY)
    for each in (proxy, second):
        await each.app[keys.DEMAND].flush()
    assert await demand_of(database_dsn) == {one: 5, other: 1}


async def test_what_nobody_has_asked_for_in_a_month_is_in_demand_no_more(proxy: Proxy, database_dsn: str) -> None:
    admin = await asyncpg.connect(database_dsn)
    await admin.execute(
        """
        INSERT INTO release_demand (release_id, asked, asked_at)
        VALUES (1, 1000, now() - interval '31 days'), (2, 1, now() - interval '29 days')
        """
    )
    await tracking.forget_demand(admin)
    await admin.close()
    assert await demand_of(database_dsn) == {2: 1}


async def test_what_could_not_be_written_is_written_once_later(proxy: Proxy, database_dsn: str) -> None:
    demand = proxy.app[keys.DEMAND]
    admin = await asyncpg.connect(database_dsn)
    await admin.execute(
        """
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
        CREATE TRIGGER die BEFORE INSERT ON call_hours FOR EACH ROW EXECUTE FUNCTION die()
        """
    )
    release_id = await admin.fetchval("SELECT min(release_id) FROM match_queue")
    for _ in range(2):
        await proxy.get(INVENTORY)
        await proxy.get(f"/releases/{release_id}")
        with pytest.raises(DatabaseUnavailable):
            await demand.flush()
    await admin.execute("DROP TRIGGER die ON call_hours")
    await demand.flush()
    of_stores, together = await tracking.calls_of_a_day(admin)
    await admin.close()
    assert (of_stores[STORE].client_calls, together.client_calls) == (2, 4)
    assert await demand_of(database_dsn) == {release_id: 2}
