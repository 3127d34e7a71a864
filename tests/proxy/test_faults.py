"""Each way in which Discogs can fail, with and without a copy at hand: what the shop sees, and what that costs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest

from matcher.domain.breaker import Breaker
from proxy import keys
from proxy.adapters.upstream import CREDENTIAL_AGAIN_S
from tests.conftest import ADMIN_TOKEN, STORE, Proxy, StartProxy
from tests.simulated_discogs import Fault, SimulatedDiscogs

HOUR = timedelta(hours=1)
PAUSE_S = 0.05
"""How long Discogs is left alone in these tests when it is known to fail."""


@dataclass(frozen=True)
class Trouble:
    """What strikes: a fault of the simulated Discogs, or another place where it should be. `cold` is what the shop
    gets without a copy; `calls` is 2 where aiohttp asks again, on another connection."""

    name: str
    cold: int
    fault: Fault | None = None
    elsewhere: str = ""
    calls: int = 1

    def strike(self, proxy: Proxy, discogs: SimulatedDiscogs) -> None:
        """Where the deadline must run out it is short from now on; before, a busy machine may need its time."""
        give_time(proxy, 0.25 if self.cold == 504 else 5.0)
        if self.fault:
            discogs.add_fault(self.fault)
        else:
            proxy.app[keys.UPSTREAM].origin = self.elsewhere.replace("{port}", str(discogs.port))

    def pass_over(self, proxy: Proxy, discogs: SimulatedDiscogs) -> None:
        give_time(proxy, 5.0)
        discogs.clear_faults()
        proxy.app[keys.UPSTREAM].origin = discogs.url


def give_time(proxy: Proxy, seconds: float) -> None:
    proxy.app[keys.UPSTREAM].deadline_s = proxy.app[keys.STORES].deadline_s = seconds


TROUBLES = (
    Trouble("500", 500, Fault("status", status=500)),
    Trouble("502", 502, Fault("status", status=502)),
    Trouble("503", 503, Fault("status", status=503)),
    Trouble("429", 429, Fault("rate_limited")),
    Trouble("HTML and 200", 502, Fault("html", status=200)),
    Trouble("HTML and 503", 502, Fault("html", status=503)),
    Trouble("empty", 502, Fault("empty")),
    Trouble("broken JSON", 502, Fault("broken_json")),
    Trouble("JSON of another kind", 502, Fault("broken_json", body=b"[]")),
    Trouble("truncated", 502, Fault("truncated")),
    Trouble("too short a length", 502, Fault("short_length")),
    Trouble("bad gzip", 502, Fault("bad_gzip")),
    Trouble("gzip bomb", 502, Fault("gzip_bomb", size=40_000_000)),
    Trouble("slow", 504, Fault("slow_body", delay_s=30.0)),
    Trouble("silent", 504, Fault("silent")),
    Trouble("reset", 502, Fault("reset_before_headers"), calls=2),
    Trouble("reset in the head", 502, Fault("reset_in_headers"), calls=2),
    Trouble("reset in the body", 502, Fault("reset_after_headers")),
    Trouble("no such host", 502, elsewhere="http://discogs.invalid"),
    Trouble("no TLS", 502, elsewhere="https://127.0.0.1:{port}"),
    Trouble("refused", 502, elsewhere="http://127.0.0.1:9"),
)


@pytest.fixture(params=TROUBLES, ids=lambda trouble: trouble.name)
def trouble(request: pytest.FixtureRequest) -> Trouble:
    found = request.param
    assert isinstance(found, Trouble)
    return found


@pytest.fixture
async def proxy(start_proxy: StartProxy, trouble: Trouble) -> Proxy:
    proxy = await start_proxy(UPSTREAM_DEADLINE="5000")
    leave_alone(proxy, PAUSE_S)
    return proxy


def leave_alone(proxy: Proxy, pause_s: float) -> None:
    """How long a failing Discogs is left alone."""
    upstream = proxy.app[keys.UPSTREAM]
    upstream.outage = Breaker(upstream.outage.threshold, first_s=pause_s, longest_s=pause_s)
    upstream.lanes.budget.cool_down = Breaker(1, first_s=pause_s, longest_s=pause_s)


def later(proxy: Proxy, passed: timedelta) -> None:
    """Time passes for all that is kept."""

    def now() -> datetime:
        return datetime.now(UTC) + passed

    proxy.app[keys.PASSTHROUGH].copies.now = now
    proxy.app[keys.STORES].now = proxy.app[keys.CHECKS].now = now


async def settled(proxy: Proxy) -> None:
    """What runs behind the answers has ended."""
    services = (proxy.app[keys.PASSTHROUGH].copies, proxy.app[keys.RELEASES])
    checks = proxy.app[keys.CHECKS]._checks
    for each in services:
        await each._refreshing.settled()
    while tasks := [check.task for check in checks.values() if check.task]:
        await asyncio.gather(*tasks)


async def persisted_release(proxy: Proxy) -> str:
    await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    await proxy.admin("POST", "/api/admin/process-queue?limit=5")
    _, body = await proxy.get(f"/users/{STORE}/inventory?per_page=100")
    found = next(row for row in json.loads(body)["listings"] if row["audio_matches"])
    return f"/releases/{found['release']['id']}"


def resources(discogs: SimulatedDiscogs) -> Iterator[str]:
    """One of each kind that differs in how it is kept; releases are not persisted here."""
    catalogue = discogs.catalogue
    yield f"/users/{STORE}/inventory?page=2"
    yield f"/releases/{catalogue.for_sale(STORE)[-1].release_id}"
    yield next(f"/masters/{found}" for each in catalogue.headings() if (found := catalogue.master_id_of(each.id)))
    yield "/database/search?q=love"


def is_marked_stale(response: aiohttp.ClientResponse) -> bool:
    told = response.headers["Cache-Status"]
    return told.startswith("discogs-proxy; hit; ttl=-") and told.endswith(
        ("; detail=stale-if-error", "; detail=stale-while-revalidate")
    )


def check_error(response: aiohttp.ClientResponse, body: bytes) -> None:
    assert list(json.loads(body)) == ["message"]
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]
    if response.status == 429:
        assert int(response.headers["Retry-After"]) >= 1


async def test_a_copy_is_shown_and_marked_whatever_fails(
    proxy: Proxy, discogs: SimulatedDiscogs, trouble: Trouble
) -> None:
    paths = [await persisted_release(proxy), *resources(discogs)]
    bodies = {path: (await proxy.get(path))[1] for path in paths}
    later(proxy, 4 * HOUR)
    trouble.strike(proxy, discogs)
    calls = len(discogs.calls)
    for _ in range(4):
        for path in paths:
            response, body = await proxy.get(path)
            assert (path, response.status, body) == (path, 200, bodies[path])
            assert is_marked_stale(response)
            assert 4 * 3600 <= int(response.headers["Age"]) < 5 * 3600
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            await settled(proxy)
    assert len(discogs.calls) - calls <= trouble.calls * len(paths)

    trouble.pass_over(proxy, discogs)
    await asyncio.sleep(PAUSE_S)
    later(proxy, 5 * HOUR)
    calls = len(discogs.calls)
    for path in paths:
        await proxy.get(path)
        await settled(proxy)
        response, body = await proxy.get(path)
        assert "; hit; ttl=" in response.headers["Cache-Status"]
        assert not is_marked_stale(response)
        assert json.loads(body).keys() == json.loads(bodies[path]).keys()
    assert len(discogs.calls) - calls == len(paths)


async def test_without_a_copy_the_shop_gets_a_clear_error_and_nothing_is_kept(
    proxy: Proxy, discogs: SimulatedDiscogs, trouble: Trouble
) -> None:
    trouble.strike(proxy, discogs)
    for path in resources(discogs):
        response, body = await proxy.get(path)
        assert (path, response.status) == (path, trouble.cold)
        check_error(response, body)
    assert len(discogs.calls) <= trouble.calls * 4

    trouble.pass_over(proxy, discogs)
    await asyncio.sleep(PAUSE_S)
    calls = len(discogs.calls)
    for path in resources(discogs):
        response, body = await proxy.get(path)
        assert response.headers["Cache-Status"].startswith("discogs-proxy; fwd=uri-miss; fwd-status=200")
        assert "; hit;" in (await proxy.get(path))[0].headers["Cache-Status"]
    assert len(discogs.calls) - calls == 4


async def test_a_whole_store_is_shown_and_marked_and_costs_few_calls(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    proxy = await start_proxy()
    await warmed(proxy, discogs)
    later(proxy, 4 * HOUR)
    discogs.add_fault(Fault("html", status=200))
    calls = len(discogs.calls)
    for _ in range(3):
        response, body = await proxy.get(STORE_INVENTORY)
        assert is_marked_stale(response)
        assert len(json.loads(body)["results"]) == 120
        await settled(proxy)
    assert len(discogs.calls) - calls == 1
    discogs.clear_faults()
    later(proxy, 4 * HOUR + timedelta(minutes=1))
    await proxy.get(STORE_INVENTORY)
    await settled(proxy)
    response, _ = await proxy.get(STORE_INVENTORY)
    assert response.headers["Cache-Status"].endswith("; detail=mirror")


# --- beyond six hours ---------------------------------------------------------------------------------------------


@pytest.fixture
async def aged(start_proxy: StartProxy) -> Proxy:
    proxy = await start_proxy(UPSTREAM_DEADLINE="5000")
    leave_alone(proxy, PAUSE_S)
    return proxy


STORE_INVENTORY = f"/api/stores/{STORE}/inventory"
FAILURES = ("500", "503", "HTML and 200", "empty", "broken JSON", "slow", "reset in the body", "refused")


async def warmed(proxy: Proxy, discogs: SimulatedDiscogs) -> list[str]:
    paths = [await persisted_release(proxy), *resources(discogs), STORE_INVENTORY]
    for path in paths:
        async with asyncio.timeout(20):
            while not await is_whole(proxy, path):
                await asyncio.sleep(0.02)
    return paths


async def is_whole(proxy: Proxy, path: str) -> bool:
    """On a busy machine the simulated Discogs may not meet the short deadline at once."""
    response, body = await proxy.get(path)
    return response.status == 200 and b'"coverage"' not in body


async def check_nothing_is_shown(proxy: Proxy, paths: list[str]) -> None:
    for path in paths:
        response, body = await proxy.get(path)
        assert (path, response.status) == (path, 503)
        assert int(response.headers["Retry-After"]) >= 1
        check_error(response, body)


@pytest.mark.parametrize("trouble", [each for each in TROUBLES if each.name in FAILURES], ids=lambda each: each.name)
async def test_nothing_older_than_six_hours_leaves_whatever_fails(
    aged: Proxy, discogs: SimulatedDiscogs, trouble: Trouble
) -> None:
    paths = await warmed(aged, discogs)
    trouble.strike(aged, discogs)
    later(aged, 6 * HOUR)
    await check_nothing_is_shown(aged, paths)


@pytest.mark.parametrize("passed", [6 * HOUR, -HOUR], ids=["too old", "from the future"])
async def test_nor_after_a_purge_nor_where_the_age_is_not_known(
    aged: Proxy, discogs: SimulatedDiscogs, passed: timedelta
) -> None:
    paths = await warmed(aged, discogs)
    for asked in ({"store": STORE}, {"path": "/"}, {"release": int(paths[0].rpartition("/")[2])}):
        await aged.request("POST", "/api/admin/purge", data=json.dumps(asked), Authorization=f"Bearer {ADMIN_TOKEN}")
    discogs.add_fault(Fault("html", status=200))
    later(aged, passed)
    await check_nothing_is_shown(aged, paths)
    discogs.clear_faults()
    await asyncio.sleep(PAUSE_S)
    for path in paths:
        assert (await aged.get(path))[0].status == 200


async def test_of_a_release_that_is_too_old_a_store_shows_what_is_free_and_its_audio(
    aged: Proxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    """Genres, styles and tracklist are CC0; images are not."""
    await warmed(aged, discogs)
    before = {row["id"]: row for row in await results(aged) if row["audioMatches"]}
    assert all(row["images"] for row in before.values())
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("UPDATE releases SET body_fetched_at = now() - interval '6 hours'")
    await connection.close()
    after = {row["id"]: row for row in await results(aged) if row["audioMatches"]}
    assert before.keys() == after.keys()
    for listing_id, row in after.items():
        assert row == {name: value for name, value in before[listing_id].items() if name != "images"}


async def results(proxy: Proxy) -> list[dict[str, Any]]:
    found = json.loads((await proxy.get(STORE_INVENTORY))[1])["results"]
    assert isinstance(found, list)
    return found


async def test_a_store_of_which_a_part_is_too_old_says_so_and_is_never_empty(
    aged: Proxy, discogs: SimulatedDiscogs, database_dsn: str
) -> None:
    await warmed(aged, discogs)
    discogs.add_fault(Fault("html", status=200))
    connection = await asyncpg.connect(database_dsn)
    await connection.execute("""
        UPDATE mirror_listings SET fetched_at = now() - interval '6 hours'
        WHERE listing_id = ANY((SELECT listing_ids[21:] FROM stores)::bigint[])
        """)
    _, body = await aged.get(STORE_INVENTORY)
    assert json.loads(body)["coverage"] == {"known": 20, "total": 120}
    await connection.execute("UPDATE mirror_listings SET fetched_at = now() - interval '6 hours'")
    await connection.close()
    await check_nothing_is_shown(aged, [STORE_INVENTORY])


# --- a credential that Discogs starts to refuse -------------------------------------------------------------------


async def thumbnails(proxy: Proxy, path: str) -> set[bool]:
    response, body = await proxy.get(path)
    assert response.status == 200
    return {bool(row["release"]["thumbnail"]) for row in json.loads(body)["listings"]}


async def test_a_credential_that_discogs_starts_to_refuse_is_told_and_costs_no_rich_copy(
    start_proxy: StartProxy, discogs: SimulatedDiscogs
) -> None:
    discogs.register_user("operator", "op-token")
    proxy = await start_proxy(DISCOGS_TOKEN="op-token", DISCOGS_RATE_LIMIT="")
    upstream, path = proxy.app[keys.UPSTREAM], f"/users/{STORE}/inventory"
    began = datetime.now(UTC)
    assert True in await thumbnails(proxy, path)
    assert await credential_is_refused(proxy) is False

    discogs.revoke_token("op-token")
    later(proxy, HOUR)
    assert await thumbnails(proxy, path) == {False}
    response, _ = await proxy.get("/database/search?q=love")
    assert (response.status, response.headers["X-Discogs-Ratelimit"]) == (200, "25")
    assert await credential_is_refused(proxy) is True

    proxy.app[keys.PASSTHROUGH].copies.now = lambda: began + timedelta(seconds=30)
    assert True in await thumbnails(proxy, path), "the richer copy is still there"

    discogs.register_user("operator", "op-token")
    upstream.clock = lambda: time.monotonic() + CREDENTIAL_AGAIN_S
    upstream.lanes.clock = upstream.clock
    later(proxy, 2 * HOUR)
    assert True in await thumbnails(proxy, path)
    assert await credential_is_refused(proxy) is False


async def credential_is_refused(proxy: Proxy) -> bool:
    """As the metric and /readyz tell."""
    _, metrics = await proxy.get("/metrics")
    _, ready = await proxy.get("/readyz")
    told = b'discogs_proxy_degraded{reason="credential"} 1.0' in metrics
    assert told == ("credential" in json.loads(ready)["degraded"])
    return told
