"""A store that is longer than upstream shows, in small: its ends are ten pages of ten rows each."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from matcher.database import Database
from proxy import keys
from proxy.adapters import middle, mirror
from proxy.domain.budget import Lane
from proxy.domain.delta import Shown
from proxy.domain.middle import with_middle
from proxy.services.checks import CheckService
from tests.conftest import Proxy, StartProxy
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs

STORE = "long_store"
LISTINGS = 330
SHOWN = Shown(per_page=10, last_page=10)


@dataclass
class Long:
    discogs: SimulatedDiscogs
    proxy: Proxy
    database: Database
    checks: CheckService = field(init=False)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        upstream = self.proxy.app[keys.UPSTREAM]
        self.checks = CheckService(self.database, upstream, lambda: None, now=lambda: self.now, shown=SHOWN)

    async def check(self, audits: int = 0, lane: Lane = Lane.CHECK) -> int:
        """Returns the calls that it took."""
        before = len(self.discogs.calls)
        running = self.checks.check(STORE, lane, "test", audits=audits)
        assert await running.ended()
        assert running.error is None
        return len(self.discogs.calls) - before

    async def fill(self) -> None:
        for _ in range(20):
            await self.check()

    async def known(self) -> list[int]:
        async with self.database.connection() as connection:
            found = await mirror.order(connection, STORE)
            assert found is not None
            return with_middle(found[1], await middle.shown_ids(connection, STORE))

    async def in_middle(self) -> list[int]:
        async with self.database.connection() as connection:
            return list(await middle.ids(connection, STORE))

    def truth(self) -> list[int]:
        return [row.id for row in self.discogs.catalogue.store(STORE).for_sale("listed", descending=True)]


@pytest.fixture
async def unread(start_proxy: StartProxy, database: Database) -> AsyncIterator[Long]:
    async with SimulatedDiscogs(Catalogue.generate(seed=3, stores={STORE: LISTINGS})) as discogs:
        yield Long(discogs, await start_proxy(DISCOGS_API_URL=discogs.url, STORES=STORE), database)


@pytest.fixture
async def store(unread: Long) -> Long:
    await unread.fill()
    return unread


async def test_the_middle_becomes_known_by_further_orders_in_steps_that_a_restart_does_not_lose(unread: Long) -> None:
    assert await unread.check() == 20 + 1 + 10
    assert len(await unread.known()) > 200
    steps = [await unread.check() for _ in range(2)]
    assert steps == [1 + 10] * 2
    unread.restart()
    for _ in range(12):
        await unread.check()
    assert await unread.check() == 1
    known = await unread.known()
    assert len(known) >= 0.9 * LISTINGS
    assert known == [each for each in unread.truth() if each in set(known)]
    asked = [call.query for call in unread.discogs.calls if ("sort", "price") in call.query]
    assert len(asked) == len(set(asked)) == 20


async def test_what_is_known_is_shown_and_the_rest_counted(store: Long) -> None:
    known = await store.known()
    _, body = await store.proxy.get(f"/api/stores/{STORE}/inventory?sort=listed&sort_order=desc")
    answer = json.loads(body)
    assert [row["id"] for row in answer["results"]] == known
    assert answer.get("coverage", {"known": LISTINGS, "total": LISTINGS}) == {"known": len(known), "total": LISTINGS}
    _, body = await store.proxy.admin("GET", "/api/admin/stores")
    row = next(each for each in json.loads(body)["stores"] if each["username"] == STORE)
    assert row["coverage"] == {"known": len(known), "total": LISTINGS}
    middle_row = (await store.in_middle())[0]
    _, body = await store.proxy.get(f"/api/feed?stores={STORE}&limit=100")
    newest = [row["id"] for row in json.loads(body)["results"]]
    assert newest == known[:100]
    for page in range(1, 34):
        response, _ = await store.proxy.get(
            f"/users/{STORE}/inventory?sort=listed&sort_order=desc&per_page=10&page={page}"
        )
        from_mirror = "detail=mirror" in response.headers["Cache-Status"]
        assert from_mirror == (page <= 10 or page > 23), page
    assert middle_row in known


async def test_what_is_sold_in_the_middle_is_hidden_in_time_and_the_rest_stays(store: Long) -> None:
    sold = (await store.in_middle())[3]
    store.discogs.sell(STORE, sold)
    for _ in range(9):
        store.now += timedelta(minutes=15)
        await store.check(audits=4)
    known = await store.known()
    assert sold not in known
    assert set(known) <= set(store.truth())
    assert len(known) >= 0.9 * LISTINGS


async def test_what_is_not_read_again_is_not_shown_for_long(store: Long) -> None:
    assert await store.in_middle()
    store.now += timedelta(hours=3, minutes=1)
    assert await store.check() == 1
    assert await store.in_middle() == []


async def test_rows_drift_into_the_middle_and_out_of_it(store: Long) -> None:
    before = await store.in_middle()
    drifting = store.truth()[95:100]
    for _ in range(5):
        store.discogs.add_listing(STORE)
    await store.check(audits=20)
    assert set(drifting) <= set(await store.in_middle())
    assert set(drifting) <= set(await store.known())
    for place in (1, 2, 3, 4, 5, 6):
        store.discogs.sell(STORE, store.truth()[place])
    await store.check(audits=20)
    assert not set(drifting) & set(await store.in_middle())
    known = await store.known()
    assert known[:100] == store.truth()[:100]
    assert len(set(known)) == len(known)
    assert set(known) <= set(store.truth())
    assert before


async def test_a_store_that_shrinks_has_no_middle_any_more(store: Long) -> None:
    for each in store.truth()[::2]:
        store.discogs.sell(STORE, each)
    await store.check()
    await store.check(audits=20)
    assert await store.in_middle() == []
    assert await store.known() == store.truth()


async def test_nobody_waits_for_the_middle(unread: Long) -> None:
    await unread.check(lane=Lane.SHOPPER)
    assert await unread.check(lane=Lane.SHOPPER) == 1
    assert await unread.in_middle() == []


async def test_who_comes_while_the_middle_is_read_does_not_wait_for_all_of_it(unread: Long) -> None:
    await unread.check(lane=Lane.SHOPPER)
    unread.discogs.latency_ms = 50
    before = len(unread.discogs.calls)
    running = unread.checks.check(STORE, Lane.CHECK, "test")
    async with asyncio.timeout(10):
        while len(unread.discogs.calls) < before + 3:
            await asyncio.sleep(0.002)
    assert unread.checks.check(STORE, Lane.SHOPPER, "shop") is running
    assert await running.ended()
    assert running.error is None
    assert len(unread.discogs.calls) - before < 1 + 10
    assert await unread.in_middle()


async def test_an_order_that_upstream_refuses_is_left_out(unread: Long) -> None:
    unread.discogs.add_fault(Fault(kind="status", status=422, path=re.compile("sort=price")))
    await unread.fill()
    assert len(await unread.known()) >= 0.8 * LISTINGS
    assert len([call for call in unread.discogs.calls if ("sort", "price") in call.query]) <= 6


async def test_what_is_hidden_in_the_middle_is_shown_again_when_it_is_seen(store: Long) -> None:
    hidden = (await store.in_middle())[0]
    response, _ = await store.proxy.admin("POST", f"/api/admin/stores/{STORE}/listings/{hidden}/hide")
    assert response.status == 200
    assert hidden not in await store.known()
    await store.check()
    assert hidden not in await store.known()
    for _ in range(6):
        await store.check(audits=10)
    assert hidden in await store.known()
