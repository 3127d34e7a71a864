"""Stories of inventories answered from the mirror: the same answers as Discogs gives, for few calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, product
from typing import Any

import aiohttp
import pytest

from matcher.database import Database
from proxy import keys
from proxy.domain.budget import Lane
from tests.conftest import Proxy, StartProxy
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs

STORE = "deep_store"
LISTINGS = 730
INVENTORY = f"/users/{STORE}/inventory"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
KEY = {"DISCOGS_CONSUMER_KEY": "op-key", "DISCOGS_CONSUMER_SECRET": "op-secret"}


@dataclass
class Shop:
    """A store of eight pages, one that is not tracked, and a proxy in front of them."""

    discogs: SimulatedDiscogs
    proxy: Proxy

    async def get(self, query: str = "", **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        return await self.proxy.get(f"{INVENTORY}?{query}", **headers)

    async def direct(self, query: str) -> tuple[int, Any]:
        """What an anonymous client gets that asks Discogs itself; not counted among the calls."""
        calls = list(self.discogs.calls)
        async with self.proxy.session.get(f"{self.discogs.url}{INVENTORY}?{query}") as response:
            body = await response.read()
        self.discogs.calls[:] = calls
        return response.status, parsed(body.replace(self.discogs.public_origin.encode(), self.proxy.url.encode()))

    async def mirrored(self) -> Shop:
        await self.get()
        await settled(self.proxy)
        self.discogs.calls.clear()
        return self

    @property
    def calls(self) -> int:
        return len(self.discogs.calls)


def parsed(body: bytes) -> Any:
    """The order of members counts."""
    return json.loads(body, object_pairs_hook=list)


def without_additions(body: bytes) -> Any:
    page = json.loads(body)
    for row in page.get("listings", []):
        assert row.pop("audio_matches") == []
        assert row.pop("processing_status") == "queued"
    return parsed(json.dumps(page).encode())


def later(proxy: Proxy, passed: timedelta) -> None:
    """Time passes for the proxy."""
    now = datetime.now(UTC) + passed
    proxy.app[keys.PASSTHROUGH].copies.now = lambda: now
    proxy.app[keys.CHECKS].now = lambda: now


async def settled(proxy: Proxy) -> None:
    await proxy.app[keys.CHECKS].settled()


def status_of(response: aiohttp.ClientResponse) -> str:
    return response.headers["Cache-Status"]


def ids(body: bytes) -> list[int]:
    return [row["id"] for row in json.loads(body)["listings"]]


@pytest.fixture
async def discogs() -> AsyncIterator[SimulatedDiscogs]:
    async with SimulatedDiscogs(Catalogue.generate(seed=3, stores={STORE: LISTINGS, "other_store": 30})) as running:
        running.register_consumer("op-key", "op-secret")
        yield running


@pytest.fixture
async def unread(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> Shop:
    return Shop(discogs, await start_proxy(STORES=STORE.upper()))


@pytest.fixture
async def shop(unread: Shop) -> Shop:
    return await unread.mirrored()


# --- the same answers ---------------------------------------------------------------------------------------------


ORDERS = ("", "sort=listed&sort_order=asc", "sort_order=desc&sort=listed", "status=Sold")
SIZES = {"": 50, "per_page=1": 1, "per_page=7": 7, "per_page=50": 50, "per_page=100": 100, "per_page=250": 100}


async def test_every_page_is_what_a_direct_client_gets(shop: Shop) -> None:
    shop.discogs.churn(STORE, 5, "sale")
    shop.discogs.churn(STORE, 5, "addition")
    later(shop.proxy, 2 * MINUTE)
    await shop.get()
    shop.discogs.calls.clear()
    for order, (per_page, size) in product(ORDERS, SIZES.items()):
        pages = -(-LISTINGS // size)
        for page in ("", 1, 2, pages // 2, pages - 1, pages, pages + 1, 100, 101, 5000):
            query = "&".join(filter(None, (order, per_page, f"page={page}" if page else "")))
            response, body = await shop.get(query)
            status, expected = await shop.direct(query)
            assert (query, response.status) == (query, status)
            assert without_additions(body) == expected, query
            assert "; hit; ttl=" in status_of(response)
            assert "detail=mirror" in status_of(response)
            assert response.headers["Content-Type"] == "application/json"
            assert "Age" in response.headers
    assert shop.calls == 0


async def test_an_equal_request_is_answered_from_memory_and_says_the_same(shop: Shop) -> None:
    (first, body), (second, again) = await shop.get("page=3"), await shop.get("page=3")
    assert again == body
    assert "; hit; ttl=" in status_of(second)
    assert "detail=mirror" in status_of(first)
    assert "detail=mirror" in status_of(second)
    assert second.headers["ETag"] == first.headers["ETag"]
    head, nothing = await shop.proxy.request("HEAD", f"{INVENTORY}?page=4")
    assert (head.status, nothing) == (200, b"")
    assert "detail=mirror" in status_of(head)


@pytest.mark.parametrize("query", ["sort=price", "q=love", "curr_abbr=EUR", "page=0", "page=1&page=2", "sort=location"])
async def test_what_the_mirror_cannot_answer_is_asked_of_discogs(shop: Shop, query: str) -> None:
    response, body = await shop.get(query)
    status, expected = await shop.direct(query)
    assert (response.status, shop.calls) == (status, 1)
    assert without_additions(body) == expected
    assert "detail=mirror" not in status_of(response)


async def test_another_rendering_and_a_callback_are_asked_of_discogs(shop: Shop) -> None:
    await shop.get(Accept="application/vnd.discogs.v2.html+json")
    _, body = await shop.get("callback=show")
    assert body.startswith(b"show(")
    assert shop.calls == 2


async def test_who_authenticates_by_query_gets_his_own_back_in_the_urls(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    shop = await Shop(discogs, await start_proxy(STORES=STORE, **KEY)).mirrored()
    for name in ("one", "two"):
        response, body = await shop.get(f"key={name}-key&secret={name}-secret&page=2")
        assert "detail=mirror" in status_of(response)
        urls = json.loads(body)["pagination"]["urls"]
        assert all(f"key={name}-key&secret={name}-secret" in url for url in urls.values())
    assert shop.calls == 0


async def test_a_store_that_is_empty_for_a_while_is_shown_as_such(shop: Shop) -> None:
    shop.discogs.holiday(STORE)
    later(shop.proxy, 2 * MINUTE)
    response, body = await shop.get()
    assert (response.status, ids(body)) == (200, [])
    assert without_additions(body) == (await shop.direct(""))[1]


async def test_a_listing_about_to_be_bought_is_asked_for_each_time(shop: Shop) -> None:
    listing = shop.discogs.catalogue.for_sale(STORE)[0]
    for _ in range(2):
        await shop.proxy.get(f"/marketplace/listings/{listing.id}")
    assert shop.calls == 2


# --- first sight, calls saved -------------------------------------------------------------------------------------


async def test_at_first_sight_one_call_answers_and_the_mirror_is_filled_behind(unread: Shop) -> None:
    expected = await unread.direct("per_page=100&page=2")
    response, body = await unread.get("per_page=100&page=2")
    assert "fwd=uri-miss" in status_of(response)
    assert (response.status, without_additions(body)) == expected
    await settled(unread.proxy)
    assert unread.calls == 1 + 8 + 1
    for page in range(1, 9):
        response, _ = await unread.get(f"per_page=100&page={page}&sort=listed")
        assert "detail=mirror" in status_of(response)
    assert unread.calls == 10


async def test_a_store_that_is_not_tracked_is_not_mirrored(unread: Shop) -> None:
    for page in (1, 2, 1):
        response, _ = await unread.proxy.get(f"/users/other_store/inventory?per_page=10&page={page}")
        assert "mirror" not in status_of(response)
    await settled(unread.proxy)
    assert unread.calls == 2


async def test_a_store_that_discogs_does_not_know_costs_one_call(start_proxy: StartProxy, unread: Shop) -> None:
    proxy = await start_proxy(STORES="nobody")
    for _ in range(2):
        response, body = await proxy.get("/users/nobody/inventory")
        assert (response.status, "message" in json.loads(body)) == (404, True)
    await settled(proxy)
    assert unread.calls == 1


# --- what changed is shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sale", "addition", "edit_moving", "relisting"])
async def test_what_happened_is_shown_after_the_next_check(shop: Shop, kind: Any) -> None:
    query = "per_page=100&sort=listed&sort_order=desc"
    _, before = await shop.get(query)
    shop.discogs.churn(STORE, 1, kind)
    later(shop.proxy, 3 * MINUTE)
    response, after = await shop.get(query)
    assert "fwd=stale" in status_of(response)
    assert "detail=mirror" in status_of(response)
    assert without_additions(after) == (await shop.direct(query))[1]
    assert shop.calls <= 6
    assert before != after or kind == "sale"


async def test_a_change_that_a_check_finds_is_shown_before_the_answer_in_memory_expires(shop: Shop) -> None:
    query = "per_page=10&sort=listed&sort_order=desc"
    _, before = await shop.get(query)
    added = shop.discogs.add_listing(STORE)
    await shop.proxy.app[keys.CHECKS].check(STORE, Lane.CHECK, "test").ended()

    async def shown() -> list[int]:
        return ids((await shop.get(query))[1])

    async with asyncio.timeout(10):
        while await shown() == ids(before):
            await asyncio.sleep(0.005)
    assert (await shown())[0] == added.id
    assert shop.calls == 1


async def test_two_processes_share_one_mirror(shop: Shop, start_proxy: StartProxy) -> None:
    other = Shop(shop.discogs, await start_proxy(STORES=STORE))
    query = "per_page=10&sort=listed&sort_order=desc"
    response, before = await other.get(query)
    assert "; hit; ttl=" in status_of(response)
    assert "detail=mirror" in status_of(response)
    sold = ids(before)[3]
    shop.discogs.sell(STORE, sold)
    later(shop.proxy, 3 * MINUTE)
    await shop.get()
    async with asyncio.timeout(10):
        while sold in ids((await other.get(query))[1]):
            await asyncio.sleep(0.005)
    assert shop.calls <= 5


@pytest.mark.parametrize("write", ["edit", "delete", "new"])
async def test_a_write_through_the_proxy_is_shown_at_once(shop: Shop, write: str) -> None:
    shop.discogs.register_user(STORE, "owner-token")
    owner = {"Authorization": "Discogs token=owner-token", "Content_Type": "application/json"}
    query = "per_page=10&sort=listed&sort_order=desc"
    listing = json.loads((await shop.get(query))[1])["listings"][2]
    wanted = {"release_id": listing["release"]["id"], "condition": "Mint (M)", "price": 77.5, "status": "For Sale"}
    path = "/marketplace/listings" if write == "new" else f"/marketplace/listings/{listing['id']}"
    method = "DELETE" if write == "delete" else "POST"
    response, body = await shop.proxy.request(method, path, data=json.dumps(wanted), **owner)
    assert response.status < 300, body
    async with asyncio.timeout(10):
        while True:
            _, page = await shop.get(query)
            if without_additions(page) == (await shop.direct(query))[1]:
                break
            await asyncio.sleep(0.005)
    response, _ = await shop.get(query)
    assert "detail=mirror" in status_of(response)


async def test_a_write_to_nobodys_store_starts_nothing(shop: Shop) -> None:
    shop.discogs.register_user("other_store", "other-token")
    listing = shop.discogs.catalogue.for_sale("other_store")[0]
    token = "Discogs token=other-token"
    await shop.proxy.request("DELETE", f"/marketplace/listings/{listing.id}", Authorization=token)
    await shop.proxy.app[keys.DOUBT].settled()
    assert not shop.discogs.calls_to("/users/")


# --- freshness ----------------------------------------------------------------------------------------------------


async def test_within_the_interval_it_is_a_hit_then_stale_then_the_check_comes_first(shop: Shop) -> None:
    later(shop.proxy, timedelta(seconds=50))
    response, _ = await shop.get("page=2")
    assert "; hit; ttl=" in status_of(response)
    assert int(response.headers["Age"]) >= 50
    assert shop.calls == 0
    later(shop.proxy, timedelta(seconds=90))
    response, _ = await shop.get("page=2")
    assert "; hit; ttl=-30; detail=stale-while-revalidate" in status_of(response)
    await settled(shop.proxy)
    assert shop.calls == 1
    response, _ = await shop.get("page=2")
    assert "detail=mirror" in status_of(response)
    later(shop.proxy, timedelta(seconds=300))
    response, _ = await shop.get("page=2")
    assert "fwd=stale" in status_of(response)
    assert shop.calls == 2


async def test_all_who_ask_meanwhile_wait_for_the_one_check(shop: Shop) -> None:
    shop.discogs.latency_ms = 30
    later(shop.proxy, 5 * MINUTE)
    answers = await asyncio.gather(*(shop.get(f"page={page}") for page in range(1, 9)))
    assert all("detail=mirror" in status_of(response) for response, _ in answers)
    assert shop.calls == 1


async def test_where_the_check_takes_too_long_the_mirror_answers(start_proxy: StartProxy, shop: Shop) -> None:
    hasty = Shop(shop.discogs, await start_proxy(STORES=STORE, UPSTREAM_DEADLINE="200"))
    later(hasty.proxy, 5 * MINUTE)
    shop.discogs.latency_ms = 5000
    for page in (1, 2):  # the second does not even wait
        response, _ = await hasty.get(f"page={page}")
        assert "detail=stale-if-error" in status_of(response)
        assert response.status == 200
    assert shop.calls <= 1


async def test_while_discogs_is_away_the_mirror_answers_for_six_hours(shop: Shop) -> None:
    await shop.discogs.stop()
    for passed in (5 * MINUTE, 10 * MINUTE, 5 * HOUR):
        later(shop.proxy, passed)
        for page in (1, 5, 15):
            response, body = await shop.get(f"page={page}")
            assert response.status == 200
            assert "detail=stale-if-error" in status_of(response)
            assert len(ids(body)) == (50 if page < 15 else 30)
    later(shop.proxy, 6 * HOUR)
    response, body = await shop.get("page=2")
    assert response.status >= 500
    assert "listings" not in json.loads(body)


async def test_a_failing_check_is_not_repeated_by_each_request(shop: Shop) -> None:
    shop.discogs.add_fault(Fault(kind="html"))
    later(shop.proxy, 5 * MINUTE)
    for page in range(1, 10):
        response, _ = await shop.get(f"page={page}")
        assert "detail=stale-if-error" in status_of(response)
    assert shop.calls <= 2


async def test_a_store_that_went_away_is_told_as_discogs_tells_it(shop: Shop) -> None:
    shop.discogs.delete_user(STORE)
    later(shop.proxy, 5 * MINUTE)
    response, body = await shop.get()
    status, expected = await shop.direct("")
    assert (response.status, parsed(body)) == (status, expected)
    assert status == 404
    for page in (1, 2):  # while it is not checked again either
        assert (await shop.get(f"page={page}"))[0].status == 404


async def test_rows_that_are_missing_are_asked_for_and_renewed(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM mirror_listings")
    later(shop.proxy, 3 * MINUTE)
    response, body = await shop.get("page=9")
    assert "detail=mirror" not in status_of(response)
    assert without_additions(body) == (await shop.direct("page=9"))[1]
    await settled(shop.proxy)
    response, body = await shop.get("page=10")
    assert "detail=mirror" in status_of(response)
    assert without_additions(body) == (await shop.direct("page=10"))[1]


async def test_rows_that_are_too_old_are_renewed_once_that_costs_no_more_than_was_asked_for(
    shop: Shop, database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE mirror_listings SET fetched_at = now() - interval '7 h'")
    later(shop.proxy, 3 * MINUTE)
    for number in range(1, 9):
        assert shop.calls == number - 1, "a call for each page, and none for a sweep of eight"
        response, body = await shop.get(f"page={number}")
        assert "detail=mirror" not in status_of(response)
        assert without_additions(body) == (await shop.direct(f"page={number}"))[1]
        await shop.get(f"page={number}")
    await settled(shop.proxy)
    response, body = await shop.get("page=10")
    assert "detail=mirror" in status_of(response)
    assert without_additions(body) == (await shop.direct("page=10"))[1]


async def test_who_waited_for_a_call_of_somebody_else_makes_a_renewal_pay_no_sooner(
    shop: Shop, database: Database
) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE mirror_listings SET fetched_at = now() - interval '7 h'")
    shop.discogs.latency_ms = 100
    await asyncio.gather(*(shop.get("page=1") for _ in range(8)))
    await settled(shop.proxy)
    assert shop.calls == 1


async def test_a_store_whose_checks_have_cost_too_much_is_asked_for_page_by_page(shop: Shop) -> None:
    shop.proxy.app[keys.CHECKS].may_check = lambda _: False
    assert "detail=mirror" in status_of((await shop.get("page=1"))[0])
    for calls, minutes in ((1, 1.5), (2, 30)):
        later(shop.proxy, minutes * MINUTE)
        response, body = await shop.get("page=2")
        assert "fwd=" in status_of(response)
        assert without_additions(body) == (await shop.direct("page=2"))[1]
        await settled(shop.proxy)
        assert shop.calls == calls


async def test_what_a_renewal_does_not_mend_is_asked_for_without_another(shop: Shop, database: Database) -> None:
    for _ in range(2):
        async with database.connection() as connection:
            await connection.execute("DELETE FROM mirror_listings")
        response, _ = await shop.get("page=9")
        assert "detail=mirror" not in status_of(response)
        await settled(shop.proxy)
        assert shop.calls == 1 + 8 + 1  # the request, the sweep, and the check after it


async def test_where_a_long_store_is_not_known_discogs_is_asked(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE stores SET version = version + 1, listing_ids[60] = -1")
    response, body = await shop.get("page=2&sort=listed&sort_order=desc")
    assert "fwd=uri-miss" in status_of(response)
    assert without_additions(body) == (await shop.direct("page=2&sort=listed&sort_order=desc"))[1]
    response, _ = await shop.get("page=1&sort=listed&sort_order=desc")
    assert "detail=mirror" in status_of(response)
    await settled(shop.proxy)
    assert shop.calls == 1


async def test_what_an_operator_does_not_trust_is_asked_for_and_swept_behind(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE stores SET purged = true")
    response, _ = await shop.get("page=2")
    assert "fwd=uri-miss" in status_of(response)
    await settled(shop.proxy)
    assert shop.calls == 1 + 8 + 1
    response, _ = await shop.get("page=3")
    assert "detail=mirror" in status_of(response)


async def test_what_is_not_trusted_stands_in_where_discogs_fails(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE stores SET purged = true")
    for fault in (Fault(kind="html"), Fault(kind="status", status=503)):
        shop.discogs.clear_faults()
        shop.discogs.add_fault(fault)
        response, _ = await shop.get("page=2")
        assert response.status == 200
        assert "detail=stale-if-error" in status_of(response)


async def test_without_its_database_a_page_is_asked_for_as_ever(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("ALTER VIEW store_states RENAME TO store_states_away")
        await connection.execute(
            "CREATE VIEW store_states AS SELECT a.* FROM store_states_away a, "
            "LATERAL (SELECT pg_terminate_backend(pg_backend_pid())) AS died"
        )
    response, body = await shop.get("page=2")
    assert response.status == 200
    assert "fwd=uri-miss" in status_of(response)
    assert ids(body)


# --- the queue ----------------------------------------------------------------------------------------------------


async def queued(database: Database) -> list[tuple[int, int]]:
    """Release and priority of those that wait, soonest first."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT release_id, priority FROM match_queue WHERE status = 'queued' ORDER BY priority, place, sequence"
        )
    return [(row["release_id"], row["priority"]) for row in rows]


async def test_what_is_seen_of_a_mirror_comes_first_in_the_queue(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE match_queue SET priority = 20, place = 0")
    _, body = await shop.get("page=5")
    await shop.proxy.app[keys.INVENTORY].settled()
    seen = list(dict.fromkeys(row["release"]["id"] for row in json.loads(body)["listings"]))
    found = await queued(database)
    assert found[: len(seen)] == [(each, 0) for each in seen]
    assert {priority for _, priority in found[len(seen) :]} == {20}


async def test_what_is_shown_as_queued_is_in_the_queue(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM match_queue")
    _, body = await shop.get("page=5")
    rows = json.loads(body)["listings"]
    assert {row["processing_status"] for row in rows} == {"queued"}
    assert {release for release, _ in await queued(database)} == {row["release"]["id"] for row in rows}


async def test_a_page_is_answered_where_the_queue_cannot_be_written(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE match_queue SET priority = 20")
        await connection.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
        )
        await connection.execute("CREATE TRIGGER die BEFORE UPDATE ON match_queue FOR EACH ROW EXECUTE FUNCTION die()")
    response, _ = await shop.get("page=5")
    await shop.proxy.app[keys.INVENTORY].settled()
    assert "hit" in status_of(response)
    async with database.connection() as connection:
        await connection.execute("DROP TRIGGER die ON match_queue")
    await shop.get("page=5&per_page=49")
    await shop.proxy.app[keys.INVENTORY].settled()
    assert [priority for _, priority in await queued(database)].count(0) >= 40


# --- any page at the same cost ------------------------------------------------------------------------------------


async def test_a_deep_page_of_a_long_store_takes_the_queries_of_the_first(shop: Shop, database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO mirror_listings (store_username, listing_id, release_id, body, fetched_at)
            SELECT $1, place, 1, convert_to('{"id":' || place || ',"seller":null}', 'UTF8'), now()
            FROM generate_series(1, 50000) AS place
            """,
            STORE,
        )
        await connection.execute("UPDATE stores SET listing_ids = ARRAY(SELECT generate_series(50000, 1, -1))")
    orders = shop.proxy.app[keys.ORDERS]
    orders.drop(STORE)
    await shop.get("per_page=1")
    taken = []
    for page in (2, 50, 100):
        queries = await queries_of(shop.proxy, shop.get(f"per_page=100&page={page}"))
        taken.append(queries)
    assert taken[0] == taken[1] == taken[2]
    assert len(taken[0]) <= 8
    order = orders._kept[STORE]
    assert order.ids.itemsize * len(order.ids) == 400_000


async def queries_of(proxy: Proxy, request: Any) -> list[str]:
    """The statements, of all connections that are free, that a request costs: none of the proxy's own doings."""
    found: list[str] = []
    others = ("pg_notify", "budget", "RESET", "pg_advisory", "_hours", "release_demand", "BEGIN", "COMMIT")

    def note(query: Any) -> None:
        if not any(other in query.query for other in others):
            found.append(query.query)

    async with AsyncExitStack() as stack:
        free = [await stack.enter_async_context(proxy.app[keys.DATABASE].connection()) for _ in range(3)]
        for connection in free:
            connection.add_query_logger(note)
        raw = [connection._con for connection in free]  # type: ignore[union-attr]
    found.clear()
    response, _ = await request
    assert "detail=mirror" in status_of(response)
    for each in raw:
        each._query_loggers.clear()
    return found


@pytest.mark.parametrize(("bound", "most"), [("ids_max", LISTINGS - 1), ("stores_max", 0)])
async def test_orders_in_memory_are_bounded(shop: Shop, bound: str, most: int) -> None:
    orders = shop.proxy.app[keys.ORDERS]
    setattr(orders, bound, most)
    orders.drop_all()
    response, _ = await shop.get("page=7")
    assert "detail=mirror" in status_of(response)
    assert STORE not in orders


# --- identified callers -------------------------------------------------------------------------------------------


async def test_strangers_share_the_mirror_and_its_pictures(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    shop = Shop(discogs, await start_proxy(STORES=STORE, **KEY))
    await shop.mirrored()
    discogs.register_user("a_buyer", "buyer-token")
    buyer = {"Authorization": "Discogs token=buyer-token"}
    await shop.get("page=2", **buyer)  # until it is known whose it is, he is forwarded
    await shop.proxy.app[keys.IDENTITIES]._looking.settled()
    discogs.calls.clear()
    response, body = await shop.get("page=3", **buyer)
    assert "detail=mirror" in status_of(response)
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert any(row["release"]["thumbnail"] for row in json.loads(body)["listings"])
    assert b"in_cart" not in body
    assert discogs.calls == []


async def test_a_mirror_without_pictures_is_not_for_who_would_see_some(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, shop: Shop
) -> None:
    rich = Shop(discogs, await start_proxy(STORES=STORE, **KEY))  # the mirror was read without a credential
    discogs.register_user("a_buyer", "buyer-token")
    buyer = {"Authorization": "Discogs token=buyer-token"}
    await rich.get("page=2", **buyer)
    await rich.proxy.app[keys.IDENTITIES]._looking.settled()
    response, body = await rich.get("page=3", **buyer)
    assert "fwd=bypass" in status_of(response)
    assert any(row["release"]["thumbnail"] for row in json.loads(body)["listings"])
    response, _ = await rich.get("page=3")
    assert "detail=mirror" in status_of(response)


async def test_an_owner_is_forwarded(shop: Shop) -> None:
    shop.discogs.register_user(STORE, "owner-token")
    for _ in range(2):
        response, body = await shop.get("per_page=100", Authorization="Discogs token=owner-token")
        assert b"external_id" in body
        assert "fwd=bypass" in status_of(response)


async def test_what_the_operator_sees_of_his_own_store_is_not_in_its_mirror(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_user(STORE, "owner-token")
    proxy = await start_proxy(STORES=STORE, DISCOGS_TOKEN="owner-token", OWN_FRONT_END_VIEW="public")
    shop = await Shop(discogs, proxy).mirrored()
    own = {"Authorization": "Discogs token=owner-token"}
    for query, headers in (("page=4", {}), ("page=5&status=For+Sale", own), ("sort=listed&sort_order=desc", {})):
        response, body = await shop.get(query, **headers)
        assert "detail=mirror" in status_of(response)
        assert any(row["release"]["thumbnail"] for row in json.loads(body)["listings"])
        assert without_pictures(without_additions(body)) == without_pictures((await shop.direct(query))[1])
    assert shop.calls == 0


def without_pictures(page: Any) -> Any:
    """Of a value as `parsed` gives it."""
    if isinstance(page, tuple):
        return (page[0], None if page[0] in ("thumbnail", "images") else without_pictures(page[1]))
    return [without_pictures(each) for each in page] if isinstance(page, list) else page


async def test_a_store_that_is_asked_for_often_enough_is_answered_from_its_mirror(start_proxy: StartProxy) -> None:
    """Nobody named it: three requests within an hour make it tracked, and the schedule reads it."""
    async with SimulatedDiscogs(Catalogue.generate(seed=3, stores={STORE: 130})) as discogs:
        proxy = await start_proxy(DISCOGS_API_URL=discogs.url, BACKGROUND_PROCESSING_ENABLED="true")
        for page in (1, 2, 3):
            response, _ = await proxy.get(f"{INVENTORY}?page={page}")
            assert "mirror" not in response.headers["Cache-Status"]
        scheduler = proxy.app[keys.SCHEDULER]
        sizes = cycle(range(1, 101))  # what was kept before stays good for its time
        async with asyncio.timeout(20):
            while "detail=mirror" not in status_of((await proxy.get(f"{INVENTORY}?per_page={next(sizes)}"))[0]):
                scheduler.wake()
                await asyncio.sleep(0.05)
        assert scheduler.is_tracked(STORE.upper())


async def test_a_name_that_discogs_does_not_know_leaves_no_trace(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, database: Database
) -> None:
    proxy = await start_proxy()
    for _ in range(4):
        assert (await proxy.get("/users/nobody_at_all/inventory"))[0].status == 404
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM stores") == 0
