from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
import structlog

from matcher.database import Database
from proxy import keys
from proxy.adapters import mirror, tracking
from proxy.domain.counting import Calls
from proxy.domain.hold_down import HoldDown
from proxy.domain.policy import Decision, Source
from tests.conftest import Proxy, StartProxy
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs
from tests.simulated_discogs.churn import Churn, EventKind

STORE = "deep_store"
OTHER = "other_store"
PATH = f"/users/{STORE}/inventory"
HIT = Decision(Source.HIT)
QUICK = {"NEW_LISTING_CHECK_INTERVAL": "100", "BACKGROUND_PROCESSING_ENABLED": "true", "MATCH_PROVIDERS": "deezer"}


@dataclass
class Shops:
    """A store of eight pages and one of two, and proxies that keep them true by themselves."""

    discogs: SimulatedDiscogs
    database: Database
    churn: Churn
    start: StartProxy

    async def proxy(self, **environment: str) -> Proxy:
        return await self.start(DISCOGS_API_URL=self.discogs.url, **QUICK | environment)

    def calls(self, username: str = STORE) -> int:
        return sum(call.path == f"/users/{username}/inventory" for call in self.discogs.calls)

    async def is_true(self, username: str = STORE) -> bool:
        async with self.database.connection() as connection:
            found = await mirror.order(connection, username)
            (state,) = [each for each in await mirror.states(connection) if each.username == username] or (None,)
        rows = self.discogs.catalogue.store(username).for_sale("listed", descending=True)
        if state is None or state.checked_at is None:
            return False
        return found is not None and list(found[1]) == [row.id for row in rows]

    async def tracked(self) -> set[str]:
        async with self.database.connection() as connection:
            return {each.username for each in await tracking.stores(connection, []) if each.is_tracked}

    async def make_known(self, *usernames: str) -> None:
        async with self.database.connection() as connection:
            for each in usernames:
                await mirror.make_known(connection, each)


@pytest.fixture
async def shops(start_proxy: StartProxy, database: Database) -> AsyncIterator[Shops]:
    async with SimulatedDiscogs(Catalogue.generate(seed=3, stores={STORE: 730, OTHER: 150})) as discogs:
        yield Shops(discogs, database, Churn(discogs.catalogue), start_proxy)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await condition():
            await asyncio.sleep(0.02)


def asked(proxy: Proxy, times: int, username: str = STORE) -> None:
    for _ in range(times):
        proxy.app[keys.DEMAND].answered({username: 1}, 1, HIT, good=True)


async def test_a_store_of_the_settings_is_read_before_anybody_asks(shops: Shops) -> None:
    await shops.proxy(STORES=STORE)
    await until(shops.is_true)
    assert shops.calls() == 8 + 1


async def test_what_happens_to_a_store_that_is_looked_at_is_seen_by_itself(shops: Shops) -> None:
    proxy = await shops.proxy(STORES=f"den={STORE}")
    await until(shops.is_true)
    asked(proxy, 500)
    kinds: tuple[EventKind, ...] = ("sale", "addition", "sale")
    for kind in kinds:
        shops.churn.happen(STORE, kind)
        await until(shops.is_true)


async def test_what_counts_cannot_show_is_found_by_reading_again(shops: Shops) -> None:
    proxy = await shops.proxy(STORES=STORE, INVENTORY_SYNC_INTERVAL="100", CONTENT_MAX_AGE="5000")
    await until(shops.is_true)
    asked(proxy, 5000)
    kinds: tuple[EventKind, ...] = ("insertion", "sale")
    for kind in kinds:
        shops.churn.happen(STORE, kind)
    await until(shops.is_true)


async def test_a_store_is_tracked_from_the_third_request_on(shops: Shops) -> None:
    proxy = await shops.proxy()
    await shops.make_known(STORE, OTHER)
    asked(proxy, 2)
    asked(proxy, 3, OTHER)
    await until(lambda: shops.is_true(OTHER))
    assert await shops.tracked() == {OTHER}
    assert shops.calls() == 0


async def test_with_a_maximum_of_zero_only_the_settings_say_what_is_tracked(shops: Shops) -> None:
    proxy = await shops.proxy(STORES=OTHER, TRACKED_STORES_MAX="0")
    await shops.make_known(STORE)
    asked(proxy, 9)
    await until(lambda: shops.is_true(OTHER))
    assert await shops.tracked() == {OTHER}
    assert shops.calls() == 0


async def test_two_processes_read_a_store_once(shops: Shops) -> None:
    shops.discogs.latency_ms = 30
    await asyncio.gather(*(shops.proxy(STORES=f"{STORE},{OTHER}") for _ in range(2)))
    await until(lambda: shops.is_true(STORE))
    await until(lambda: shops.is_true(OTHER))
    assert shops.calls(STORE) == 8 + 1
    assert shops.calls(OTHER) == 2 + 1


async def test_a_store_that_discogs_does_not_know_is_not_asked_for_again(shops: Shops) -> None:
    await shops.proxy(STORES=f"nobody_at_all,{OTHER}")
    await until(lambda: shops.is_true(OTHER))
    await asyncio.sleep(0.5)
    assert shops.calls("nobody_at_all") == 1


async def test_a_wanted_store_that_is_gone_stays_known_and_is_tried_again_after_an_hour(shops: Shops) -> None:
    proxy = await shops.proxy(STORES=f"nobody_at_all,{OTHER}")

    async def row() -> dict[str, Any]:
        rows: list[dict[str, Any]] = json.loads((await proxy.admin("GET", "/api/admin/stores"))[1])["stores"]
        return {each["username"]: each for each in rows}["nobody_at_all"]

    async def is_gone() -> bool:
        return (await row())["gone_at"] is not None

    await until(is_gone)
    told = json.loads((await proxy.get("/readyz"))[1])
    assert (told["status"], list(told["degraded"])) == ("degraded", ["stores"])
    assert "nobody_at_all" in told["degraded"]["stores"]
    assert b'discogs_proxy_degraded{reason="stores"} 1.0' in (await proxy.get("/metrics"))[1]

    shops.discogs.rename(STORE, "nobody_at_all")
    proxy.app[keys.CHECKS]._held = HoldDown()
    async with shops.database.connection() as connection:
        await connection.execute("UPDATE stores SET gone_at = gone_at - interval '61 minutes'")

    async def is_back() -> bool:
        return bool((await row())["checked_at"])

    await until(is_back)
    assert not await is_gone()
    assert json.loads((await proxy.get("/readyz"))[1])["status"] == "ready"


async def test_a_paused_store_is_left_alone_until_it_goes_on(shops: Shops) -> None:
    await shops.make_known(STORE, OTHER)
    async with shops.database.connection() as connection:
        await tracking.pause(connection, STORE, paused=True)
    proxy = await shops.proxy(STORES=f"{STORE},{OTHER}")
    await until(lambda: shops.is_true(OTHER))
    assert shops.calls() == 0
    await proxy.app[keys.STORE_ADMIN].pause(STORE, paused=False)
    await until(shops.is_true)


async def test_what_failed_is_left_alone_for_a_while(shops: Shops) -> None:
    shops.discogs.add_fault(Fault(kind="html", status=503))
    proxy = await shops.proxy(STORES=STORE)

    async def has_failed() -> bool:
        return b'checks_total{result="failed"} 1.0' in (await proxy.get("/metrics"))[1]

    await until(has_failed)
    await asyncio.sleep(0.5)
    assert await has_failed()
    assert shops.calls() == 1


async def test_checks_go_on_once_a_database_that_was_away_is_back(
    shops: Shops, database_dsn: str, logs: list[structlog.types.EventDict]
) -> None:
    proxy = await shops.proxy(STORES=STORE)
    await until(shops.is_true)
    asked(proxy, 500)
    admin = await asyncpg.connect(database_dsn)
    await admin.execute("ALTER TABLE store_hours RENAME TO gone")
    await admin.execute(
        "CREATE VIEW store_hours AS SELECT * FROM gone WHERE pg_terminate_backend(pg_backend_pid()) IS NULL"
    )

    async def is_told() -> bool:
        asked(proxy, 1)  # what was counted before may be written already
        return any(each["event"] == "no checks while the database is away" for each in logs)

    await until(is_told)
    await admin.execute("DROP VIEW store_hours")
    await admin.execute("ALTER TABLE gone RENAME TO store_hours")
    await admin.close()
    shops.churn.happen(STORE, "sale")
    await until(shops.is_true)


async def test_a_line_of_progress_tells_what_was_done(shops: Shops, logs: list[structlog.types.EventDict]) -> None:
    proxy = await shops.proxy(STORES=STORE)
    await until(shops.is_true)
    proxy.app[keys.SCHEDULER]._minute.began -= 60

    async def is_told() -> bool:
        return any(each["event"] == "progress" for each in logs)

    await until(is_told)
    line = next(each for each in logs if each["event"] == "progress")
    assert (line["stores"], line["pages_read"], line["pages_left"]) == (1, 9, 0)
    assert line["releases_left"] > 0
    assert {"pages_a_minute", "releases_decided", "releases_left_s", "interval_stretch", "limited_by"} <= set(line)


async def test_requests_are_counted_as_they_were_answered(proxy: Proxy, database: Database) -> None:
    async with database.connection() as connection:
        await mirror.make_known(connection, STORE)
    demand = proxy.app[keys.DEMAND]
    demand.answered({STORE: 1}, 1, HIT, good=True)
    demand.answered({STORE: 30}, 30, HIT, good=True)
    demand.answered({STORE: 1}, 1, Decision(Source.MISS, upstream_status=200), good=True)
    demand.answered({STORE: 1}, 1, Decision(Source.BYPASS, upstream_status=200), good=True)
    demand.answered({STORE: 1}, 1, HIT, good=False)
    demand.answered({"never_seen": 1}, 1, HIT, good=True)
    demand.answered({}, 1, HIT, good=True)
    demand.called(STORE)
    demand.called(None)
    demand.spent(STORE, 4)
    for _ in range(2):
        await demand.flush()
    async with database.connection() as connection:
        (store,) = await tracking.stores(connection, [], everything=True)
        assert await tracking.calls_of_a_day(connection) == ({STORE: Calls(5, 3, 34, 1)}, Calls(7, 5, 36, 2))
    assert (store.username, store.replaced_calls, store.check_calls) == (STORE, 31, 4)
    assert len(store.asked_at) == 3
    assert store.requested_at == max(store.asked_at)


async def test_pages_of_a_shop_are_counted_by_the_proxy_itself(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    async with proxy.app[keys.DATABASE].connection() as connection:
        await mirror.make_known(connection, "small_shop")
    for _ in range(3):
        await proxy.get("/users/Small_Shop/inventory")
    await proxy.app[keys.DEMAND].flush()
    async with proxy.app[keys.DATABASE].connection() as connection:
        (store,) = await tracking.stores(connection, [])
    assert len(store.asked_at) == 3
    assert store.replaced_calls == 2
