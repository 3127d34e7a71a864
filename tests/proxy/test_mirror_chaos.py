"""A mirror whose process is killed, whose database goes away, whose upstream fails for hours: what it shows is true."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import asyncpg
import pytest

from proxy.services.checks import LEASE_S
from tests.process import ProxyProcess, proxy_process
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs

pytestmark = pytest.mark.slow

STORE = "deep_store"
LISTINGS = 3_050
PAGES = 31
INVENTORY = f"/users/{STORE}/inventory"
RESULTS = f"/api/stores/{STORE}/inventory"
ANY_SIZE = "sort=listed&sort_order=desc"
NEWEST_FIRST = f"{ANY_SIZE}&per_page=100"


@dataclass
class World:
    """A store of 31 pages, its database, and processes in front of it that read it only when they are asked."""

    discogs: SimulatedDiscogs
    dsn: str
    folder: Path
    session: aiohttp.ClientSession
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def process(self, **environment: str) -> AbstractAsyncContextManager[ProxyProcess]:
        """Each with a response cache of its own: what it shows comes from the mirror or from upstream."""
        name = f"process-{next(self.numbers)}"
        settings = {
            "DATA_DIR": str(self.folder / name),
            "DATABASE_URL": self.dsn,
            "DISCOGS_API_URL": self.discogs.url,
            "DISCOGS_RATE_LIMIT": "0",
            "BACKGROUND_PROCESSING_ENABLED": "false",
            "STORES": STORE,
            "NEW_LISTING_CHECK_INTERVAL": "600000",
        }
        return proxy_process(self.folder / f"{name}.log", **settings | environment)

    async def get(self, url: str) -> tuple[aiohttp.ClientResponse, Any]:
        async with self.session.get(url) as response:
            return response, await response.json()

    async def state(self) -> asyncpg.Record:
        """Of the store in the database; asked for with a connection of its own."""
        return await self.fetchrow("SELECT * FROM stores WHERE username = $1", STORE)

    async def fetchrow(self, statement: str, *arguments: object) -> asyncpg.Record:
        connection = await asyncpg.connect(self.dsn)
        try:
            row = await connection.fetchrow(statement, *arguments)
        finally:
            await connection.close()
        assert row is not None
        return row

    async def expire_lease(self) -> None:
        """As if the time had passed after which a dead process' store is taken over."""
        await self.fetchrow("UPDATE stores SET lease_until = now() WHERE username = $1 RETURNING 1", STORE)

    def hang_at(self, page: int) -> None:
        """Checks and sweeps get no answer for this page."""
        self.discogs.add_fault(Fault("silent", path=re.compile(rf"status=For\+Sale.*&page={page}$")))

    def pages_asked(self, since: int = 0) -> list[int]:
        """Numbers of the pages that checks and sweeps asked for; shoppers here name no status."""
        asked = [parse_qs(call.raw_path.partition("?")[2]) for call in self.discogs.calls[since:]]
        return [int(query["page"][0]) for query in asked if query.get("status") == ["For Sale"]]

    def truth(self) -> list[int]:
        return [row.id for row in self.discogs.catalogue.store(STORE).for_sale("listed", descending=True)]

    def churn(self) -> None:
        for kind in ("sale", "addition", "sale", "edit_moving", "relisting"):
            self.discogs.churn(STORE, 1, kind)

    async def check_pages(self, url: str, *numbers: int) -> None:
        """They are as Discogs would give them, wherever they come from."""
        for number in numbers:
            response, page = await self.get(f"{url}{INVENTORY}?{NEWEST_FIRST}&page={number}")
            assert response.status == 200
            rows = self.truth()[(number - 1) * 100 : number * 100]
            assert (number, [row["id"] for row in page["listings"]]) == (number, rows)
            assert page["pagination"]["items"] == len(self.truth())

    async def ask_past_the_mirror(self, url: str, times: int) -> None:
        """For pages of many sizes that hold the rows from place 1900 on, which are too old: until a sweep pays."""
        for size in range(50, 50 + times):
            number = 1900 // size + 1
            response, page = await self.get(f"{url}{INVENTORY}?{ANY_SIZE}&per_page={size}&page={number}")
            assert response.status == 200
            assert [row["id"] for row in page["listings"]] == self.truth()[(number - 1) * size : number * size]


@pytest.fixture
async def world(database_dsn: str, tmp_path: Path) -> AsyncIterator[World]:
    catalogue = Catalogue.generate(seed=3, stores={STORE: LISTINGS}, releases=500)
    async with SimulatedDiscogs(catalogue) as discogs, aiohttp.ClientSession() as session:
        yield World(discogs, database_dsn, tmp_path, session)


async def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.002)


async def until_confirmed(world: World, since: object = None, within_s: float = 30.0) -> None:
    """The mirror was found true."""
    async with asyncio.timeout(within_s):
        while (state := await world.state())["listing_ids"] is None or state["checked_at"] in (None, since):
            await asyncio.sleep(0.02)


async def mirrored_ids(world: World) -> list[int]:
    return list((await world.state())["listing_ids"])


# --- kill -9 ------------------------------------------------------------------------------------------------------


async def test_a_first_sweep_that_is_killed_again_and_again_goes_on_where_it_was(world: World) -> None:
    read = 0
    for killed_at in (2, 9, 24):
        world.hang_at(killed_at)
        since = len(world.discogs.calls)
        async with world.process() as proxy:
            await world.check_pages(proxy.url, 2)  # from upstream; the sweep begins behind it
            await until(lambda: killed_at in world.pages_asked(since))  # noqa: B023 - awaited at once
            response, body = await world.get(f"{proxy.url}{RESULTS}?per_page=10")
            assert body["coverage"]["known"] < body["coverage"]["total"] == len(world.truth())
            assert response.headers["Cache-Control"] == "no-store"
            await world.check_pages(proxy.url, 1, PAGES)
            await proxy.stop(signal.SIGKILL)
        assert (await world.state())["listing_ids"] is None
        assert world.pages_asked(since) == list(range(read + 1, killed_at + 1))
        read = (await world.state())["sweep_page"]
        assert read == killed_at - 1
        world.discogs.clear_faults()
        await world.expire_lease()
        world.churn()
    since = len(world.discogs.calls)
    async with world.process() as proxy:
        await world.get(f"{proxy.url}{RESULTS}?per_page=10")
        await until_confirmed(world)
        asked = world.pages_asked(since)
        assert asked[: PAGES - read + 1] == [*range(read + 1, PAGES + 1), 1]
        assert len(asked) <= PAGES - read + 1 + 25
        assert await mirrored_ids(world) == world.truth()
        since = len(world.discogs.calls)
        await world.check_pages(proxy.url, 1, 2, 17, PAGES)
        assert len(world.discogs.calls) == since
        _, whole = await world.get(f"{proxy.url}{RESULTS}")
        assert [row["id"] for row in whole["results"]] == world.truth()[::-1]
        assert "coverage" not in whole
        assert await proxy.stop() == 0


async def test_while_a_renewal_is_killed_the_old_mirror_goes_on_being_shown(world: World) -> None:
    async with world.process() as proxy:
        await mirrored(world, proxy)
        await proxy.stop(signal.SIGKILL)
    aged = world.truth()[1900:1910]
    await world.fetchrow(
        """
        WITH aged AS (UPDATE mirror_listings SET fetched_at = now() - interval '7 hours'
                      WHERE listing_id = ANY($1::bigint[]) RETURNING 1)
        SELECT count(*) FROM aged
        """,
        aged,
    )
    await world.expire_lease()
    before, read = await world.state(), 0
    for killed_at in (3, 17):
        world.hang_at(killed_at)
        since = len(world.discogs.calls)
        async with world.process() as proxy:
            await world.ask_past_the_mirror(proxy.url, PAGES)
            await until(lambda: killed_at in world.pages_asked(since))  # noqa: B023 - awaited at once
            calls = len(world.discogs.calls)
            await world.check_pages(proxy.url, 1, killed_at, 18, PAGES)
            assert len(world.discogs.calls) == calls
            await proxy.stop(signal.SIGKILL)
        assert world.pages_asked(since) == list(range(read + 1, killed_at + 1))
        read = killed_at - 1
        state = await world.state()
        assert (state["sweep_page"], state["version"]) == (read, before["version"])
        assert state["listing_ids"] == before["listing_ids"]
        world.discogs.clear_faults()
        await world.expire_lease()
    async with world.process() as proxy:
        world.discogs.churn(STORE, 3, "sale")
        await world.ask_past_the_mirror(proxy.url, PAGES)
        await until_confirmed(world, since=before["checked_at"])
        assert await mirrored_ids(world) == world.truth()
        calls = len(world.discogs.calls)
        await world.check_pages(proxy.url, 1, 20, PAGES)
        assert len(world.discogs.calls) == calls


async def test_a_check_that_is_killed_while_it_writes_has_written_nothing(world: World) -> None:
    async with world.process() as proxy:
        await mirrored(world, proxy)
        await proxy.stop(signal.SIGKILL)
    await world.expire_lease()
    before = await world.state()
    world.churn()
    connection = await asyncpg.connect(world.dsn)
    async with world.process(NEW_LISTING_CHECK_INTERVAL="100") as proxy, connection.transaction():
        await connection.execute("SELECT 1 FROM mirror_listings WHERE store_username = $1 FOR UPDATE", STORE)
        asking = asyncio.create_task(world.get(f"{proxy.url}{INVENTORY}?{NEWEST_FIRST}"))
        async with asyncio.timeout(20):
            while not await connection.fetchval(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ):
                await asyncio.sleep(0.01)
        await proxy.stop(signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await asking
    await connection.close()
    state = await world.state()
    for told in ("version", "listing_ids", "checked_at", "listings_total"):
        assert state[told] == before[told]
    await world.expire_lease()
    async with world.process(NEW_LISTING_CHECK_INTERVAL="100") as proxy:
        await world.check_pages(proxy.url, 1, 2, PAGES)
        assert await mirrored_ids(world) == world.truth()


async def test_where_one_of_two_processes_is_killed_the_other_takes_over(world: World) -> None:
    async with world.process() as survivor:
        async with world.process() as working:
            world.hang_at(9)
            await world.check_pages(working.url, 2)
            await until(lambda: 9 in world.pages_asked())
            waiting = asyncio.create_task(world.get(f"{survivor.url}{RESULTS}?per_page=10"))
            _, body = await waiting
            assert body["coverage"] == {"known": 800, "total": LISTINGS}
            assert world.pages_asked() == list(range(1, 10))
            await working.stop(signal.SIGKILL)
        world.discogs.clear_faults()
        left = await world.fetchrow(
            """
            UPDATE stores SET lease_until = now() + interval '1 second' WHERE username = $1
            RETURNING (SELECT extract(epoch FROM lease_until - now()) FROM stores WHERE username = $1) AS seconds
            """,
            STORE,
        )
        assert 0 < left["seconds"] <= LEASE_S
        await until_confirmed(world)
        assert world.pages_asked() == [*range(1, 10), *range(9, PAGES + 1), 1]
        assert await mirrored_ids(world) == world.truth()
        await world.check_pages(survivor.url, 1, 17)


SHOPPERS = 200


async def test_what_many_shoppers_read_is_of_one_version_and_what_a_kill_cuts_is_no_answer(world: World) -> None:
    versions = [world.truth()]
    async with world.process(NEW_LISTING_CHECK_INTERVAL="200") as proxy:
        await mirrored(world, proxy)
        whole: list[list[int]] = []
        cut: list[BaseException] = []
        shoppers = [asyncio.create_task(shop(world, proxy.url, number, whole, cut)) for number in range(SHOPPERS)]
        while len(whole) < 8:
            world.churn()
            versions.append(world.truth())
            since = (await world.state())["checked_at"]
            await until_confirmed(world, since=since)
        await proxy.stop(signal.SIGKILL)
        await asyncio.gather(*shoppers)
    assert len(cut) == SHOPPERS
    for found in whole:
        assert len(found) == len(set(found))
        assert found[::-1] in versions
    await world.expire_lease()
    async with world.process(NEW_LISTING_CHECK_INTERVAL="200") as proxy:
        await world.check_pages(proxy.url, 1, 16, PAGES)


async def shop(world: World, url: str, number: int, whole: list[list[int]], cut: list[BaseException]) -> None:
    """Reads until the process is killed. Every tenth one reads the whole store, the others pages of it."""
    page = f"{INVENTORY}?{NEWEST_FIRST}&page={number % PAGES + 1}"
    while True:
        try:
            async with world.session.get(url + (page if number % 10 else RESULTS)) as response:
                body = await response.read()
        except aiohttp.ClientError as error:
            cut.append(error)
            return
        assert response.status == 200
        found = [row["id"] for row in json.loads(body)["listings" if number % 10 else "results"]]
        assert len(found) == len(set(found))
        if number % 10 == 0:
            whole.append(found)


async def mirrored(world: World, proxy: ProxyProcess) -> None:
    """The first sweep of the store has ended and is confirmed."""
    await world.get(f"{proxy.url}{RESULTS}?per_page=10")
    await until_confirmed(world)
