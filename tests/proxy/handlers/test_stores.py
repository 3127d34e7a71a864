from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest

from proxy import keys
from proxy.domain.store_query import FIELDS
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
    await proxy.app[keys.CHECKS].settled()


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


@pytest.mark.parametrize(
    "query", ["page=-1", "per_page=abc", "min_confidence=1e9", "sort=fame", "min_price=x", "fields=;", "fields=bogus"]
)
async def test_bad_parameters_are_told(proxy: Proxy, query: str) -> None:
    response, body = await proxy.get(f"{PATH}?{query}")
    assert response.status == 400
    assert "must be" in json.loads(body)["message"]


async def test_whatever_a_result_has_can_be_asked_for(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await whole(proxy)
    await proxy.admin("POST", "/api/admin/process-queue?limit=200")
    rows = (await whole(proxy))["results"]
    names = set().union(*rows)
    assert names == FIELDS
    assert (await whole(proxy, f"{PATH}?fields={','.join(sorted(names))}"))["results"] == rows
    response, body = await proxy.get("/api/feed?fields=bogus")
    assert (response.status, "bogus" in json.loads(body)["message"]) == (400, False)


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


async def test_a_store_that_nobody_asked_for_in_a_while_is_checked_before_it_is_shown(
    proxy: Proxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    await whole(proxy)
    await checked(proxy)
    sold = discogs.catalogue.for_sale(STORE)[5].id
    discogs.sell(STORE, sold)
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("UPDATE stores SET checked_at = now() - interval '1 hour'")
    await connection.close()
    response, body = await proxy.get(PATH)
    assert sold not in {row["id"] for row in json.loads(body)["results"]}
    assert "hit" not in response.headers["Cache-Status"]


@pytest.mark.parametrize("path", [PATH, f"{PATH}?page=1", f"/api/feed?stores={STORE}", "/api/feed"])
async def test_a_store_whose_checks_have_cost_too_much_is_shown_as_it_is_known(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database_dsn: str, path: str
) -> None:
    proxy = await start_proxy(STORES=STORE)
    await whole(proxy)
    await checked(proxy)
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("UPDATE stores SET checked_at = now() - interval '1 hour'")
    await connection.execute(
        "INSERT INTO store_hours (store_username, hour, check_calls) VALUES ($1, date_trunc('hour', now()), 1000)"
        " ON CONFLICT (store_username, hour) DO UPDATE SET check_calls = 1000",
        STORE,
    )
    await connection.close()
    await proxy.app[keys.SCHEDULER].watched()
    before = len(discogs.calls)
    for _ in range(2):
        response, body = await proxy.get(path)
        assert response.status == 200
        assert len(json.loads(body)["results"]) >= 50
        assert re.match(r"discogs-proxy; hit; ttl=-\d+; detail=mirror", response.headers["Cache-Status"])
    await checked(proxy)
    assert len(discogs.calls) == before


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


async def test_filters_sorts_and_fields_narrow_the_answer(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    rows = (await whole(proxy))["results"]
    artist = rows[7]["artist"]
    found = await whole(proxy, f"{PATH}?{urlencode({'artist': artist, 'fields': 'id,artist,title'})}")
    assert {"id": rows[7]["id"], "artist": artist, "title": rows[7]["title"]} in found["results"]
    assert all(row.keys() == {"id", "artist", "title"} for row in found["results"])
    assert found["cacheStats"]["total"] == len(found["results"]) < 120
    found = await whole(proxy, f"{PATH}?sort=price&sort_order=desc&max_price=20&page=2&per_page=10")
    prices = sorted((row["price"]["value"] for row in rows if row["price"]["value"] <= 20), reverse=True)
    assert [row["price"]["value"] for row in found["results"]] == prices[10:20]
    assert found["cacheStats"]["total"] == found["pagination"]["items"] == len(prices)
    assert [row["id"] for row in (await whole(proxy, f"{PATH}?sort_order=desc"))["results"]] == [
        row["id"] for row in rows[::-1]
    ]


async def test_sort_by_audio_puts_matched_ones_first_and_has_audio_shows_them_alone(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    await whole(proxy)
    await proxy.admin("POST", "/api/admin/process-queue?limit=40")
    rows = (await whole(proxy))["results"]
    matched = [row["id"] for row in rows if row["has_audio_matches"]]
    others = [row["id"] for row in rows if not row["has_audio_matches"]]
    assert matched
    assert [row["id"] for row in (await whole(proxy, f"{PATH}?sort=audio"))["results"]] == matched + others
    found = await whole(proxy, f"{PATH}?has_audio=true")
    assert [row["id"] for row in found["results"]] == matched
    assert found["cacheStats"] == {"cached": len(matched), "fresh": 0, "total": len(matched)}


async def test_a_page_that_a_client_has_is_not_sent_again(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await whole(proxy)
    await checked(proxy)
    response, _ = await proxy.get(f"{PATH}?page=2")
    again, body = await proxy.get(f"{PATH}?page=2", If_None_Match=response.headers["ETag"])
    assert (again.status, body) == (304, b"")


async def test_rows_that_are_too_old_are_read_again_without_being_asked(
    proxy: Proxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    await whole(proxy)
    await checked(proxy)
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("UPDATE mirror_listings SET fetched_at = now() - interval '7 hours'")
    await connection.close()
    response, body = await proxy.get(PATH)
    assert response.status == 200
    everything = {"known": 120}  # where both pages came in time
    assert json.loads(body).get("coverage", everything)["known"] >= 100
    assert len((await whole(proxy))["results"]) == 120


# --- the feed -----------------------------------------------------------------------------------------------------


async def test_one_404_does_not_throw_away_a_mirror_that_is_too_old_to_be_shown(
    proxy: Proxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    await whole(proxy)
    await checked(proxy)
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("UPDATE mirror_listings SET fetched_at = now() - interval '7 hours'")
    discogs.add_fault(Fault(kind="status", status=404))
    response, _ = await proxy.get(PATH)
    assert response.status == 404
    assert await connection.fetchval("SELECT count(*) FROM mirror_listings") == 120
    await connection.close()


def ids_by_age(discogs: SimulatedDiscogs, *stores: str) -> list[int]:
    rows = [row for store in stores for row in discogs.catalogue.for_sale(store)]
    return [row.id for row in sorted(rows, key=lambda row: (row.posted, row.id), reverse=True)]


async def feed(proxy: Proxy, query: str = "") -> dict[str, Any]:
    response, body = await proxy.get(f"/api/feed{query}")
    assert response.status == 200, body
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


async def test_the_feed_shows_the_newest_of_several_stores_page_by_page(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(STORES="little=small_shop")
    for store in (STORE, "small_shop"):
        await whole(proxy, f"/api/stores/{store}/inventory")
    await checked(proxy)
    expected, seen, cursor = ids_by_age(discogs, STORE, "small_shop"), [], ""
    while True:
        found = await feed(proxy, f"?stores=little,{STORE.upper()}&limit=50{cursor}")
        assert found["results"][0].keys() >= FLAT
        assert found["notices"]["source"] == "Data provided by Discogs."
        seen += [(row["id"], row["store_username"]) for row in found["results"]]
        if found["next"] is None:
            break
        cursor = f"&cursor={found['next']}"
    assert [each for each, _ in seen] == expected
    assert {store for _, store in seen} == {STORE, "small_shop"}
    assert [row["id"] for row in (await feed(proxy))["results"]] == expected[:50]
    assert (await feed(proxy, "?limit=1&fields=id"))["results"] == [{"id": expected[0]}]


async def test_a_feed_of_a_store_at_first_sight_shows_what_is_known(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    assert [row["id"] for row in (await feed(proxy, "?stores=small_shop"))["results"]] == ids_by_age(
        discogs, "small_shop"
    )
    assert (await proxy.get("/api/feed?stores=nobody_at_all"))[0].status == 404
    assert (await proxy.get("/api/feed?limit=1000"))[0].status == 400


async def test_a_sold_record_leaves_the_feed_and_a_new_one_leads_it(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy(NEW_LISTING_CHECK_INTERVAL="100")
    await feed(proxy, "?stores=small_shop")
    await checked(proxy)
    sold = ids_by_age(discogs, "small_shop")[3]
    discogs.sell("small_shop", sold)
    async with asyncio.timeout(20):
        while sold in {row["id"] for row in (await feed(proxy, "?stores=small_shop"))["results"]}:
            await asyncio.sleep(0.05)
    assert [row["id"] for row in (await feed(proxy))["results"]] == ids_by_age(discogs, "small_shop")


@pytest.mark.parametrize("background", ["true", "false"])
async def test_a_feed_that_names_no_store_keeps_the_tracked_ones_true(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, background: str
) -> None:
    proxy = await start_proxy(
        NEW_LISTING_CHECK_INTERVAL="100",
        STORES=STORE,
        TRACKED_STORES_MAX="0",  # however often the other is asked for until it is whole
        BACKGROUND_PROCESSING_ENABLED=background,
        MATCH_PROVIDERS="deezer",
    )
    for store in (STORE, "small_shop"):
        await whole(proxy, f"/api/stores/{store}/inventory")
    await checked(proxy)
    sold = ids_by_age(discogs, STORE)[0]
    discogs.sell(STORE, sold)
    calls = sum("small_shop" in call.path for call in discogs.calls)
    async with asyncio.timeout(20):
        while sold in {row["id"] for row in (await feed(proxy))["results"]}:
            await asyncio.sleep(0.05)
    assert sum("small_shop" in call.path for call in discogs.calls) == calls


async def test_a_feed_that_names_no_store_tells_how_true_the_tracked_ones_are(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(STORES=STORE)
    response, _ = await proxy.get("/api/feed")
    assert response.headers["Cache-Status"] == "discogs-proxy; hit; detail=mirror"
    await whole(proxy)
    await checked(proxy)
    response, _ = await proxy.get("/api/feed")
    assert re.match(r"discogs-proxy; hit; ttl=\d+; detail=mirror", response.headers["Cache-Status"])
    assert response.headers["Age"] == "0"


async def test_a_feed_of_nothing_known_is_empty_but_not_one_that_is_too_old(
    proxy: Proxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    assert (await feed(proxy))["results"] == []
    await feed(proxy, "?stores=small_shop")
    await checked(proxy)
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("UPDATE mirror_listings SET fetched_at = now() - interval '7 hours'")
    await connection.close()
    assert (await proxy.get("/api/feed"))[0].status == 503


async def test_a_name_that_discogs_does_not_know_is_asked_for_once(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for path in ("/api/stores/nosuch_zz/inventory", "/api/feed?stores=nosuch_zz") * 3:
        response, body = await proxy.get(path)
        assert response.status == 404
        assert list(json.loads(body)) == ["message"]
    assert len(discogs.calls) == 1


@pytest.mark.parametrize("path", ["/api/stores/some_name/inventory", "/api/feed?stores=some_name"])
async def test_a_name_asked_for_while_discogs_hangs_leaves_no_trace(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database_dsn: str, path: str
) -> None:
    proxy = await start_proxy(UPSTREAM_DEADLINE="300")
    discogs.add_fault(Fault(kind="silent"))
    for _ in range(2):
        assert (await proxy.get(path))[0].status in (503, 504)
    await checked(proxy)
    connection = await asyncpg.connect(database_dsn)
    assert await connection.fetch("SELECT username FROM stores") == []
    await connection.close()
