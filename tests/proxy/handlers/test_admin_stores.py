from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from proxy import keys
from proxy.adapters import mirror as known
from proxy.domain.budget import Lane
from tests.conftest import STORE, Proxy, StartProxy
from tests.simulated_discogs import Fault, SimulatedDiscogs
from tests.simulated_discogs.churn import Churn

STORES = "/api/admin/stores"
NOBODY_ASKED = {"requests": 0, "hits": 0, "hit_rate": None, "client": 0, "reduction": None}


async def body_of(proxy: Proxy, method: str, path: str, status: int = 200) -> dict[str, object]:
    response, body = await proxy.admin(method, path)
    assert response.status == status, body
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


async def row_of(proxy: Proxy, username: str) -> dict[str, object] | None:
    rows = (await body_of(proxy, "GET", STORES))["stores"]
    assert isinstance(rows, list)
    return next((row for row in rows if row["username"] == username), None)


async def mirror(proxy: Proxy, username: str) -> None:
    check = proxy.app[keys.CHECKS].check(username, Lane.CHECK, "test")
    assert check.task
    await check.task
    assert check.error is None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_stores_are_listed_page_by_page_those_tracked_first(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(STORES=f"{STORE},small_shop,zebra")
    async with proxy.app[keys.DATABASE].connection() as connection:
        for username in ("abbey", STORE, "small_shop", "yonder", "zebra"):
            await known.make_known(connection, username)
    found: list[str] = []
    cursor: object = ""
    while cursor is not None:
        body = await body_of(proxy, "GET", f"{STORES}?limit=2&cursor={cursor}")
        rows = body["stores"]
        assert isinstance(rows, list)
        found += [row["username"] for row in rows]
        cursor = body["next"]
        assert len(rows) == 2 or cursor is None
    assert found == ["small_shop", STORE, "zebra", "abbey", "yonder"]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=!", "cursor=WyJzdG9yZXMiLDEsMl0"])
async def test_a_page_of_stores_that_cannot_be_is_told(proxy: Proxy, query: str) -> None:
    assert (await body_of(proxy, "GET", f"{STORES}?{query}", 400))["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", STORES),
        ("PUT", f"{STORES}/x"),
        ("DELETE", f"{STORES}/x"),
        ("POST", f"{STORES}/x/sync"),
        ("POST", f"{STORES}/x/listings/1/hide"),
    ],
)
async def test_strangers_learn_and_change_nothing(proxy: Proxy, method: str, path: str) -> None:
    response, _ = await proxy.request(method, path)
    assert response.status == 401


async def test_a_store_that_is_added_is_read_and_then_tracked(proxy: Proxy) -> None:
    response, body = await proxy.admin("PUT", f"{STORES}/{STORE.upper()}")
    added = json.loads(body)
    assert response.status in (200, 202)
    assert (added["store"]["username"], added["store"]["items"]) == (STORE, 120)
    assert added["store"]["tracked"] == "operator"
    assert added["check_interval_ms"] == 60_000
    assert added["check_intervals_ms"] == {STORE: 3_600_000}
    assert added["progress"]["interval_stretch"] == 1
    assert {"pages_read", "pages_left", "sweeps_left_s", "releases_left", "limited_by"} <= set(added["progress"])

    async def is_mirrored() -> bool:
        row = await row_of(proxy, STORE)
        return bool(row and row["checked_at"])

    await until(is_mirrored)
    row = await row_of(proxy, STORE)
    assert row is not None
    assert row["mirrored"] is True
    assert row["coverage"] == {"known": 120, "total": 120}
    assert row["sweep"] is None
    assert row["seconds_left"] == 0
    assert row["requested_at"] is None
    assert row["check_interval_ms"] == 3_600_000
    assert row["calls_24h"] == NOBODY_ASKED | {"upstream": 3, "replaced": 0, "checks": 0}
    again = await body_of(proxy, "PUT", f"{STORES}/{STORE}")
    assert again["store"] == row


async def test_how_far_a_first_sweep_is_and_how_long_it_takes(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.latency_ms = 200
    added = await body_of(proxy, "PUT", f"{STORES}/{STORE}", 202)
    row = added["store"]
    assert isinstance(row, dict)
    assert row["mirrored"] is False
    assert row["sweep"] == {"pages_read": 1, "pages": 2}
    assert row["coverage"] == {"known": 100, "total": 120}
    assert row["seconds_left"] is not None


async def test_a_store_that_discogs_does_not_know_is_not_added(proxy: Proxy) -> None:
    await body_of(proxy, "PUT", f"{STORES}/nobody_at_all", 404)
    assert (await body_of(proxy, "GET", STORES))["stores"] == []


async def test_while_discogs_fails_no_store_is_added(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault(kind="html", status=503))
    await body_of(proxy, "PUT", f"{STORES}/{STORE}", 502)
    assert await row_of(proxy, STORE) is None


@pytest.mark.parametrize("name", ["a,b", "%20", "a%2Fb", "a%3Db", "x" * 101])
@pytest.mark.parametrize(("method", "suffix"), [("PUT", ""), ("DELETE", ""), ("POST", "/sync")])
async def test_what_is_no_username_is_refused(proxy: Proxy, method: str, name: str, suffix: str) -> None:
    found = await body_of(proxy, method, f"{STORES}/{name}{suffix}", 400)
    assert "username" in str(found["message"])


async def test_a_store_that_is_removed_is_forgotten(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(STORES="den=Vinyl_Den")
    await mirror(proxy, STORE)
    await mirror(proxy, "small_shop")
    response, body = await proxy.admin("DELETE", f"{STORES}/small_shop")
    assert (response.status, body) == (204, b"")
    assert await row_of(proxy, "small_shop") is None
    for name in ("small_shop", "never_seen"):
        assert "PUT" in str((await body_of(proxy, "DELETE", f"{STORES}/{name}", 404))["message"])
    for name in ("den", STORE):
        assert "STORES" in str((await body_of(proxy, "DELETE", f"{STORES}/{name}", 409))["message"])


async def test_a_check_now_tells_what_it_found(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    await body_of(proxy, "POST", f"{STORES}/{STORE}/sync", 404)
    await mirror(proxy, STORE)
    nothing = await body_of(proxy, "POST", f"{STORES}/{STORE}/sync")
    assert {name: nothing[name] for name in ("result", "calls", "added", "removed", "moved", "edited", "pages")} == {
        "result": "unchanged",
        "calls": 1,
        "added": 0,
        "removed": 0,
        "moved": 0,
        "edited": 0,
        "pages": 0,
    }
    churn = Churn(discogs.catalogue)
    churn.happen(STORE, "sale")
    churn.happen(STORE, "addition")
    found = await body_of(proxy, "POST", f"{STORES}/{STORE}/sync")
    assert (found["result"], found["added"], found["removed"]) == ("changed", 1, 1)
    row = found["store"]
    assert isinstance(row, dict)
    checks = 1 + found["calls"]  # type: ignore[operator]
    assert row["calls_24h"] == NOBODY_ASKED | {"upstream": 3 + checks, "replaced": 0, "checks": checks}
    discogs.add_fault(Fault(kind="html", status=503))
    await body_of(proxy, "POST", f"{STORES}/{STORE}/sync", 502)
    _, metrics = await proxy.get("/metrics")
    for line in (
        'checks_total{result="unchanged"} 1.0',
        'checks_total{result="changed"} 1.0',
        'checks_total{result="swept"} 1.0',
        'checks_total{result="failed"} 1.0',
        "check_calls_count 2.0",
    ):
        assert f"discogs_proxy_{line}" in metrics.decode()
