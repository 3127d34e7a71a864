"""What operators measure: how long inventories take and would take, the queue's age, waits for database and budget."""

from __future__ import annotations

import asyncio
import json
import platform
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from matcher import queue_store
from matcher.database import Database
from matcher.models import ProcessingStatus
from proxy import __version__, keys
from proxy.adapters.lanes import Lanes
from proxy.adapters.metrics import Metrics
from proxy.domain.budget import Budget, Errand, Lane
from proxy.domain.loads import BOUNDS_S, bucket_of
from proxy.domain.policy import Decision, Source, loaded_from
from proxy.errors import BudgetExhausted
from tests.conftest import STORE, Proxy, StartProxy
from tests.proxy.test_counting import INVENTORY, lines, mirror
from tests.simulated_discogs import SimulatedDiscogs


@pytest.mark.parametrize(
    ("decision", "source"),
    [
        (Decision(Source.HIT, detail="mirror"), "mirror"),
        (Decision(Source.HIT), "copy"),
        (Decision(Source.STALE, detail="stale-while-revalidate"), "stale"),
        (Decision(Source.MISS, detail="mirror", forwarded="stale"), "upstream"),
        (Decision(Source.BYPASS, upstream_status=200), "upstream"),
    ],
)
def test_an_inventory_comes_from_mirror_copy_or_upstream(decision: Decision, source: str) -> None:
    assert loaded_from(decision) == source


async def test_the_load_time_of_inventories_stands_beside_what_it_would_be_directly(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.latency_ms = 200
    proxy = await start_proxy(STORES=f"den={STORE}")
    await mirror(proxy, STORE)
    for _ in range(3):
        await proxy.get(INVENTORY)
    await proxy.get("/api/stores/den/inventory")
    await proxy.get("/users/small_shop/inventory")
    found = await lines(proxy)
    assert found[f'inventory_load_seconds_count{{source="mirror",store="{STORE}"}}'] == 4
    assert found['inventory_load_seconds_count{source="upstream",store="other"}'] == 1
    assert found[f'inventory_direct_seconds_count{{store="{STORE}"}}'] == 4
    assert found[f'inventory_direct_seconds_sum{{store="{STORE}"}}'] >= 0.2 * (3 + 2)  # a whole store: two pages
    assert found[f'inventory_load_seconds_sum{{source="mirror",store="{STORE}"}}'] < 0.2 * (3 + 2)


async def test_load_times_are_counted_alike_for_prometheus_and_for_the_admin_api(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.latency_ms = 30
    proxy = await start_proxy(STORES=STORE)
    await mirror(proxy, STORE)
    for page in range(1, 7):
        await proxy.get(f"/users/{STORE}/inventory?per_page=20&page={page}&sort=price")
        await proxy.get(f"/users/{STORE}/inventory?per_page=20&page={page}&sort=price")
    _, body = await proxy.admin("GET", "/api/admin/metrics")
    told = json.loads(body)["stores"][STORE]["load_ms"]
    found = await lines(proxy)
    async with proxy.app[keys.DATABASE].connection() as connection:
        rows = await connection.fetch("SELECT bucket, sum(loads)::int AS loads FROM store_load_hours GROUP BY 1")
    counted = {row["bucket"]: row["loads"] for row in rows}
    assert sum(counted.values()) == 12
    for bound_s in BOUNDS_S:
        up_to = f'inventory_load_seconds_bucket{{le="{bound_s}",source='
        in_prometheus = sum(count for name, count in found.items() if name.startswith(up_to))
        assert in_prometheus == sum(count for bucket, count in counted.items() if bucket <= bucket_of(bound_s))
        for quantile, load_ms in ((0.5, told["p50"]), (0.95, told["p95"])):
            assert (load_ms <= 1000 * bound_s) == (in_prometheus >= quantile * 12)


def test_without_a_call_nothing_tells_how_long_a_direct_client_would_wait() -> None:
    metrics = Metrics()
    metrics.loaded({}, "mirror", 3, 0.01)
    assert metrics.registry.get_sample_value("discogs_proxy_inventory_direct_seconds_count", {"store": ""}) is None
    metrics.called(None, "shopper", "5xx", 9.0)
    metrics.called(None, "shopper", "2xx", 0.5)
    metrics.loaded({}, "mirror", 3, 0.01)
    assert metrics.registry.get_sample_value("discogs_proxy_inventory_direct_seconds_sum", {"store": ""}) == 1.5


async def test_the_oldest_listing_of_a_store_tells_how_near_it_is_to_its_end(
    start_proxy: StartProxy, database_dsn: str
) -> None:
    proxy = await start_proxy(STORES=STORE)
    await mirror(proxy, STORE)
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("UPDATE mirror_listings SET fetched_at = $1", datetime.now(UTC) - timedelta(hours=5))
    await connection.close()
    scheduler = proxy.app[keys.SCHEDULER]
    scheduler._measure(await scheduler.watched())
    assert (await lines(proxy))[f'listing_age_seconds{{store="{STORE}"}}'] >= 5 * 3600


async def test_the_queue_tells_how_long_releases_wait_and_which_are_parked(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO match_queue (release_id, priority, status, enqueued_at, not_before, lease_until, decided_at)
            VALUES (1, 0, 'queued', now() - interval '100 s', now() - interval '40 s', NULL, NULL),
                   (2, 0, 'queued', now() - interval '900 s', now() + interval '1 day', NULL, NULL),
                   (3, 0, 'processing', now() - interval '900 s', now(), now() + make_interval(secs => $1 - 20), NULL),
                   (4, 0, 'failed', now() - interval '900 s', now(), NULL, now() - interval '600 s')
            """,
            queue_store.LEASE_S,
        )
        ages = await queue_store.ages(connection)
    rounded = {status: round(age_s, -1) for status, age_s in ages.oldest_s.items()}
    assert ages.parked == 1
    assert rounded == {
        ProcessingStatus.QUEUED: 40,
        ProcessingStatus.PROCESSING: 20,
        ProcessingStatus.FAILED: 600,
        ProcessingStatus.MATCHED: 0,
        ProcessingStatus.UNMATCHED: 0,
    }


async def test_every_track_of_a_decided_release_is_counted_once(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    await proxy.get(f"/users/{STORE}/inventory")
    await proxy.admin("POST", "/api/admin/process-queue?limit=20")
    found = await lines(proxy)
    counted = {name: count for name, count in found.items() if name.startswith("match_tracks_total")}
    assert {name.partition("{")[2] for name in counted} >= {
        'provider="",verdict="none"}',
        'provider="discogs_videos",verdict="approved"}',
        'provider="discogs_videos",verdict="pending"}',
    }
    async with proxy.app[keys.DATABASE].connection() as connection:
        stored = await connection.fetchval("SELECT count(*) FROM track_matches")
    assert sum(count for name, count in counted.items() if "none" not in name) == stored


async def test_a_call_that_gets_no_budget_is_counted() -> None:
    refused: list[Lane] = []
    lanes = Lanes(Budget.starting(1), on_refused=refused.append)
    await lanes.reserve(Errand(Lane.SHOPPER), identified=False, until=lanes.clock() + 1)
    with pytest.raises(BudgetExhausted):
        await lanes.reserve(Errand(Lane.SHOPPER), identified=False, until=lanes.clock() + 0.01)
    assert refused == [Lane.SHOPPER]
    await lanes.stop()


async def test_connections_to_the_database_and_waits_for_them_are_told(proxy: Proxy) -> None:
    database = proxy.app[keys.DATABASE]
    before = (await lines(proxy))["database_acquire_seconds_count"]
    async with database.connection():
        assert database.connections().used >= 1
        found = await lines(proxy)
    assert found["database_acquire_seconds_count"] > before
    assert found['database_connections{state="most"}'] == 5
    assert found['database_connections{state="used"}'] >= 1


async def test_process_and_build_are_told(proxy: Proxy) -> None:
    _, body = await proxy.get("/metrics")
    text = body.decode()
    build = f'discogs_proxy_build_info{{python="{platform.python_version()}",version="{__version__}"}} 1.0'
    assert build in text.splitlines()
    assert "\nprocess_resident_memory_bytes " in text
    assert "\npython_gc_collections_total{" in text


async def test_the_lag_of_the_event_loop_is_measured(proxy: Proxy) -> None:
    async with asyncio.timeout(10):
        while not (await lines(proxy))["event_loop_lag_seconds_count"]:
            await asyncio.sleep(0.05)
