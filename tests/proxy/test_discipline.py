"""Stories of the budget: many shoppers, background work beside them, an upstream that refuses or fails."""

from __future__ import annotations

import asyncio
import re
import time

import aiohttp
import pytest

from matcher.domain.breaker import Breaker
from proxy import keys
from tests.conftest import STORE, Proxy, StartProxy
from tests.simulated_discogs import Catalogue, Fault, SimulatedDiscogs

INVENTORY = f"/users/{STORE}/inventory"
Answered = tuple[aiohttp.ClientResponse, bytes]


def release_ids(discogs: SimulatedDiscogs, count: int) -> list[int]:
    found = list(dict.fromkeys(listing.release_id for listing in discogs.catalogue.for_sale(STORE)))[:count]
    assert len(found) == count
    return found


async def ask_at_once(proxy: Proxy, paths: list[str]) -> list[Answered]:
    return await asyncio.gather(*(proxy.get(path) for path in paths))


@pytest.mark.parametrize("path", [INVENTORY, "/releases/{id}", "/masters/{id}/versions", "/database/search?q=love"])
async def test_a_hundred_equal_requests_at_once_are_one_call(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, path: str
) -> None:
    proxy = await start_proxy()
    discogs.latency_ms = 100
    path = path.replace("{id}", str(release_ids(discogs, 1)[0]))
    answers = await ask_at_once(proxy, [path] * 100)
    assert len({(response.status, body) for response, body in answers}) == 1
    assert len(discogs.calls) == 1


async def test_equal_requests_of_different_callers_are_calls_of_their_own(
    proxy: Proxy, discogs: SimulatedDiscogs
) -> None:
    discogs.latency_ms = 100
    headers: list[dict[str, str]] = [{}, {"Authorization": "Discogs token=one"}, {"Authorization": "Discogs token=two"}]
    await asyncio.gather(*(proxy.get(INVENTORY, **each) for each in headers * 5))
    assert len(discogs.calls) == 3


async def test_a_failure_is_shared_by_all_who_wait_for_it(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault(kind="broken_json"))
    discogs.latency_ms = 100
    answers = await ask_at_once(proxy, [INVENTORY] * 20)
    assert {response.status for response, _ in answers} == {502}
    assert len(discogs.calls) == 1


async def test_shoppers_and_a_full_queue_never_meet_a_refusal(start_proxy: StartProxy) -> None:
    """More shoppers than a minute allows, with the pool busy: upstream refuses nobody, the rest wait their time."""
    catalogue = Catalogue.generate(seed=7, stores={STORE: 120})
    async with SimulatedDiscogs(catalogue, rate_limit=30, anonymous_rate_limit=30, latency_ms=20) as discogs:
        proxy = await start_proxy(
            DISCOGS_API_URL=discogs.url,
            DISCOGS_RATE_LIMIT="30",
            UPSTREAM_DEADLINE="4000",
            BACKGROUND_PROCESSING_ENABLED="true",
        )
        await proxy.get(INVENTORY + "?per_page=100")
        began = time.monotonic()
        answers = await ask_at_once(proxy, [f"/releases/{each}" for each in release_ids(discogs, 60)])
        assert time.monotonic() - began >= 3.9
        assert not [call for call in discogs.calls if call.refused]
        statuses = [response.status for response, _ in answers]
        assert set(statuses) == {200, 429}
        assert 24 <= statuses.count(200) <= 29
        for response, _ in answers:
            if response.status == 429:
                assert 1 <= int(response.headers["Retry-After"]) <= 122
                assert response.headers["Access-Control-Allow-Origin"] == "*"


async def test_two_proxies_on_one_database_share_the_budget(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    both = [await start_proxy(DISCOGS_RATE_LIMIT="8", UPSTREAM_DEADLINE="2000") for _ in range(2)]
    ids = release_ids(discogs, 24)
    await asyncio.gather(*(both[each % 2].get(f"/releases/{each}") for each in ids))
    assert len(discogs.calls) == 8


async def test_proxies_behind_different_addresses_do_not(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    both = [
        await start_proxy(DISCOGS_RATE_LIMIT="5", UPSTREAM_DEADLINE="2000", BUDGET_GROUP=group) for group in ("a", "b")
    ]
    ids = release_ids(discogs, 24)
    await asyncio.gather(*(both[place % 2].get(f"/releases/{each}") for place, each in enumerate(ids)))
    assert len(discogs.calls) == 10


async def test_a_shopper_is_spared_a_refusal_that_passes(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    """And nobody else asks before the cool-down is over and one call has gone well."""
    proxy = await start_proxy(DISCOGS_RATE_LIMIT="60")
    proxy.app[keys.UPSTREAM].lanes.budget.cool_down = Breaker(threshold=1, first_s=0.3, longest_s=1.0)
    discogs.add_fault(Fault(kind="rate_limited", times=1))
    ids = release_ids(discogs, 5)
    first = asyncio.create_task(proxy.get(f"/releases/{ids[0]}"))
    while not discogs.calls or discogs.calls[0].status is None:
        await asyncio.sleep(0.01)
    answers = [await first, *await ask_at_once(proxy, [f"/releases/{each}" for each in ids[1:]])]
    assert [response.status for response, _ in answers] == [200] * 5
    assert len(discogs.calls) == 6
    assert discogs.calls[1].at - discogs.calls[0].at >= 0.25


@pytest.mark.parametrize(("limit", "calls", "status"), [("2", 2, 200), ("1", 1, 429)])
async def test_a_call_whose_connection_was_dropped_is_repeated_within_the_budget(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, limit: str, calls: int, status: int
) -> None:
    proxy = await start_proxy(DISCOGS_RATE_LIMIT=limit, UPSTREAM_DEADLINE="500")
    discogs.add_fault(Fault(kind="reset_before_headers", times=1))
    response, _ = await proxy.get(INVENTORY)
    assert response.status == status
    assert len(discogs.calls) == calls
    assert response.headers["X-Discogs-Ratelimit-Remaining"] == "0"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_write_whose_connection_was_dropped_is_not_repeated(
    proxy: Proxy, discogs: SimulatedDiscogs, method: str
) -> None:
    discogs.add_fault(Fault(kind="reset_before_headers"))
    response, _ = await proxy.request(method, "/marketplace/listings/1", Authorization="Discogs token=x")
    assert response.status == 502
    assert len(discogs.calls) == 1


async def test_a_lasting_refusal_is_no_storm(start_proxy: StartProxy, discogs: SimulatedDiscogs) -> None:
    proxy = await start_proxy(DISCOGS_RATE_LIMIT="60", UPSTREAM_DEADLINE="1000")
    proxy.app[keys.UPSTREAM].lanes.budget.cool_down = Breaker(threshold=1, first_s=0.3, longest_s=60.0)
    discogs.add_fault(Fault(kind="rate_limited"))
    await proxy.get(f"/releases/{release_ids(discogs, 1)[0]}")
    answers = await ask_at_once(proxy, [f"/releases/{each}" for each in release_ids(discogs, 40)])
    assert {response.status for response, _ in answers} == {429}
    assert all("Retry-After" in response.headers for response, _ in answers)
    assert len(discogs.calls) <= 4


@pytest.mark.parametrize("status", [200, 503])
async def test_during_an_outage_upstream_is_left_alone_and_one_call_finds_it_well_again(
    start_proxy: StartProxy, discogs: SimulatedDiscogs, status: int
) -> None:
    proxy = await start_proxy()
    upstream = proxy.app[keys.UPSTREAM]
    upstream.outage = Breaker(threshold=5, first_s=0.3, longest_s=1.0)
    discogs.add_fault(Fault(kind="html", status=status))
    for each in release_ids(discogs, 40):
        response, _ = await proxy.get(f"/releases/{each}")
        assert response.status == 502
    assert len(discogs.calls) == 5
    response, body = await proxy.get(INVENTORY)
    assert b"will be asked again soon" in body
    assert "Retry-After" in response.headers
    _, body = await proxy.get("/readyz")
    assert b'"discogs"' in body
    discogs.clear_faults()
    await asyncio.sleep(0.35)
    assert {(await proxy.get(INVENTORY))[0].status for _ in range(3)} == {200}
    _, body = await proxy.get("/readyz")
    assert b'"discogs"' not in body


async def test_what_a_client_brings_about_by_itself_is_no_outage(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    discogs.add_fault(Fault(kind="status", status=500, path=re.compile("/database/search")))
    discogs.add_fault(Fault(kind="html", status=200, path=re.compile("/some/gateway")))
    for number in range(10):
        assert (await proxy.get(f"/database/search?q={number}"))[0].status == 500
    for number in range(10):
        assert (await proxy.get(f"/some/gateway?q={number}"))[0].status == 200
    assert (await proxy.get(INVENTORY))[0].status == 200


async def test_a_client_that_has_the_answer_gets_304(proxy: Proxy, discogs: SimulatedDiscogs) -> None:
    for path in (f"/releases/{release_ids(discogs, 1)[0]}", INVENTORY, f"/api/stores/{STORE}/inventory"):
        async with asyncio.timeout(10):
            while b'"coverage"' in (await proxy.get(path))[1]:
                await asyncio.sleep(0.05)
        response, _ = await proxy.get(path, Accept_Encoding="gzip")
        tag = response.headers["ETag"]
        response, body = await proxy.get(path, If_None_Match=tag)
        assert (response.status, body) == (304, b"")
        assert response.headers["ETag"] == tag
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Cache-Status" in response.headers
        response, body = await proxy.get(path, If_None_Match='"another"')
        assert response.status == 200
        assert body
