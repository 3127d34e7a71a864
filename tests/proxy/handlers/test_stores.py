from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import asyncpg
import pytest

from proxy import keys
from tests.conftest import STORE, Proxy, StartProxy
from tests.simulated_discogs import Fault, SimulatedDiscogs

PATH = f"/api/stores/{STORE}/inventory"
FLAT = {
    "discogs_id",
    "title",
    "artist",
    "year",
    "label",
    "catno",
    "thumb",
    "discogs_uri",
    "store_username",
    "has_audio_matches",
    "last_updated",
    "audioMatches",
    "processingStatus",
}


async def whole(proxy: Proxy, path: str = PATH) -> dict[str, Any]:
    """The answer once the first sweep has ended."""
    async with asyncio.timeout(20):
        while True:
            response, body = await proxy.get(path)
            assert response.status == 200, body
            found = json.loads(body)
            if "coverage" not in found:
                assert isinstance(found, dict)
                return found
            await asyncio.sleep(0.05)


async def checked(proxy: Proxy) -> None:
    """What runs behind the answers has ended."""
    while tasks := [check.task for check in proxy.app[keys.CHECKS]._checks.values() if check.task]:
        await asyncio.gather(*tasks)


async def test_the_first_look_shows_what_is_known_and_how_much_that_is(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault(kind="silent", path=re.compile("page=2")))
    response, body = await proxy.get(PATH)
    found = json.loads(body)
    assert found["coverage"] == {"known": 100, "total": 120}
    assert len(found["results"]) == 100
    assert response.headers["Cache-Control"] == "no-store"


async def test_the_whole_store_comes_in_the_order_of_upstream(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    found = await whole(proxy)
    assert [row["id"] for row in found["results"]] == [each.id for each in discogs.catalogue.for_sale(STORE)]
    assert found["cacheStats"] == {"cached": 0, "fresh": 120, "total": 120}


async def test_a_result_is_the_listing_with_flat_fields(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    row = (await whole(proxy))["results"][0]
    assert row.keys() >= FLAT
    assert row["status"] == "For Sale"
    release = row["release"]
    assert isinstance(release, dict)
    assert (row["discogs_id"], row["title"], row["artist"]) == (release["id"], release["title"], release["artist"])
    assert (row["audioMatches"], row["processingStatus"], row["has_audio_matches"]) == ([], "queued", False)
    assert "tracklist" not in row


async def test_a_matched_result_has_its_details(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await whole(proxy)
    await proxy.admin("POST", "/api/admin/process-queue?limit=200")
    found = await whole(proxy)
    matched = [row for row in found["results"] if row["processingStatus"] == "matched"]
    assert matched
    assert all(row["tracklist"] and row["has_audio_matches"] for row in matched)
    assert found["cacheStats"] == {"cached": len(matched), "fresh": 120 - len(matched), "total": 120}


async def test_a_page_of_a_store_counts_the_whole_store(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await whole(proxy)
    found = await whole(proxy, f"{PATH}?page=3&per_page=50")
    assert found["pagination"] == {"page": 3, "pages": 3, "per_page": 50, "items": 120}
    assert len(found["results"]) == 20
    assert found["cacheStats"]["total"] == 120


@pytest.mark.parametrize("query", ["page=-1", "per_page=abc", "min_confidence=1e9"])
async def test_bad_parameters_are_told(proxy: Proxy, query: str) -> None:
    response, body = await proxy.get(f"{PATH}?{query}")
    assert response.status == 400
    assert "must be" in json.loads(body)["message"]


@pytest.mark.parametrize("store", ["nobody_at_all", "a%2Fb", "a%00b", "..", "%252e", "a%20b"])
async def test_a_store_that_does_not_exist_is_404_and_leaves_no_trace(
    proxy: Proxy, discogs: SimulatedDiscogs, database_dsn: str, store: str
) -> None:
    response, body = await proxy.get(f"/api/stores/{store}/inventory")
    assert response.status == 404
    assert json.loads(body)["message"]
    connection = await asyncpg.connect(database_dsn)
    assert await connection.fetchval("SELECT count(*) FROM stores") == 0
    await connection.close()


async def test_an_alias_names_a_store_and_case_does_not_matter(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(STORES=f"shop={STORE}")
    for name in ("SHOP", STORE.upper()):
        assert len((await whole(proxy, f"/api/stores/{name}/inventory"))["results"]) == 120


async def test_a_second_look_costs_no_upstream_call(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await whole(proxy)
    await checked(proxy)
    before = len(discogs.calls)
    response, _ = await proxy.get(PATH)
    assert "hit" in response.headers["Cache-Status"]
    assert len(discogs.calls) == before


async def test_a_sold_record_goes_with_the_next_check(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    proxy = await start_proxy(NEW_LISTING_CHECK_INTERVAL="100")
    sold = discogs.catalogue.for_sale(STORE)[5].id
    assert sold in {row["id"] for row in (await whole(proxy))["results"]}
    discogs.sell(STORE, sold)
    async with asyncio.timeout(20):
        while sold in {row["id"] for row in (await whole(proxy))["results"]}:
            await asyncio.sleep(0.05)


async def test_a_failing_upstream_is_no_empty_store(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    proxy = await start_proxy(UPSTREAM_DEADLINE="500")
    discogs.add_fault(Fault(kind="html", status=200))
    response, body = await proxy.get(PATH)
    assert response.status == 502
    assert json.loads(body)["message"]


async def test_each_sweep_is_logged_for_the_user(proxy: Proxy, discogs: SimulatedDiscogs, database_dsn: str) -> None:
    await whole(proxy)
    connection = await asyncpg.connect(database_dsn)
    row = await connection.fetchrow("SELECT * FROM store_sync_log ORDER BY id")
    await connection.close()
    assert row
    assert (row["store_username"], row["listings_processed"]) == (STORE, 120)
    assert row["new_releases_found"] > 0
