"""Hours without Discogs, and a database that goes away in the middle: what is shown is true, or marked, or refused."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy import keys
from proxy.adapters.embedded_postgres import EmbeddedPostgres
from proxy.background import Health, running
from proxy.services.checks import GONE_AFTER_S
from tests.conftest import Proxy, StartProxy
from tests.proxy.test_database_away import to_all, until_well
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs

pytestmark = pytest.mark.slow

STORE = "deep_store"
LISTINGS = 330
INVENTORY = f"/users/{STORE}/inventory"
RESULTS = f"/api/stores/{STORE}/inventory"
NEWEST_FIRST = "sort=listed&sort_order=desc&per_page=100"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Clock:
    """Of all that a proxy does; it can be moved on."""

    passed: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.passed

    def monotonic(self) -> float:
        return time.monotonic() + self.passed.total_seconds()

    def rule(self, proxy: Proxy) -> None:
        proxy.app[keys.PASSTHROUGH].copies.now = proxy.app[keys.STORES].now = proxy.app[keys.CHECKS].now = self.now
        upstream = proxy.app[keys.UPSTREAM]
        upstream.clock = upstream.lanes.clock = self.monotonic


@dataclass
class Shop:
    """A store of four pages in front of which is a proxy."""

    discogs: SimulatedDiscogs
    proxy: Proxy
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.clock.rule(self.proxy)

    async def get(self, path: str) -> tuple[aiohttp.ClientResponse, Any]:
        """With what runs behind the answer ended."""
        response, body = await self.proxy.get(path)
        await self.settled()
        return response, json.loads(body)

    async def settled(self) -> None:
        await self.proxy.app[keys.CHECKS].settled()
        if running_now := self.proxy.app[keys.CHECKS].running(STORE):
            await running_now.ended()

    async def page(self, number: int) -> tuple[aiohttp.ClientResponse, Any]:
        return await self.get(f"{INVENTORY}?{NEWEST_FIRST}&page={number}")

    async def from_mirror(self, number: int) -> Any:
        """A copy from before the mirror was true serves until Postgres has told of the change."""
        async with asyncio.timeout(20):
            while True:
                response, page = await self.page(number)
                if "detail=mirror" in response.headers["Cache-Status"]:
                    return page
                await asyncio.sleep(0.02)

    def truth(self) -> list[int]:
        return [row.id for row in self.discogs.catalogue.store(STORE).for_sale("listed", descending=True)]

    async def check_true(self) -> None:
        for number in (1, 4):
            page = await self.from_mirror(number)
            assert ids(page) == self.truth()[number * 100 - 100 : number * 100]
        _, whole = await self.get(RESULTS)
        assert ids(whole, "results") == self.truth()[::-1]
        assert "coverage" not in whole


def ids(body: Any, member: str = "listings") -> list[int]:
    return [row["id"] for row in body[member]]


def is_marked_stale(response: aiohttp.ClientResponse) -> bool:
    told = response.headers["Cache-Status"]
    return "; hit; ttl=-" in told and told.endswith(("; detail=stale-if-error", "; detail=stale-while-revalidate"))


@pytest.fixture
async def discogs() -> AsyncIterator[SimulatedDiscogs]:
    catalogue = Catalogue.generate(seed=3, stores={STORE: LISTINGS}, releases=200)
    async with SimulatedDiscogs(catalogue) as running_now:
        yield running_now


@pytest.fixture
async def shop(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> Shop:
    shop = Shop(discogs, await start_proxy(STORES=STORE))
    await shop.page(1)
    await shop.check_true()
    return shop


# --- hours without Discogs ----------------------------------------------------------------------------------------

OUTAGES: dict[str, Fault | None] = {
    "refused": None,
    "hangs": Fault("silent"),
    "500": Fault("status", status=500),
    "503": Fault("status", status=503),
    "HTML": Fault("html", status=200),
    "429": Fault("rate_limited"),
    "dropped": Fault("reset_before_headers"),
}


async def strike(shop: Shop, fault: Fault | None) -> None:
    upstream = shop.proxy.app[keys.UPSTREAM]
    upstream.deadline_s = shop.proxy.app[keys.STORES].deadline_s = shop.proxy.app[keys.MIRROR].deadline_s = 0.1
    if fault is None:
        await shop.discogs.stop()
    else:
        shop.discogs.add_fault(fault)


async def pass_over(shop: Shop, fault: Fault | None) -> None:
    upstream = shop.proxy.app[keys.UPSTREAM]
    upstream.deadline_s = shop.proxy.app[keys.STORES].deadline_s = shop.proxy.app[keys.MIRROR].deadline_s = 10.0
    shop.discogs.clear_faults()
    if fault is None:
        await shop.discogs.start()


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES.keys())
async def test_an_outage_of_hours_shows_nothing_wrong_and_nothing_too_old(shop: Shop, fault: Fault | None) -> None:
    old = shop.truth()
    began = shop.clock.now()
    await strike(shop, fault)
    shop.discogs.churn(STORE, 5, "sale")
    shop.discogs.churn(STORE, 5, "addition")
    before = len(shop.discogs.calls)
    shop.clock.passed += MINUTE
    for look in range(20):
        shop.clock.passed += 3 * MINUTE
        number = look % 4 + 1
        response, page = await shop.page(number)
        assert (response.status, ids(page)) == (200, old[number * 100 - 100 : number * 100])
        assert is_marked_stale(response)
        assert int(response.headers["Age"]) >= (look + 1) * 180
        response, whole = await shop.get(f"{RESULTS}?per_page=50")
        assert ids(whole, "results") == old[::-1][:50]
        assert is_marked_stale(response)
    assert len(shop.discogs.calls) - before <= 3 * 20  # two checks a look, and what is tried again at once
    shop.clock.passed += began + 6 * HOUR - MINUTE - shop.clock.now()
    assert is_marked_stale((await shop.page(2))[0])
    shop.clock.passed += 2 * MINUTE
    for path in (f"{INVENTORY}?{NEWEST_FIRST}&page=2", RESULTS, f"{RESULTS}?page=2"):
        response, body = await shop.get(path)
        assert response.status in ((429, 503) if fault and fault.kind == "rate_limited" else (503,))
        assert list(body) == ["message"]
        assert int(response.headers["Retry-After"]) > 0
    await pass_over(shop, fault)
    shop.clock.passed += 5 * MINUTE
    await shop.page(1)
    shop.clock.passed += MINUTE
    for number in (1, 2, 3, 4):  # as many as a sweep reads: then it pays
        await shop.page(number)
    await shop.check_true()


async def test_a_store_whose_seller_is_unknown_for_an_hour_goes_and_comes_back(shop: Shop) -> None:
    shop.discogs.add_fault(Fault("status", status=404))
    shop.clock.passed += 2 * MINUTE
    response, page = await shop.page(1)
    assert response.status == 404
    before = len(shop.discogs.calls)
    assert (await shop.get(RESULTS))[0].status == 404
    for _ in range(20):
        shop.clock.passed += 3 * MINUTE
        response, page = await shop.page(1)
        assert (response.status, list(page)) == (404, ["message"])
    assert len(shop.discogs.calls) - before <= 3 * 60
    assert GONE_AFTER_S < 60 * 60
    shop.discogs.clear_faults()
    for _ in range(2):
        shop.clock.passed += 2 * MINUTE
        await shop.page(1)
    await shop.check_true()


async def test_a_holiday_is_believed_at_the_next_check_and_so_is_its_end(shop: Shop) -> None:
    for away in (True, False, True, False):
        shop.discogs.holiday(STORE, away=away)
        shop.clock.passed += 5 * MINUTE
        before = len(shop.discogs.calls)
        response, page = await shop.page(1)
        assert (response.status, ids(page)) == (200, shop.truth()[:100])
        assert len(shop.discogs.calls) - before <= 4
        _, whole = await shop.get(RESULTS)
        assert ids(whole, "results") == shop.truth()[::-1]
        assert "coverage" not in whole
    await shop.check_true()


# --- the database -------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A PostgreSQL of its own, watched as the proxy watches its own."""

    folder: Path
    dsn: str

    def to_all(self, number: signal.Signals) -> None:
        to_all(self.folder, number)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = EmbeddedPostgres(tmp_path / "own")
    dsn = await server.start()
    async with running("postgres", server.supervise, Health()):
        yield Server(tmp_path / "own", dsn)
    await server.stop()


def killed(server: Server) -> None:
    server.to_all(signal.SIGKILL)


def frozen(server: Server) -> None:
    server.to_all(signal.SIGSTOP)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's processes in /proc")
@pytest.mark.parametrize("ail", [killed, frozen])
async def test_a_database_that_goes_in_the_middle_of_a_sweep_and_a_check_costs_nothing_but_time(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, server: Server, ail: Callable[[Server], None]
) -> None:
    shop = Shop(discogs, await start_proxy(STORES=STORE, DATABASE_URL=server.dsn))
    for work, page in (("sweep", 2), ("check", 1))[: 2 if ail is killed else 1]:  # a frozen one takes its time
        discogs.churn(STORE, 3, "sale")
        shop.clock.passed += 5 * MINUTE
        discogs.add_fault(Fault("slow_headers", path=re.compile(rf"status=For\+Sale.*&page={page}$"), delay_s=0.5))
        asking = asyncio.create_task(shop.proxy.get(f"{INVENTORY}?{NEWEST_FIRST}&page=3"))
        await until(lambda: any(call.fault for call in discogs.calls))
        ail(server)
        try:
            response, _ = await asking
            assert (work, response.status) == (work, 200)
            for number in (1, 4):
                response, body = await shop.proxy.get(f"{INVENTORY}?{NEWEST_FIRST}&page={number}")
                assert (work, response.status) == (work, 200)
                assert ids(json.loads(body)) == shop.truth()[number * 100 - 100 : number * 100]
            response, body = await shop.proxy.get(RESULTS)
            assert response.status in (200, 503)
            shown = json.loads(body)  # where the database was back at once: all of it, or as known before the check
            is_told = "coverage" in shown or "stale-if-error" in response.headers["Cache-Status"]
            assert response.status == 503 or is_told or ids(shown, "results") == shop.truth()[::-1]
        finally:
            server.to_all(signal.SIGCONT)
        discogs.clear_faults()
        await until_well(shop.proxy)
        await shop.settled()
        async with shop.proxy.app[keys.DATABASE].connection() as connection:  # it could not be given back
            await connection.execute("UPDATE stores SET lease_until = now() WHERE lease_until IS NOT NULL")
        discogs.calls.clear()
        for _ in range(2):
            shop.clock.passed += 5 * MINUTE
            await shop.page(1)
        await shop.check_true()
    assert not any(shop.proxy.app[keys.HEALTH].restarts.values())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)
