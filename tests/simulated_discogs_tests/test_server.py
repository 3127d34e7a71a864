"""The server's life, its log of calls, and real clients that use it."""

import asyncio
import time
from collections.abc import Iterator

import aiohttp
import discogs_client
import pytest

from tests.simulated_discogs import Catalogue, SimulatedDiscogs
from tests.simulated_discogs.server import Call

from .conftest import ALICE, Api


async def test_calls_are_noted_as_they_came(api: Api, discogs: SimulatedDiscogs) -> None:
    await api.get("/users/vinyl_den/inventory?status=For%20Sale&page=2", Authorization=ALICE, X_Trace="7")

    call = discogs.calls[0]
    assert (call.method, call.raw_path) == ("GET", "/users/vinyl_den/inventory?status=For%20Sale&page=2")
    assert (call.path, call.query) == ("/users/vinyl_den/inventory", (("status", "For Sale"), ("page", "2")))
    assert (call.credential, call.username, call.status, call.fault) == ("token", "alice", 200, None)
    assert call.headers["X-Trace"] == "7"
    assert call.source == "127.0.0.1"
    assert abs(call.at - time.time()) < 60
    assert discogs.calls_to("/users/") == [call]
    assert discogs.refused == []


async def test_semicolons_part_parameters_where_that_is_asked_for(api: Api, discogs: SimulatedDiscogs) -> None:
    for semicolons, status in ((False, 401), (True, 200)):
        discogs.semicolons = semicolons
        assert (await api.get("/oauth/identity?a=1;token=alice-token")).status == status


async def test_a_call_is_noted_before_it_is_answered(catalogue: Catalogue) -> None:
    async with SimulatedDiscogs(catalogue, latency_ms=200) as discogs, aiohttp.ClientSession(discogs.url) as session:
        started = time.perf_counter()
        asking = asyncio.create_task(session.get("/"))
        while not discogs.calls:
            await asyncio.sleep(0)
        assert discogs.calls[0].status is None

        assert (await asking).status == 200
        assert time.perf_counter() - started >= 0.2


async def test_it_can_be_stopped_and_started_again_on_its_port(discogs: SimulatedDiscogs, api: Api) -> None:
    await api.get("/")
    url = discogs.url
    await discogs.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.get("/")

    await discogs.start()

    assert discogs.url == url
    assert (await api.get("/")).status == 200
    assert len(discogs.calls) == 2


async def test_two_run_side_by_side(catalogue: Catalogue) -> None:
    async with SimulatedDiscogs(catalogue) as first, SimulatedDiscogs(catalogue) as second:
        assert first.url != second.url


async def test_what_happens_to_a_store_is_seen_at_once(api: Api, discogs: SimulatedDiscogs) -> None:
    path = "/users/vinyl_den/inventory?sort=listed&sort_order=desc"
    rows = (await api.get(path)).ids()

    added = discogs.add_listing("vinyl_den")
    assert (await api.get(path)).ids()[:2] == [added.id, rows[0]]
    discogs.sell("vinyl_den", added.id)
    assert (await api.get(path)).ids() == rows
    relisted = discogs.relist("vinyl_den", added.id)
    moved = discogs.edit_listing("vinyl_den", int(str(rows[7])), moves_posted=True)
    assert (await api.get(path)).ids()[:2] == [moved.id, relisted.id]
    discogs.delete_listing("vinyl_den", moved.id)
    assert moved.id not in (await api.get(path)).ids()


async def test_churn_comes_on_demand_and_by_itself(catalogue: Catalogue) -> None:
    async with SimulatedDiscogs(catalogue, churn_per_hour=1_000) as discogs:
        before = discogs.catalogue.for_sale("vinyl_den")
        assert len(discogs.churn("vinyl_den", events=3, kind="sale")) == 3
        # About 36 events a second are expected.
        deadline = time.monotonic() + 5
        while len(discogs.catalogue.for_sale("vinyl_den")) in {len(before), len(before) - 3}:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_a_hundred_calls_at_once_are_answered(api: Api) -> None:
    answers = await asyncio.gather(*(api.get("/users/small_shop/inventory") for _ in range(100)))

    assert {answer.status for answer in answers} == {200}


def test_a_429_is_a_refusal() -> None:
    call = Call("GET", "/", "/", (), {}, "127.0.0.1", 0.0)

    assert not call.refused
    call.status = 429
    assert call.refused


async def test_the_python_client_of_discogs_works_with_it(discogs: SimulatedDiscogs, catalogue: Catalogue) -> None:
    discogs.public_origin = discogs.url

    listings = await asyncio.to_thread(lambda: list(read_with_a_real_client(discogs.url)))

    assert [identity for identity, _, _ in listings] == [row.id for row in catalogue.for_sale("vinyl_den")[:3]]
    assert all(title and tracks for _, title, tracks in listings)


def read_with_a_real_client(url: str) -> Iterator[tuple[int, str, list[str]]]:
    client = discogs_client.Client("tests/1.0", user_token="alice-token")
    client._base_url = url
    for listing in client.user("vinyl_den").inventory.page(1)[:3]:
        yield listing.id, listing.release.title, [track.title for track in listing.release.tracklist]
