"""Stories of listings that are hidden, or were written through the proxy, until a check has seen how they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from matcher.database import Database
from proxy import keys
from proxy.domain.budget import Lane
from tests.conftest import Proxy, StartProxy
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs

STORE = "deep_store"
LISTINGS = 730
INVENTORY = f"/users/{STORE}/inventory"
NEWEST = "sort=listed&sort_order=desc&per_page=100"
BY_PRICE = "sort=price&sort_order=asc&per_page=100"
OWNER = {"Authorization": "Discogs token=owner-token", "Content_Type": "application/json"}


@dataclass
class Shop:
    """A mirrored store of eight pages."""

    discogs: SimulatedDiscogs
    proxy: Proxy
    database: Database

    async def page(self, query: str = NEWEST) -> dict[str, Any]:
        response, body = await self.proxy.get(f"{INVENTORY}?{query}")
        assert response.status == 200
        page = json.loads(body)
        assert isinstance(page, dict)
        return page

    async def ids(self, query: str = NEWEST) -> list[int]:
        return [row["id"] for row in (await self.page(query))["listings"]]

    async def id_at(self, place: int) -> int:
        return (await self.ids(f"{NEWEST}&page={place // 100 + 1}"))[place % 100]

    async def everywhere(self) -> set[int]:
        """All ids that any answer shows."""
        pages = [await self.ids(f"{order}&page={number}") for order in (NEWEST, BY_PRICE) for number in range(1, 9)]
        for path in (f"/api/stores/{STORE}/inventory", f"/api/feed?stores={STORE}&limit=100"):
            _, body = await self.proxy.get(path)
            pages.append([row["id"] for row in json.loads(body)["results"]])
        return {each for page in pages for each in page}

    async def hide(self, listing_id: int, status: int = 200) -> dict[str, Any]:
        path = f"/api/admin/stores/{STORE.upper()}/listings/{listing_id}/hide"
        response, body = await self.proxy.admin("POST", path)
        assert response.status == status, body
        found = json.loads(body)
        assert isinstance(found, dict)
        return found

    async def check(self) -> int:
        """Returns the calls that it took."""
        before = len(self.discogs.calls)
        check = self.proxy.app[keys.CHECKS].check(STORE, Lane.CHECK, "test")
        assert await check.ended()
        assert check.error is None
        return len(self.discogs.calls) - before

    async def write(self, method: str, listing_id: int, body: str = "", **headers: str) -> None:
        """And the check behind it."""
        response, answer = await self.proxy.request(
            method, f"/marketplace/listings/{listing_id}", data=body or None, **(OWNER | headers)
        )
        assert response.status < 300, answer
        await self.proxy.app[keys.DOUBT].settled()

    async def half_a_minute_passes(self) -> None:
        async with self.database.connection() as connection:
            await connection.execute("UPDATE doubted_listings SET doubted_at = doubted_at - interval '30 s'")

    async def until_gone(self, listing_id: int, query: str) -> None:
        async with asyncio.timeout(10):
            while listing_id in await self.ids(query):
                await asyncio.sleep(0.005)

    async def in_doubt(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM doubted_listings"))


@pytest.fixture
async def shop(start_proxy: StartProxy, database: Database) -> AsyncIterator[Shop]:
    async with SimulatedDiscogs(Catalogue.generate(seed=3, stores={STORE: LISTINGS})) as discogs:
        discogs.register_user(STORE, "owner-token")
        shop = Shop(discogs, await start_proxy(DISCOGS_API_URL=discogs.url, STORES=STORE), database)
        await shop.check()
        yield shop


def written(shop: Shop, listing_id: int, **changes: object) -> str:
    found = shop.discogs.catalogue.listing(listing_id)
    assert found is not None
    row = found[1]
    return json.dumps(
        {"release_id": row.release_id, "condition": row.condition, "price": row.price, "status": "For Sale"} | changes
    )


# --- hiding -------------------------------------------------------------------------------------------------------


async def test_a_hidden_listing_is_in_no_answer_of_any_process(shop: Shop, start_proxy: StartProxy) -> None:
    other = Shop(shop.discogs, await start_proxy(DISCOGS_API_URL=shop.discogs.url, STORES=STORE), shop.database)
    hidden = await shop.id_at(350)
    for each in (shop, other):
        assert hidden in await each.everywhere()
    told = await shop.hide(hidden)
    assert (told["store"], told["listing_id"], told["hidden"]) == (STORE, hidden, [hidden])
    assert told["description"]
    assert told["next_check_at"]
    await shop.until_gone(hidden, f"{NEWEST}&page=4")
    await other.until_gone(hidden, f"{NEWEST}&page=4")
    for each in (shop, other):
        assert len(await each.everywhere()) == LISTINGS - 1
        assert hidden not in await each.everywhere()


async def test_pages_and_counts_agree_with_what_is_shown(shop: Shop) -> None:
    hidden = [await shop.id_at(place) for place in (5, 150, 729)]
    by_price = [await shop.page(f"{BY_PRICE}&page={number}") for number in range(1, 9)]
    for each in hidden:
        await shop.hide(each)
        await shop.until_gone(each, NEWEST)
    pages = [await shop.page(f"{NEWEST}&page={number}") for number in range(1, 9)]
    assert {page["pagination"]["items"] for page in pages} == {LISTINGS - 3}
    assert [len(page["listings"]) for page in pages] == [100] * 7 + [27]
    _, body = await shop.proxy.get(f"/api/stores/{STORE}/inventory")
    assert json.loads(body)["cacheStats"]["total"] == LISTINGS - 3
    for before in by_price:
        number = before["pagination"]["page"]
        after = await shop.page(f"{BY_PRICE}&page={number}")
        fewer = len(before["listings"]) - len(after["listings"])
        assert fewer == len([row for row in before["listings"] if row["id"] in hidden])
        assert after["pagination"] == before["pagination"] | {"items": LISTINGS - fewer}


async def test_what_was_sold_elsewhere_stays_away_once_it_is_gone(shop: Shop) -> None:
    hidden = await shop.id_at(350)
    await shop.everywhere()
    await shop.hide(hidden)
    assert (await shop.hide(hidden))["hidden"] == [hidden]
    shop.discogs.sell(STORE, hidden)
    assert await shop.check() == 1 + 1
    assert await shop.in_doubt() == 0
    await shop.until_gone(hidden, f"{NEWEST}&page=4")
    assert hidden not in await shop.everywhere()  # in no copy of a page by price either
    assert "known" in (await shop.hide(hidden, 404))["message"]


async def test_what_is_still_for_sale_is_shown_again_by_the_next_check(shop: Shop) -> None:
    hidden = await shop.id_at(350)
    await shop.hide(hidden)
    await shop.until_gone(hidden, f"{NEWEST}&page=4")
    assert await shop.check() == 1 + 1
    async with asyncio.timeout(10):
        while hidden not in await shop.ids(f"{NEWEST}&page=4"):
            await asyncio.sleep(0.005)
    assert hidden in await shop.everywhere()
    assert await shop.check() == 1


async def test_a_check_that_began_before_the_hiding_does_not_end_it(shop: Shop) -> None:
    hidden = await shop.id_at(20)
    shop.discogs.latency_ms = 300
    check = shop.proxy.app[keys.CHECKS].check(STORE, Lane.CHECK, "test")
    async with asyncio.timeout(10):
        while not shop.discogs.calls_to(f"/users/{STORE}/inventory")[9:]:
            await asyncio.sleep(0.005)
    await shop.hide(hidden)
    assert await check.ended()
    assert await shop.in_doubt() == 1
    await shop.until_gone(hidden, NEWEST)
    shop.discogs.latency_ms = 0
    await shop.check()
    assert await shop.in_doubt() == 0


async def test_of_many_in_doubt_a_check_looks_for_a_few(shop: Shop) -> None:
    for number in range(8):
        await shop.hide(await shop.id_at(number * 90 + 5))
    assert await shop.check() <= 1 + 5
    assert 1 <= await shop.in_doubt() <= 3
    await shop.check()
    assert await shop.in_doubt() == 0


@pytest.mark.parametrize(("listing", "status"), [("1", 404), ("x", 400), ("9" * 30, 400), ("-5", 400)])
async def test_what_is_no_listing_of_the_store_is_not_hidden(shop: Shop, listing: str, status: int) -> None:
    response, body = await shop.proxy.admin("POST", f"/api/admin/stores/{STORE}/listings/{listing}/hide")
    assert (response.status, "message" in json.loads(body)) == (status, True)
    assert await shop.in_doubt() == 0


async def test_in_a_store_that_is_not_known_nothing_is_hidden(shop: Shop) -> None:
    response, body = await shop.proxy.admin("POST", "/api/admin/stores/nobody/listings/1/hide")
    assert (response.status, "PUT" in json.loads(body)["message"]) == (404, True)


# --- writes through the proxy -------------------------------------------------------------------------------------


async def test_what_is_deleted_through_the_proxy_is_gone_at_once(shop: Shop) -> None:
    gone = await shop.id_at(350)
    await shop.everywhere()
    calls = len(shop.discogs.calls)
    await shop.write("DELETE", gone)
    assert len(shop.discogs.calls) - calls == 1 + 1 + 1  # the write, page 1, the page where it stood
    await shop.until_gone(gone, f"{NEWEST}&page=4")
    assert gone not in await shop.everywhere()


async def test_a_delay_of_discogs_after_a_write_is_not_shown(shop: Shop) -> None:
    gone = await shop.id_at(350)
    shop.discogs.add_fault(Fault(kind="status", status=204, body=b"", method="DELETE", times=1))  # it is shown still
    await shop.write("DELETE", gone)
    for _ in range(2):
        await shop.check()
        await shop.until_gone(gone, f"{NEWEST}&page=4")
        assert gone not in await shop.everywhere()
    await shop.half_a_minute_passes()
    await shop.check()
    assert await shop.in_doubt() == 0
    async with asyncio.timeout(10):
        while gone not in await shop.everywhere():
            await asyncio.sleep(0.005)


async def test_a_listing_that_comes_and_goes_after_a_write_is_not_shown(shop: Shop) -> None:
    gone = await shop.id_at(350)
    found = shop.discogs.catalogue.listing(gone)
    assert found is not None
    await shop.write("DELETE", gone)
    shop.discogs.catalogue.store(STORE).put(found[1])  # an older page of Discogs'
    await shop.check()
    assert gone not in await shop.everywhere()
    shop.discogs.delete_listing(STORE, gone)
    await shop.half_a_minute_passes()
    await shop.check()
    assert await shop.in_doubt() == 0
    assert gone not in await shop.everywhere()


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_what_is_made_a_draft_through_the_proxy_is_hidden(shop: Shop, kind: str) -> None:
    drafted = await shop.id_at(350)
    body = written(shop, drafted, status="Draft") if kind.endswith("json") else "status=Draft&price=5"
    if not kind.endswith("json"):
        shop.discogs.add_fault(Fault(kind="status", status=204, body=b"", method="POST", times=1))
    await shop.write("POST", drafted, body, Content_Type=kind)
    await shop.until_gone(drafted, f"{NEWEST}&page=4")
    assert drafted not in await shop.everywhere()


async def test_an_edit_through_the_proxy_is_shown_wherever_it_stands(shop: Shop) -> None:
    edited = await shop.id_at(350)
    shop.discogs.add_fault(Fault(kind="status", status=204, body=b"", method="POST", times=1))
    shop.discogs.edit_listing(STORE, edited, price=77.5)  # it does not move
    await shop.write("POST", edited, written(shop, edited, price=77.5))
    async with asyncio.timeout(10):
        while True:
            rows = {row["id"]: row for row in (await shop.page(f"{NEWEST}&page=4"))["listings"]}
            if rows[edited]["price"]["value"] == 77.5:
                break
            await asyncio.sleep(0.005)
    assert await shop.in_doubt() == 1  # until all of Discogs' pages must have it
    await shop.half_a_minute_passes()
    await shop.check()
    assert await shop.in_doubt() == 0


async def test_a_write_that_discogs_refuses_hides_nothing(shop: Shop) -> None:
    listing_id = await shop.id_at(350)
    path = f"/marketplace/listings/{listing_id}"
    response, _ = await shop.proxy.request("DELETE", path, Authorization="Discogs token=nobodys")
    assert response.status >= 400
    assert await shop.in_doubt() == 0
